package collectors

import (
	"context"
	"io"
	"maps"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-kit/log"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/grapevine-mesh/grapevine/health"
)

func TestMain(m *testing.M) {
	if os.Getenv(elsewhereVariable) != "" {
		os.Exit(runElsewhere(os.Stdin, os.Stdout))
	}
	goleak.VerifyTestMain(m)
}

// seen is what one run of a check reported.
type seen struct {
	samples []Sample
	results map[string]health.Result // by subject
	took    time.Duration

	maintenance []Maintenance
}

// newCheck builds the collector and closes it with the test.
func newCheck(t *testing.T, s Settings) Collector {
	t.Helper()
	if err := s.Validate(); err != nil {
		t.Fatal(err)
	}
	c, err := s.New(testEnv())
	if err != nil {
		t.Fatal(err)
	}
	closeAtEnd(t, c)
	return c
}

func closeAtEnd(t *testing.T, c Collector) {
	if closer, ok := c.(io.Closer); ok {
		t.Cleanup(func() {
			if err := closer.Close(); err != nil {
				t.Errorf("closing %s: %v", c.Name(), err)
			}
		})
	}
}

func testEnv() Env {
	return Env{Node: "test", Paths: DefaultPaths(), Logger: log.NewNopLogger(), Registry: prometheus.NewRegistry()}
}

// envAt is testEnv with the node's files below root.
func envAt(root string) Env {
	env := testEnv()
	env.Paths.Root = root
	return env
}

// run lets c look once, and fails when it takes longer than its timeout.
func run(t *testing.T, c Collector, timeout time.Duration) seen {
	t.Helper()
	return runAt(t, c, timeout, time.Now)
}

// runAt is run at a time that the test makes up.
func runAt(t *testing.T, c Collector, timeout time.Duration, now func() time.Time) seen {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	r := NewReport(now)
	start := time.Now()
	if err := c.Collect(ctx, r); err != nil {
		t.Fatalf("Collect: %v", err)
	}
	s := seen{took: time.Since(start), results: make(map[string]health.Result)}
	if ctx.Err() != nil {
		t.Errorf("Collect used up its time: %v of %v", s.took, timeout)
	}
	samples, results := r.Take()
	s.samples, s.maintenance = samples, r.Maintained()
	for _, result := range results {
		if _, twice := s.results[result.Subject]; twice {
			t.Errorf("two verdicts on %q", result.Subject)
		}
		if result.Status != health.OK && result.Reason == "" || len(result.Reason) > maxReason {
			t.Errorf("bad reason: %+v", result)
		}
		s.results[result.Subject] = result
	}
	checkSamples(t, samples)
	return s
}

// checkSamples finds what a registry would refuse.
func checkSamples(t *testing.T, samples []Sample) {
	t.Helper()
	had := make(map[string]bool)
	for _, s := range samples {
		key := s.Metric.Name + "\x00" + strings.Join(s.Labels, "\x00")
		if had[key] {
			t.Errorf("sample twice: %q", key)
		}
		had[key] = true
	}
}

// value is the sample of the metric whose labels are these.
func (s seen) value(t *testing.T, m *Metric, labels ...string) float64 {
	t.Helper()
	for _, sample := range s.samples {
		if sample.Metric.Name == m.Name && strings.Join(sample.Labels, ",") == strings.Join(labels, ",") {
			return sample.Value
		}
	}
	t.Errorf("no sample %s%v", m.Name, labels)
	return -1
}

func (s seen) has(m *Metric) bool {
	for _, sample := range s.samples {
		if sample.Metric.Name == m.Name {
			return true
		}
	}
	return false
}

// expect checks one verdict: its status, and that the reason holds all words.
func (s seen) expect(t *testing.T, subject string, status health.Status, words ...string) {
	t.Helper()
	got, ok := s.results[subject]
	if !ok {
		t.Errorf("no verdict on %q among %v", subject, s.results)
		return
	}
	if got.Status != status {
		t.Errorf("%s: status %v, want %v (%s)", subject, got.Status, status, got.Reason)
	}
	for _, word := range words {
		if !strings.Contains(got.Reason, word) {
			t.Errorf("%s: reason %q lacks %q", subject, got.Reason, word)
		}
	}
}

// until repeats the run until it passes. It fails much later than that ever
// takes: machines stall.
func until(t *testing.T, what string, pass func() bool) {
	t.Helper()
	const patience = 2 * time.Minute
	deadline := time.Now().Add(patience)
	for !pass() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

func TestSpecs(t *testing.T) {
	forbidden := map[string]bool{"instance": true, "job": true, "cluster": true, "zone": true, "type": true, "service": true, "node": true, "quantile": true, "le": true}
	names := make(map[string]bool)
	for _, spec := range All() {
		if spec.Summary == "" || spec.Why == "" || spec.Remedy == "" || spec.Subject == "" {
			t.Errorf("%s: does not explain itself", spec.Name)
		}
		s := spec.Settings()
		if err := s.Validate(); err != nil {
			t.Errorf("%s: defaults: %v", spec.Name, err)
		}
		for _, m := range spec.Metrics {
			if !strings.HasPrefix(m.Name, "grapevine_"+strings.ReplaceAll(spec.Name, "-", "_")+"_") || m.Help == "" || names[m.Name] {
				t.Errorf("%s: bad metric %q", spec.Name, m.Name)
			}
			names[m.Name] = true
			if (m.Type == health.Counter) != strings.HasSuffix(m.Name, "_total") {
				t.Errorf("%s: type %v does not go with the name", m.Name, m.Type)
			}
			for _, l := range m.Labels {
				if forbidden[l] {
					t.Errorf("%s: forbidden label %s", m.Name, l)
				}
			}
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func mapValues(m map[string]health.Result) []health.Result { return slices.Collect(maps.Values(m)) }

func hostPort(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	content, err := os.ReadFile(from)
	must(t, err)
	must(t, os.WriteFile(to, content, 0o600))
}
