package real

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Each two nodes of a cluster have about this many instances of inotify, all of
// them root's. A user may have 128 by default, and what gets none does not start
// and says so in odd words.
const inotifyOfTwo = 27

// needRoom waits until there is room for one more cluster on this machine, and
// holds it until the end of the test.
func needRoom(tb testing.TB, nodes int) {
	tb.Helper()
	var slots []net.Listener
	wanted := max(1, (nodes+1)/2)
	for told := false; ; time.Sleep(200 * time.Millisecond) {
		if slots == nil {
			slots = freeSlots(wanted)
		}
		if slots != nil && inotifyLeft(wanted*inotifyOfTwo) {
			tb.Cleanup(func() { closeAll(slots) })
			return
		}
		if err := tb.Context().Err(); err != nil {
			tb.Fatalf("waiting for room for a cluster: %v", err)
		}
		if !told {
			tb.Log("waiting for what runs on this machine to end, so that there is room for a cluster")
			told = true
		}
	}
}

// freeSlots are some of as many as pairs of nodes fit beside some others'
// instances; nil: too many are taken. Programs tell each other as for ports.
func freeSlots(wanted int) (slots []net.Listener) {
	const others = 20
	text, _ := os.ReadFile("/proc/sys/fs/inotify/max_user_instances")
	most, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	for i := range max(wanted, (most-others)/inotifyOfTwo) {
		if l, err := net.Listen("unix", fmt.Sprintf("@grapevine-test-cluster-%d", i)); err == nil {
			slots = append(slots, l)
		}
		if len(slots) == wanted {
			return slots
		}
	}
	closeAll(slots)
	return nil
}

func closeAll(slots []net.Listener) {
	for _, l := range slots {
		_ = l.Close() // nobody has connected
	}
}

// inotifyLeft tries it: others know nothing of slots.
func inotifyLeft(wanted int) bool {
	for range wanted {
		fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
		if err != nil {
			return false
		}
		defer func() { _ = unix.Close(fd) }()
	}
	return true
}
