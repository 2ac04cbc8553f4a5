package collectors

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/grapevine-mesh/grapevine/health"
)

// elsewhereVariable makes this test program run one check for another test,
// in a network namespace for one: sockets belong to where their process is.
const elsewhereVariable = "GRAPEVINE_TEST_ELSEWHERE"

// elsewhere is a check that runs in a process of its own.
type elsewhere struct {
	Check    string // its name
	Settings string // its block of the configuration file
	Node     string
	Peers    []Peer // may be changed between runs
	EchoKey  []byte

	timeout time.Duration
	ask     *json.Encoder
	answers *json.Decoder
}

// elsewhereAnswer is what a run came to.
type elsewhereAnswer struct {
	Error   string // why there is none
	Samples []elsewhereSample
	Results []health.Result
}

type elsewhereSample struct {
	Metric string
	Labels []string
	Value  float64
}

// start builds the check in a new process; command returns one that runs a
// program there. It ends with the test.
func (e *elsewhere) start(t *testing.T, command func(path string, args ...string) *exec.Cmd) {
	t.Helper()
	program, err := os.Executable()
	must(t, err)
	cmd := command(program)
	cmd.Env = append(os.Environ(), elsewhereVariable+"=1")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = in.Close() // ends it
		if err := cmd.Wait(); err != nil {
			t.Errorf("the process of %s on %s: %v", e.Check, e.Node, err)
		}
	})
	e.ask, e.answers = json.NewEncoder(in), json.NewDecoder(out)
	settings, err := elsewhereSettings(e)
	must(t, err)
	e.timeout = settings.Schedule().Timeout
}

// run lets the check look once, as run does for one that is here.
func (e *elsewhere) run(t *testing.T) seen {
	t.Helper()
	must(t, e.ask.Encode(e))
	var answer elsewhereAnswer
	start := time.Now()
	must(t, e.answers.Decode(&answer))
	if answer.Error != "" {
		t.Fatalf("%s on %s: %s", e.Check, e.Node, answer.Error)
	}
	samples := make([]Sample, len(answer.Samples))
	for i, s := range answer.Samples {
		samples[i] = Sample{Metric: metricNamed(t, s.Metric), Labels: s.Labels, Value: s.Value}
	}
	checkSamples(t, samples)
	s := seen{samples: samples, results: make(map[string]health.Result), took: time.Since(start)}
	for _, result := range answer.Results {
		if _, twice := s.results[result.Subject]; twice {
			t.Errorf("two verdicts on %q", result.Subject)
		}
		s.results[result.Subject] = result
	}
	return s
}

func metricNamed(t *testing.T, name string) *Metric {
	t.Helper()
	for _, spec := range All() {
		for i := range spec.Metrics {
			if spec.Metrics[i].Name == name {
				return &spec.Metrics[i]
			}
		}
	}
	t.Fatalf("no check declares %s", name)
	return nil
}

func elsewhereSettings(e *elsewhere) (Settings, error) {
	i := slices.IndexFunc(All(), func(s Spec) bool { return s.Name == e.Check })
	if i < 0 {
		return nil, fmt.Errorf("no check %q", e.Check)
	}
	settings := All()[i].Settings()
	if err := yaml.Unmarshal([]byte(e.Settings), settings); err != nil {
		return nil, err
	}
	return settings, settings.Validate()
}

// runElsewhere is the other process: it builds the check that is asked for
// first, and runs it for each line it reads.
func runElsewhere(in io.Reader, out io.Writer) (exit int) {
	questions, answers := json.NewDecoder(in), json.NewEncoder(out)
	var c Collector
	for {
		var e elsewhere
		if err := questions.Decode(&e); errors.Is(err, io.EOF) {
			return 0
		} else if err != nil {
			return 1
		}
		var answer elsewhereAnswer
		settings, err := elsewhereSettings(&e)
		env := testEnv()
		env.Node, env.EchoKeys = e.Node, echoKeys(e.EchoKey)
		env.Peers = func() []Peer { return peersElsewhere }
		peersElsewhere = e.Peers
		if err == nil && c == nil {
			c, err = settings.New(env)
		}
		if err == nil {
			answer, err = runOnce(c, settings.Schedule().Timeout)
		}
		if err != nil {
			answer.Error = err.Error()
		}
		if err := answers.Encode(answer); err != nil {
			return 1
		}
	}
}

// peersElsewhere are those of the run that is asked for.
var peersElsewhere []Peer

func runOnce(c Collector, timeout time.Duration) (elsewhereAnswer, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	r := NewReport(time.Now)
	err := c.Collect(ctx, r)
	if ctx.Err() != nil {
		err = errors.Join(err, fmt.Errorf("Collect used up its time, %v", timeout))
	}
	samples, results := r.Take()
	answer := elsewhereAnswer{Results: results}
	for _, s := range samples {
		answer.Samples = append(answer.Samples, elsewhereSample{s.Metric.Name, s.Labels, s.Value})
	}
	return answer, err
}
