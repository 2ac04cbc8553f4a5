package collectors

import (
	"context"
	"fmt"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
)

// What the custom check exports. The label name is the one given in the
// configuration file.
var (
	customSuccess = Metric{
		Name: "grapevine_custom_success", Type: health.Gauge, Labels: []string{"name", "kind"},
		Help: "Whether the last run of the check found nothing to complain of.",
	}
	customDuration = Metric{
		Name: "grapevine_custom_duration_seconds", Type: health.Gauge, Labels: []string{"name", "kind"},
		Help: "Time the last run took.",
	}
	customExitCode = Metric{
		Name: "grapevine_custom_script_exit_code", Type: health.Gauge, Labels: []string{"name"},
		Help: "Exit code of the script; -1 when it was killed.",
	}
	customDiscarded = Metric{
		Name: "grapevine_custom_script_discarded_bytes", Type: health.Gauge, Labels: []string{"name"},
		Help: "Output of the script beyond what is kept of it.",
	}
	customPerfdata = Metric{
		Name: "grapevine_custom_perfdata", Type: health.Gauge, Labels: []string{"name", "label", "unit"},
		Help: "Performance data of the script, in base units: seconds, bytes, ratio (of percent), count (of a counter), or the script's own.",
	}
	customHTTPStatus = Metric{
		Name: "grapevine_custom_http_status_code", Type: health.Gauge, Labels: []string{"name"},
		Help: "Status code of the answer; 0 when there was none.",
	}
	customHTTPPhase = Metric{
		Name: "grapevine_custom_request_phase_seconds", Type: health.Gauge, Labels: []string{"name", "phase"},
		Help: "Time of the parts of the request: resolve, dial, tls, answer (until its first byte).",
	}
	customExpiry = Metric{
		Name: "grapevine_custom_certificate_expiry_timestamp_seconds", Type: health.Gauge, Labels: []string{"name"},
		Help: "When the first of the certificates that the server showed expires.",
	}
	customConnect = Metric{
		Name: "grapevine_custom_connect_duration_seconds", Type: health.Gauge, Labels: []string{"name"},
		Help: "Time until the connection stood.",
	}
	customProcesses = Metric{
		Name: "grapevine_custom_processes", Type: health.Gauge, Labels: []string{"name"},
		Help: "Processes that were found.",
	}
	customFiles = Metric{
		Name: "grapevine_custom_files", Type: health.Gauge, Labels: []string{"name"},
		Help: "Files that were found.",
	}
	customFileAge = Metric{
		Name: "grapevine_custom_file_age_seconds", Type: health.Gauge, Labels: []string{"name"},
		Help: "Time since the file was written; of several, of the one that is chosen.",
	}
	customFileSize = Metric{
		Name: "grapevine_custom_file_size_bytes", Type: health.Gauge, Labels: []string{"name"},
		Help: "Size of the file; of several, of the one that is chosen.",
	}
)

func customSpec() Spec {
	return Spec{
		Name:    "custom",
		Summary: "your own checks: scripts as monitoring plugins are, HTTP, TCP, processes and the age of files",
		Why:     "What only you know of your nodes belongs beside the rest, seen from every node and damped the same way.",
		Remedy:  "The reason carries what the script said or the probe saw. grapevine check custom runs all of them once on that node; docs/operations.md has the keys.",
		Subject: "name of the check in the configuration file",
		Metrics: []Metric{
			customSuccess, customDuration, customExitCode, customDiscarded, customPerfdata, customHTTPStatus, customHTTPPhase, customExpiry,
			customConnect, customProcesses, customFiles, customFileAge, customFileSize,
		},
		Settings: func() Settings {
			return &customSettings{
				Timing: Timing{Interval: time.Minute, Timeout: 10 * time.Second, FailureThreshold: 2, SuccessThreshold: 1},
				Checks: []customEntry{},
			}
		},
	}
}

// customProbe looks once. It adds what it finds to a, and returns what is to
// be said when that is nothing.
type customProbe interface {
	look(ctx context.Context, r customReport, a *assessment) string
}

// customReport is a Report for the metrics of one check, whose first label is
// its name.
type customReport struct {
	report *Report
	name   string
}

func (r customReport) sample(m *Metric, value float64, labels ...string) {
	r.report.Sample(m, value, append([]string{r.name}, labels...)...)
}

// New builds the checks that are configured.
func (s *customSettings) New(env Env) (Collector, error) {
	if len(s.Checks) == 0 {
		return nil, fmt.Errorf("a check of your own is %w: none is configured", ErrAbsent)
	}
	c := &customCheck{}
	for i := range s.Checks {
		entry := &s.Checks[i]
		probe, err := entry.probe(env)
		if err != nil {
			return nil, fmt.Errorf("checks: %s: %w", entry.Name, err)
		}
		c.parts = append(c.parts, &customPart{entry: entry, timing: s.timing(entry), probe: probe})
	}
	return c, nil
}

// customCheck is all checks of one's own together.
type customCheck struct{ parts []*customPart }

// Name is the check's name.
func (c *customCheck) Name() string { return "custom" }

// Parts makes the schedule run each by its own Timing.
func (c *customCheck) Parts() []Part {
	parts := make([]Part, 0, len(c.parts))
	for _, p := range c.parts {
		parts = append(parts, Part{Name: p.entry.Name, Collector: p, Timing: p.timing})
	}
	return parts
}

// Collect runs all of them side by side, for who has no schedule.
func (c *customCheck) Collect(ctx context.Context, r *Report) error {
	var all parallel
	for _, p := range c.parts {
		all.run(func() {
			ctx, cancel := context.WithTimeout(ctx, p.timing.Timeout)
			defer cancel()
			_ = p.Collect(ctx, r) // returns none
		})
	}
	all.wait()
	return nil
}

// customPart is one check of one's own.
type customPart struct {
	entry  *customEntry
	timing Timing
	probe  customProbe
}

// Name is that of the whole check.
func (p *customPart) Name() string { return "custom" }

// Collect looks once.
func (p *customPart) Collect(ctx context.Context, r *Report) error {
	ctx, cancel := finishing(ctx)
	defer cancel()
	name, kind := p.entry.Name, p.entry.kind()
	a := &assessment{about: name}
	begun := time.Now()
	said := p.probe.look(ctx, customReport{r, name}, a)
	r.Sample(&customDuration, time.Since(begun).Seconds(), name, kind)
	r.Sample(&customSuccess, boolean(len(a.findings) == 0), name, kind)
	if len(a.findings) == 0 {
		r.Verdict(name, health.OK, clip(said, maxReason), a.measured)
		return nil
	}
	a.verdict(r, name)
	return nil
}
