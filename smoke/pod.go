package smoke

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/grapevine-mesh/grapevine/internal/echo"
)

// What is found in a pod.
const (
	terminationLog = "/dev/termination-log"
	rootCADir      = "/var/run/grapevine-smoke-ca"
)

// Pod does what runs inside a pod: it is a server or a client, as its part
// says, with the task from the environment. A server says on stdout that it
// is there.
func Pod(ctx context.Context, part string, stdout io.Writer) error {
	var t Task
	if err := json.Unmarshal([]byte(os.Getenv(TaskVariable)), &t); err != nil || t.Key == "" || t.Seconds <= 0 {
		return fmt.Errorf("$%s holds no task: this runs in the pods of a smoke test", TaskVariable)
	}
	if part == roleServer {
		return t.serve(ctx, stdout)
	}
	text, err := json.Marshal(t.ask(ctx))
	if err != nil {
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

func (t *Task) keys() echo.Keys { return func() [][]byte { return [][]byte{[]byte(t.Key)} } }

func (t *Task) limit() time.Duration { return time.Duration(t.Seconds * float64(time.Second)) }
