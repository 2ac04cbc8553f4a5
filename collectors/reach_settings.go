package collectors

import (
	"fmt"
	"time"

	"github.com/grapevine-mesh/grapevine/internal/echo"
)

// reachSettings is what the checks that probe the way to other nodes have in
// common.
type reachSettings struct {
	Timing `yaml:",inline"`

	// Neighbours is how many nodes are probed; each node is probed by as many
	// others.
	Neighbours int `yaml:"neighbours"`
	// Packets is how many UDP requests each of them gets in a run.
	Packets int `yaml:"packets"`
	// AnswerTimeout is how long to wait for an answer, of UDP, TCP and ICMP
	// each.
	AnswerTimeout time.Duration `yaml:"answer_timeout"`
}

// reachThresholds are held against what one run sees of one node.
type reachThresholds struct {
	// Loss is the ratio of the packets of one run that are not answered. Of
	// ten packets one may get lost on a sound network; two in every run make
	// TCP crawl (its rate falls with the root of the loss: Mathis et al., 1997), and with half of
	// them lost a DNS lookup fails one time in sixteen even when it is tried
	// four times.
	Loss Limits `yaml:"loss"`
	// RoundTrip is the median of a run. 0.1 s is etcd's default heartbeat
	// interval, one second its default election timeout (Tuning).
	RoundTrip DurationLimits `yaml:"round_trip"`
}

func defaultReachSettings() reachSettings {
	return reachSettings{
		Timing:     Timing{Interval: 10 * time.Second, Timeout: 8 * time.Second, FailureThreshold: 2, SuccessThreshold: 2},
		Neighbours: 5, Packets: 10, AnswerTimeout: 2 * time.Second,
	}
}

func defaultReachThresholds() reachThresholds {
	return reachThresholds{
		Loss:      Limits{Warning: 0.2, Critical: 0.5},
		RoundTrip: DurationLimits{Warning: 100 * time.Millisecond, Critical: time.Second},
	}
}

// Validate names the first impossible value by its key.
func (s *reachSettings) Validate() error {
	if err := s.Timing.Validate(); err != nil {
		return err
	}
	switch longest := s.Timeout / 3; {
	case s.Neighbours < 1 || s.Neighbours > 50:
		return fmt.Errorf("neighbours: %d is not between 1 and 50", s.Neighbours)
	case s.Packets < 2 || s.Packets > min(100, echo.MaxBurst):
		return fmt.Errorf("packets: %d is not between 2 and 100", s.Packets)
	case s.AnswerTimeout <= 0 || s.AnswerTimeout > longest:
		// A node that is silent costs the wait twice.
		return fmt.Errorf("answer_timeout: %v is not above 0 and at most a third of the timeout %v", s.AnswerTimeout, s.Timeout)
	case time.Duration(s.Packets)*reachGap > longest:
		return fmt.Errorf("packets: %d take longer than a third of the timeout %v", s.Packets, s.Timeout)
	}
	return nil
}

func (t *reachThresholds) limits() []namedLimits {
	return []namedLimits{{"loss", t.Loss, true}, {"round_trip", t.RoundTrip.seconds(), false}}
}
