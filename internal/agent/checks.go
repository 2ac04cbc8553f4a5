package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"

	"github.com/grapevine-mesh/grapevine/collectors"
	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/internal/config"
	"github.com/grapevine-mesh/grapevine/internal/schedule"
	"github.com/grapevine-mesh/grapevine/smoke"
)

// Specs lists every check there is. smoke stands beside collectors, and is the
// only one that is not in the list there.
func Specs() []collectors.Spec {
	all := append(collectors.All(), smoke.Spec())
	slices.SortFunc(all, func(a, b collectors.Spec) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// built is what the configuration file and this node come to.
type built struct {
	settings *config.Config
	checks   []schedule.Check
	off      []absent // whose subject is not on this node
}

// readChecks reads the configuration file and builds every check that is on.
// It changes nothing that is in force, and logs nothing: when it fails, its
// error is all there is to say.
func (a *Agent) readChecks() (built, error) {
	settings, err := config.Load(a.cfg.ConfigFile, Specs())
	if err != nil {
		return built{}, err
	}
	return a.buildChecks(settings)
}

// buildChecks builds every check that is on, by settings.
func (a *Agent) buildChecks(settings *config.Config) (b built, err error) {
	cfg := &a.cfg
	b.settings = settings
	defer func() {
		if err != nil {
			b.close(cfg.Logger)
		}
	}()
	for _, spec := range Specs() {
		on, byHand := cfg.Collectors[spec.Name]
		if !on && (byHand || cfg.NoDefaultCollectors) {
			continue
		}
		s := settings.Checks[spec.Name]
		collector, err := s.New(a.env(spec.Name))
		switch {
		case err == nil:
		case !errors.Is(err, collectors.ErrAbsent):
			return b, fmt.Errorf("check %s: %w", spec.Name, err)
		default:
			off := absent{spec.Name, err.Error()}
			b.off = append(b.off, off)
			if !byHand {
				continue
			}
			collector = off
		}
		b.checks = append(b.checks, schedule.Check{Collector: collector, Timing: s.Schedule(), Workload: spec.Workload})
	}
	return b, nil
}

// names are the checks that are on.
func (b *built) names() []string {
	var names []string
	for _, c := range b.checks {
		names = append(names, c.Collector.Name())
	}
	return names
}

// close ends checks that no schedule has taken over.
func (b *built) close(logger log.Logger) {
	for _, c := range b.checks {
		closer, ok := c.Collector.(io.Closer)
		if !ok {
			continue
		}
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
