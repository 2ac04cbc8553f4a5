package agent

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/grapevine-mesh/grapevine/collectors"
	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/internal/config"
	"github.com/grapevine-mesh/grapevine/internal/schedule"
)

// buildChecks reads the configuration file and builds every check that is on.
// When one cannot be built, those built before are closed.
func buildChecks(cfg Config, registry prometheus.Registerer) ([]schedule.Check, error) {
	settings, err := config.Load(cfg.ConfigFile, collectors.All())
	if err != nil {
		return nil, err
	}
	env := collectors.Env{Node: cfg.Node, StoragePath: cfg.StoragePath, Logger: cfg.Logger, Registry: registry}
	var checks []schedule.Check
	for _, spec := range collectors.All() {
		on, byHand := cfg.Collectors[spec.Name]
		if byHand && !on {
			continue
		}
		s := settings.Checks[spec.Name]
		collector, err := s.New(env)
		switch {
		case err == nil:
		case !errors.Is(err, collectors.ErrAbsent):
			for _, c := range checks {
				closeCheck(c, cfg.Logger)
			}
			return nil, fmt.Errorf("check %s: %w", spec.Name, err)
		case byHand:
			collector = absent{spec.Name, err.Error()}
		default:
			level.Info(cfg.Logger).Log("msg", "check is off", "check", spec.Name, "reason", err)
			continue
		}
		checks = append(checks, schedule.Check{Collector: collector, Timing: s.Schedule()})
	}
	return checks, nil
}

func closeCheck(c schedule.Check, logger log.Logger) {
	if closer, ok := c.Collector.(interface{ Close() error }); ok {
		if err := closer.Close(); err != nil {
			level.Warn(logger).Log("msg", "closing a check", "check", c.Collector.Name(), "err", err)
		}
	}
}

// absent stands for a check that was asked for by name and has nothing to
// look at here: that is a verdict, not silence.
type absent struct{ name, reason string }

// Name is the check's name.
func (a absent) Name() string { return a.name }

// Collect says that nothing is known, and why.
func (a absent) Collect(_ context.Context, r *collectors.Report) error {
	r.Verdict(a.name, health.Unknown, a.reason, health.Evidence{})
	return nil
}
