package real

import (
	"bufio"
	"errors"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// parentRole makes this test binary play the parent that is killed.
const parentRole = "GRAPEVINE_TEST_PARENT"

func TestMain(m *testing.M) {
	if os.Getenv(parentRole) != "" {
		playParent()
	}
	goleak.VerifyTestMain(m)
}

// playParent starts a child, tells its pid, and waits to be killed.
func playParent() {
	if os.Getenv(parentRole) == "host" {
		playHostParent()
	}
	p := NewProcess(Command{Name: "child", Path: "/bin/sleep", Args: []string{"600"}})
	if err := p.Start(); err != nil {
		panic(err)
	}
	_, _ = os.Stdout.WriteString(strconv.Itoa(p.Pid()) + "\n")
	select {}
}

func TestChildDiesWithItsParent(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	parent := exec.Command(self)
	parent.Env = append(os.Environ(), parentRole+"=1")
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	child, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	if gone(child) {
		t.Fatal("the child does not run")
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	for deadline := time.Now().Add(5 * time.Second); !gone(child); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the child outlives its parent")
		}
	}
}

// gone reports whether no process of that id is at work. One that has ended
// and that nobody has waited for yet is gone, too.
func gone(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)
	}
	_, state, _ := strings.Cut(string(stat), ") ")
	return strings.HasPrefix(state, "Z") || strings.HasPrefix(state, "X")
}

func TestProcess(t *testing.T) {
	for _, c := range []struct {
		name   string
		script string
		end    func(*Process) error
	}{
		{"ends at SIGTERM", "exec sleep 600", (*Process).Stop},
		{"ends at SIGKILL", "trap '' TERM; exec sleep 600", (*Process).Kill},
		{"ends while paused", "exec sleep 600", func(p *Process) error { return errors.Join(p.Pause(), p.Stop()) }},
		{"has ended by itself", "exit 3", func(p *Process) error { <-p.Done(); return p.Stop() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			var log strings.Builder
			p := NewProcess(Command{Name: "it", Path: "/bin/sh", Args: []string{"-c", "echo one; echo -n two; " + c.script}, Log: &log})
			if p.Running() || p.Stop() != nil {
				t.Fatal("a process that was never started runs, or cannot be stopped")
			}
			for range 2 { // it can be started again
				log.Reset()
				if err := p.Start(); err != nil {
					t.Fatal(err)
				}
				for !strings.Contains(p.Log(), "two") {
					time.Sleep(time.Millisecond)
				}
				if err := c.end(p); err != nil {
					t.Fatal(err)
				}
				if p.Running() || !gone(p.Pid()) {
					t.Fatal("the process is still there")
				}
				if got, want := log.String(), "it: one\nit: two\n"; got != want {
					t.Fatalf("Log got %q, want %q", got, want)
				}
			}
		})
	}
}

func TestTailKeepsTheEnd(t *testing.T) {
	out := newTail("it", nil)
	for range 1000 {
		_, _ = out.Write([]byte(strings.Repeat("x", 999) + "\n"))
	}
	_, _ = out.Write([]byte("last"))
	if got := out.String(); len(got) != tailSize || !strings.HasSuffix(got, "last") {
		t.Fatalf("kept %d bytes that end in %q", len(got), got[len(got)-8:])
	}
}

func TestFreePort(t *testing.T) {
	seen := map[int]bool{}
	for range 50 {
		port, err := FreePort()
		if err != nil {
			t.Fatal(err)
		}
		if seen[port] {
			t.Fatalf("port %d was given twice", port)
		}
		seen[port] = true
		l, err := net.Listen("tcp", loopbackAddr(port))
		if err != nil {
			t.Fatal(err)
		}
		if isFree(port) {
			t.Errorf("port %d counts as free while it is listened on", port)
		}
		_ = l.Close()
	}
}
