package heap

import (
	"runtime"
	"runtime/metrics"
	"testing"
	"time"
)

func TestPercentOf(t *testing.T) {
	t.Parallel()
	const mb = 1 << 20
	for inUse, want := range map[uint64]int{0: 100, 1: 100, 6 * mb: 100, 12 * mb: 50, 20 * mb: 30, 200 * mb: 30} {
		if got := percentOf(inUse); got != want {
			t.Errorf("with %d bytes in use it is %d, not %d", inUse, got, want)
		}
	}
}

// The collector is told with each collection how much is in use, and nothing
// stays of that in the end.
func TestBound(t *testing.T) {
	t.Setenv("GOGC", "")
	before := set()
	end := Bound()
	told := func(want int) {
		t.Helper()
		runtime.GC()
		for late := time.Now().Add(time.Minute); set() != want; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(late) {
				t.Fatalf("the collector is told %d, want %d", set(), want)
			}
		}
	}
	told(most)
	held := make([]byte, 64<<20)
	told(least)
	runtime.KeepAlive(held)
	told(most)
	end()
	if got := set(); got != before {
		t.Errorf("it is left at %d, and was %d", got, before)
	}
	runtime.GC()
	time.Sleep(100 * time.Millisecond)
	if got := set(); got != before {
		t.Errorf("it goes on: told %d", got)
	}
}

func TestGOGCDecides(t *testing.T) {
	t.Setenv("GOGC", "200")
	before := set()
	end := Bound()
	if got := set(); got != before {
		t.Errorf("it is set to %d", got)
	}
	end()
}

// set is what the collector has been told, in percent.
func set() int {
	sample := []metrics.Sample{{Name: "/gc/gogc:percent"}}
	metrics.Read(sample)
	return int(sample[0].Value.Uint64())
}
