package smoke

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
)

// endAfter starts a run in a process of its own, ends that when a step has gone
// well, and returns what it has reported, and its exit code. A machine without
// time may not let it get there in its own.
func (c *containerRuntimeTest) endAfter(t *testing.T, step string, by os.Signal, patience time.Duration) (r Report, code int) {
	t.Helper()
	for range 8 {
		var reached bool
		if r, code, reached = c.tryEndAfter(t, step, by, patience); reached {
			return r, code
		}
	}
	t.Errorf("%s was not reached: %s", step, r.Reason)
	return r, code
}

func (c *containerRuntimeTest) tryEndAfter(t *testing.T, step string, by os.Signal, patience time.Duration) (r Report, code int, reached bool) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(filepath.Dir(imageTar(t)), "grapevine"), "smoke", "--output=json",
		"--runtime="+c.Runtime, "--runtime.socket="+c.Socket, "--patience="+patience.String(), "--deadline="+(3*patience).String())
	var report bytes.Buffer
	cmd.Stdout = &report
	progress, err := cmd.StderrPipe()
	must(t, err)
	must(t, cmd.Start())
	for lines := bufio.NewScanner(progress); lines.Scan(); {
		t.Log(lines.Text())
		if words := strings.Fields(lines.Text()); len(words) > 1 && words[0] == "OK" && words[1] == step {
			reached = true
			time.Sleep(20 * time.Millisecond) // the next one has begun
			must(t, cmd.Process.Signal(by))
		}
	}
	_ = cmd.Wait() // the code tells
	if report.Len() > 0 {
		must(t, json.Unmarshal(report.Bytes(), &r))
	}
	return r, cmd.ProcessState.ExitCode(), reached
}

// kill ends runs in the steps after these ones, without a chance to clear up,
// and returns what runs since.
func (c *containerRuntimeTest) kill(t *testing.T, steps ...string) []string {
	t.Helper()
	before := c.running(t)
	for _, step := range steps {
		c.endAfter(t, step, syscall.SIGKILL, 10*time.Second)
	}
	return slices.DeleteFunc(c.running(t), func(id string) bool { return slices.Contains(before, id) })
}

// interrupt ends a run as Ctrl-C does: it clears up.
func (c *containerRuntimeTest) interrupt(t *testing.T, step string) {
	t.Helper()
	r, code := c.endAfter(t, step, os.Interrupt, ample)
	if code != int(health.Unknown) || !strings.HasSuffix(r.Reason, ": interrupted") || len(r.Leftovers) > 0 {
		t.Errorf("exit code %d, %s, left %v", code, r.Reason, r.Leftovers)
	}
	c.expectNothingLeft(t, r)
}

// expectEnded wants what killed runs have started to end by itself.
func (c *containerRuntimeTest) expectEnded(t *testing.T, started []string) {
	t.Helper()
	if len(started) == 0 {
		t.Error("nothing was left")
	}
	until(t, "all has ended", func() bool {
		running := c.running(t)
		return !slices.ContainsFunc(started, func(id string) bool { return slices.Contains(running, id) })
	})
}

// expectSwept wants later runs to remove what others have left.
func (c *containerRuntimeTest) expectSwept(t *testing.T) {
	t.Helper()
	if c.left(t, untilLabel) == "" {
		t.Error("nothing was left")
	}
	c.expectOver(t)
	swept := 0
	until(t, "all is swept", func() bool {
		r := c.run(t, containerSettings(), nil, nil)
		if r.Status != health.OK {
			t.Errorf("%v: %s", r.Status, r.Reason)
		}
		t.Logf("swept %v, and not yet %v", r.Swept, r.Leftovers)
		swept += len(r.Swept)
		return c.left(t, untilLabel) == ""
	})
	if swept == 0 {
		t.Error("nothing was swept")
	}
}

// expectOver waits until no run is under way any more that has left something.
func (c *containerRuntimeTest) expectOver(t *testing.T) {
	t.Helper()
	r, err := newContainerRun(t.Context(), containerSettings(), c.ContainerOptions)
	must(t, err)
	defer func() { must(t, r.runtime.Close()) }()
	until(t, "all runs are over", func() bool {
		all, err := r.runtime.things(t.Context())
		must(t, err)
		return !slices.ContainsFunc(all, func(left thing) bool { return !over(left.labels, time.Now()) })
	})
}
