package collectors

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// insideVariable tells the test binary that it was started by
// TestInotifyExhausted, and in which user namespace that runs.
const insideVariable = "GRAPEVINE_TEST_OUTER_USER_NAMESPACE"

// TestInotifyExhausted meets the kernel's limits in a user namespace, which
// has limits of its own: those of the machine are not touched.
func TestInotifyExhausted(t *testing.T) {
	const namespace = "/proc/self/ns/user"
	if outer := os.Getenv(insideVariable); outer != "" {
		if inner, err := os.Readlink(namespace); err != nil || inner == outer {
			t.Fatalf("not in a namespace of its own: %s, %v", inner, err)
		}
		for limit, want := range map[string]error{"max_inotify_instances": unix.EMFILE, "max_inotify_watches": unix.ENOSPC} {
			path := "/proc/sys/user/" + limit
			must(t, tryInotify())
			must(t, os.WriteFile(path, []byte("0"), 0))
			if err := tryInotify(); !errors.Is(err, want) {
				t.Errorf("%s exhausted: %v, want %v", limit, err, want)
			}
			must(t, os.WriteFile(path, []byte("1000"), 0))
		}
		return
	}
	outer, err := os.Readlink(namespace)
	must(t, err)
	cmd := exec.Command(os.Args[0], "-test.run=^TestInotifyExhausted$", "-test.v")
	cmd.Env = append(os.Environ(), insideVariable+"="+outer)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) && os.Getenv("CI") != "true" {
		t.Skipf("needs the right to make a user namespace: %v", err)
	}
	if err != nil || !strings.Contains(string(out), "--- PASS: TestInotifyExhausted") {
		t.Errorf("%v\n%s", err, out)
	}
}
