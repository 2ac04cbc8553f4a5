package smoke

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"github.com/grapevine-mesh/grapevine/internal/echo"
)

// What is found in a pod.
const (
	terminationLog = "/dev/termination-log"
	rootCADir      = "/var/run/grapevine-smoke-ca"
)

// Pod does what runs inside a pod: it is a server or a client, as its part
// says. The task is JSON; empty: that of the environment. A server says on
// stdout that it is there, and a client what it has found, if the task is not
// that of the environment.
func Pod(ctx context.Context, part, task string, stdout io.Writer) error {
	given := task != ""
	if !given {
		task = os.Getenv(TaskVariable)
	}
	var t Task
	if err := json.Unmarshal([]byte(task), &t); err != nil || t.Key == "" || t.Seconds <= 0 {
		return fmt.Errorf("$%s holds no task: this runs in the pods of a smoke test", TaskVariable)
	}
	if part == roleServer {
		err := t.serve(ctx, stdout)
		if err == nil {
			t.endSandbox()
		}
		return err
	}
	text, err := json.Marshal(t.ask(ctx))
	if err != nil {
		return err
	}
	if given {
		_, err = fmt.Fprintf(stdout, "%s\n", text)
		return err
	}
	if len(text) > maxFindings {
		return fmt.Errorf("the findings are %d bytes long, more than a termination message holds", len(text))
	}
	f, err := os.OpenFile(terminationLog, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Close())
}

// endSandbox ends the sandbox that the container is in, and with it all that
// runs there.
func (t *Task) endSandbox() {
	if t.EndSandbox && os.Getpid() != 1 {
		_ = syscall.Kill(1, syscall.SIGTERM) // not every runtime lets a container do that
	}
}

func (t *Task) keys() echo.Keys { return func() [][]byte { return [][]byte{[]byte(t.Key)} } }

func (t *Task) limit() time.Duration { return time.Duration(t.Seconds * float64(time.Second)) }
