package mesh

import (
	"testing"
	"time"
)

func TestPace(t *testing.T) {
	t.Parallel()
	for members, want := range map[int]time.Duration{
		1: 5 * time.Second, 300: 5 * time.Second, 450: 7500 * time.Millisecond, 900: 15 * time.Second, 5000: 15 * time.Second,
	} {
		if got := pace(5*time.Second, members); got != want {
			t.Errorf("%d members: %v, want %v", members, got, want)
		}
	}
}
