package collectors

import (
	"fmt"
	"time"

	"github.com/grapevine-mesh/grapevine/internal/echo"
)

// clockSettings is the block "clock" of the configuration file.
type clockSettings struct {
	Timing `yaml:",inline"`

	// Neighbours is how many nodes are asked for their time; each node is
	// asked by as many others.
	Neighbours int `yaml:"neighbours"`
	// Packets is how many requests each of them gets in a run: the one with
	// the smallest round trip counts.
	Packets int `yaml:"packets"`
	// AnswerTimeout is how long to wait for the answers.
	AnswerTimeout time.Duration `yaml:"answer_timeout"`

	Thresholds clockThresholds `yaml:"thresholds"`
}

// clockThresholds are held against what one run sees.
type clockThresholds struct {
	// Offset of this node's clock from the median of its neighbours', without
	// what the round trips leave open. From one second on etcd logs "prober
	// found high clock drift". One minute is how far a service account token
	// may be ahead of the API server that is shown it (the leeway of the
	// library it uses); beyond that tokens, and soon certificates, are refused
	// as not yet valid.
	Offset DurationLimits `yaml:"offset"`
}

func defaultClockSettings() *clockSettings {
	return &clockSettings{
		Timing:     Timing{Interval: 30 * time.Second, Timeout: 10 * time.Second, FailureThreshold: 2, SuccessThreshold: 2},
		Neighbours: 5, Packets: 5, AnswerTimeout: 2 * time.Second,
		Thresholds: clockThresholds{Offset: DurationLimits{Warning: time.Second, Critical: time.Minute}},
	}
}

// Validate names the first impossible value by its key.
func (s *clockSettings) Validate() error {
	if err := s.Timing.Validate(); err != nil {
		return err
	}
	switch {
	case s.Neighbours < 1 || s.Neighbours > 50:
		return fmt.Errorf("neighbours: %d is not between 1 and 50", s.Neighbours)
	case s.Packets < 1 || s.Packets > min(50, echo.MaxBurst):
		return fmt.Errorf("packets: %d is not between 1 and 50", s.Packets)
	case s.AnswerTimeout <= 0 || s.AnswerTimeout > s.Timeout/2:
		return fmt.Errorf("answer_timeout: %v is not above 0 and at most half of the timeout %v", s.AnswerTimeout, s.Timeout)
	}
	return validateLimits(namedLimits{"offset", s.Thresholds.Offset.seconds(), false})
}
