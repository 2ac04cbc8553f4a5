package mesh

import (
	"testing"
	"testing/synctest"
	"time"
)

// The clock of simulated agents is itself worth a test: it is written by hand.
func TestSimulatedClock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &agent{}
		before := a.now()
		time.Sleep(time.Second)
		a.jump.Store(-3600)
		after := a.now()
		if got := after.Sub(before); got != time.Second {
			t.Errorf("a second took %v", got)
		}
		if got := after.Round(0).Sub(before.Round(0)); got != time.Second-time.Hour {
			t.Errorf("the wall clock jumped by %v", got)
		}
	})
}
