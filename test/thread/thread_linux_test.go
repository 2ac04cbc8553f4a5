package thread

import (
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// However many goroutines ask at once, none gets the main thread, and each has
// one of its own.
func TestOwn(t *testing.T) {
	const many = 200
	threads := make(chan int)
	release := make(chan struct{})
	for range many {
		Own(func() {
			threads <- unix.Gettid()
			<-release
		})
	}
	seen := map[int]bool{os.Getpid(): true}
	for range many {
		id := <-threads
		if seen[id] {
			t.Errorf("thread %d is the main thread, or has two owners", id)
		}
		seen[id] = true
	}
	close(release)
	runtime.Gosched()
}
