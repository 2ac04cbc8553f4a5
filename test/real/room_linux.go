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

// A cluster of two nodes has about this many instances of inotify, all of them
// root's. A user may have 128 by default, and what gets none does not start and
// says so in odd words.
const inotifyOfCluster = 27

// needRoom waits until there is room for one more cluster on this machine, and
// holds it until the end of the test.
func needRoom(tb testing.TB) {
	tb.Helper()
	var slot net.Listener
	for told := false; ; time.Sleep(200 * time.Millisecond) {
		if slot == nil {
			slot = freeSlot()
		}
		if slot != nil && inotifyLeft() {
			tb.Cleanup(func() { _ = slot.Close() })
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

// freeSlot is one of as many as clusters fit beside some others' instances;
// nil: all are taken. Programs tell each other as for ports.
func freeSlot() net.Listener {
	const others = 20
	text, _ := os.ReadFile("/proc/sys/fs/inotify/max_user_instances")
	most, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	for i := range max(1, (most-others)/inotifyOfCluster) {
		if l, err := net.Listen("unix", fmt.Sprintf("@grapevine-test-cluster-%d", i)); err == nil {
			return l
		}
	}
	return nil
}

// inotifyLeft tries it: others know nothing of slots.
func inotifyLeft() bool {
	for range inotifyOfCluster {
		fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
		if err != nil {
			return false
		}
		defer func() { _ = unix.Close(fd) }()
	}
	return true
}
