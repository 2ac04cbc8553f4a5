package collectors

import (
	"fmt"
	"time"
)

// mtuSettings is the block "mtu" of the configuration file.
type mtuSettings struct {
	Timing `yaml:",inline"`

	// Neighbours is how many nodes are probed; each node is probed by as many
	// others.
	Neighbours int `yaml:"neighbours"`
	// AnswerTimeout is how long to wait for the answer to one packet. A
	// search of the size that passes waits for some twenty that are lost.
	AnswerTimeout time.Duration `yaml:"answer_timeout"`
}

func defaultMTUSettings() *mtuSettings {
	return &mtuSettings{
		Timing:     Timing{Interval: time.Minute, Timeout: 45 * time.Second, FailureThreshold: 2, SuccessThreshold: 1},
		Neighbours: 5, AnswerTimeout: 500 * time.Millisecond,
	}
}

// Validate names the first impossible value by its key.
func (s *mtuSettings) Validate() error {
	if err := s.Timing.Validate(); err != nil {
		return err
	}
	switch {
	case s.Neighbours < 1 || s.Neighbours > 50:
		return fmt.Errorf("neighbours: %d is not between 1 and 50", s.Neighbours)
	case s.AnswerTimeout <= 0 || s.AnswerTimeout > s.Timeout/20:
		return fmt.Errorf("answer_timeout: %v is not above 0 and at most a twentieth of the timeout %v", s.AnswerTimeout, s.Timeout)
	}
	return nil
}
