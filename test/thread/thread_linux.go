// Package thread runs functions on threads of their own, which may leave the
// namespaces of this program. It stands below what starts real components.
package thread

import (
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// Own starts f on a thread that ends with it, so that no other goroutine finds
// itself where f has moved the thread. It is never the main thread: that one
// cannot end, and it is the one that /proc/self tells of.
func Own(f func()) {
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() != os.Getpid() {
			f()
			return
		}
		// Held here, the main thread cannot be the next goroutine's.
		taken := make(chan struct{})
		go func() {
			runtime.LockOSThread()
			close(taken)
			f()
		}()
		<-taken
		runtime.UnlockOSThread()
	}()
}
