package real

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A cluster of two nodes has about this many instances of inotify, all of them
// root's. A user may have 128 by default, and what gets none does not start and
// says so in odd words.
const inotifyOfCluster = 27

// needRoom waits until there is room for one more cluster on this machine, and
// holds it until the end of the test. Programs tell each other as for ports.
func needRoom(tb testing.TB) {
	tb.Helper()
	for told := false; ; time.Sleep(200 * time.Millisecond) {
		for i := range roomForClusters() {
			if l, err := net.Listen("unix", fmt.Sprintf("@grapevine-test-cluster-%d", i)); err == nil {
				tb.Cleanup(func() { _ = l.Close() })
				return
			}
		}
		if err := tb.Context().Err(); err != nil {
			tb.Fatalf("waiting for other clusters on this machine to end: %v", err)
		}
		if !told {
			tb.Log("waiting for other clusters on this machine to end")
			told = true
		}
	}
}

// roomForClusters leaves some instances to others.
func roomForClusters() int {
	const others = 20
	text, err := os.ReadFile("/proc/sys/fs/inotify/max_user_instances")
	most, bad := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || bad != nil {
		return 1
	}
	return max(1, (most-others)/inotifyOfCluster)
}
