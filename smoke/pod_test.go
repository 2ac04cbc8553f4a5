package smoke

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// Whatever goes wrong, the findings fit into a termination message.
func TestFindingsFit(t *testing.T) {
	t.Parallel()
	nowhere := []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1")}
	name := strings.Repeat("node", 63)
	task := Task{
		Key: random(32), Node: name, Seconds: 0.5, Steps: []string{StepTCP, StepUDP, StepService, StepDNS, StepAPI, "of the future"},
		Peer: Peer{name, nowhere}, Beside: Peer{name, nowhere}, Service: netip.MustParseAddrPort("127.0.0.1:1"), Name: strings.Repeat("long.", 40) + "invalid",
	}
	found := task.ask(t.Context())
	text, err := json.Marshal(found)
	if err != nil || len(text) > maxFindings {
		t.Errorf("%d bytes, %v", len(text), err)
	}
	for _, f := range found.Findings {
		if f.Fault == "" {
			t.Errorf("%s is said to be well", f.Step)
		}
	}
	if last := found.Findings[5]; last.Step != "of the future" || !strings.Contains(last.Fault, "older than the runner") {
		t.Errorf("%+v", last)
	}
}

// The last attempt that had its time says more than one that was cut short.
func TestUntilWell(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	attempts := 0
	err := untilWell(ctx, func(ctx context.Context) error {
		if attempts++; attempts < 3 {
			return errors.New("refused")
		}
		<-ctx.Done()
		return ctx.Err()
	})
	if err == nil || err.Error() != "refused" {
		t.Errorf("%v after %d attempts", err, attempts)
	}
	attempts = 0
	err = untilWell(t.Context(), func(context.Context) error {
		if attempts++; attempts < 3 {
			return errors.New("not yet")
		}
		return nil
	})
	if err != nil || attempts != 3 {
		t.Errorf("%v after %d attempts", err, attempts)
	}
}

func TestPodWithoutTask(t *testing.T) {
	t.Parallel()
	for _, task := range []string{"nonsense", "{}", `{"key": "k"}`} {
		if err := Pod(t.Context(), roleClient, task, nil); err == nil || !strings.Contains(err.Error(), TaskVariable) {
			t.Errorf("%s: %v", task, err)
		}
	}
}
