package smoke

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
)

// killedDeadline is that of runs that are killed.
const killedDeadline = 30 * time.Second

// endAfter starts a run in a process of its own, ends that when a step has
// gone well, and returns what it has reported, and its exit code.
func (c *containerRuntimeTest) endAfter(t *testing.T, step string, by os.Signal) (r Report, code int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(filepath.Dir(imageTar(t)), "grapevine"), "smoke", "--output=json",
		"--runtime="+c.Runtime, "--runtime.socket="+c.Socket, "--patience=10s", "--deadline="+killedDeadline.String())
	var report bytes.Buffer
	cmd.Stdout = &report
	progress, err := cmd.StderrPipe()
	must(t, err)
	must(t, cmd.Start())
	reached := false
	for lines := bufio.NewScanner(progress); lines.Scan(); {
		t.Log(lines.Text())
		if words := strings.Fields(lines.Text()); len(words) > 1 && words[0] == "OK" && words[1] == step {
			reached = true
			time.Sleep(20 * time.Millisecond) // the next one has begun
			must(t, cmd.Process.Signal(by))
		}
	}
	if err := cmd.Wait(); !reached {
		t.Errorf("%s was not reached: %v", step, err)
	}
	if report.Len() > 0 {
		must(t, json.Unmarshal(report.Bytes(), &r))
	}
	return r, cmd.ProcessState.ExitCode()
}

// kill ends runs in the steps after these ones, without a chance to clear up.
func (c *containerRuntimeTest) kill(t *testing.T, steps ...string) {
	t.Helper()
	for _, step := range steps {
		c.endAfter(t, step, syscall.SIGKILL)
	}
}

// interrupt ends a run as Ctrl-C does: it clears up.
func (c *containerRuntimeTest) interrupt(t *testing.T, step string) {
	t.Helper()
	r, code := c.endAfter(t, step, os.Interrupt)
	if code != int(health.Unknown) || !strings.HasSuffix(r.Reason, ": interrupted") || len(r.Leftovers) > 0 {
		t.Errorf("exit code %d, %s, left %v", code, r.Reason, r.Leftovers)
	}
	c.expectNothingLeft(t, r)
}

// expectEnded wants all that killed runs have started to end by itself.
func (c *containerRuntimeTest) expectEnded(t *testing.T) {
	t.Helper()
	if c.left(t, untilLabel) == "" {
		t.Error("nothing was left")
	}
	until(t, "all has ended", func() bool { return c.running(t) == "" })
}

// expectSwept wants later runs to remove what others have left.
func (c *containerRuntimeTest) expectSwept(t *testing.T) {
	t.Helper()
	if c.left(t, untilLabel) == "" {
		t.Error("nothing was left")
	}
	swept := 0
	until(t, "all is swept", func() bool {
		r := c.run(t, containerSettings(), nil)
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
