package collectors

import (
	"fmt"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
)

// Limits are what a value is held against: from Warning on it is a warning,
// from Critical on it is critical. Zero switches a level off.
type Limits struct {
	Warning  float64 `yaml:"warning"`
	Critical float64 `yaml:"critical"`
}

// DurationLimits are Limits of a time.
type DurationLimits struct {
	Warning  time.Duration `yaml:"warning"`
	Critical time.Duration `yaml:"critical"`
}

// seconds gives the limits in the base unit.
func (l DurationLimits) seconds() Limits {
	return Limits{Warning: l.Warning.Seconds(), Critical: l.Critical.Seconds()}
}

// judge returns the status of value and the limit that decided it: the one
// that was reached, or the first one that could be.
func (l Limits) judge(value float64) (health.Status, float64) {
	switch {
	case l.Critical > 0 && value >= l.Critical:
		return health.Critical, l.Critical
	case l.Warning > 0 && value >= l.Warning:
		return health.Warning, l.Warning
	case l.Warning > 0:
		return health.OK, l.Warning
	}
	return health.OK, l.Critical
}

// namedLimits goes with its key in the configuration file, for errors.
type namedLimits struct {
	key string
	Limits
	ratio bool // at most 1
}

func validateLimits(all ...namedLimits) error {
	for _, l := range all {
		switch {
		case l.Warning < 0 || l.Critical < 0:
			return fmt.Errorf("thresholds: %s: below zero", l.key)
		case l.Warning > 0 && l.Critical > 0 && l.Warning > l.Critical:
			return fmt.Errorf("thresholds: %s: warning is above critical", l.key)
		case l.ratio && (l.Warning > 1 || l.Critical > 1):
			return fmt.Errorf("thresholds: %s: a ratio is at most 1", l.key)
		}
	}
	return nil
}
