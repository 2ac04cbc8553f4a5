package real

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// What a host's processes mount, start and leave behind ends with it.
func TestHostLeavesNothing(t *testing.T) {
	t.Parallel()
	h := NeedHost(t, HostOptions{})
	p := NewProcess(Command{Name: "sleep", Path: "/bin/sleep", Args: []string{"600"}, In: h})
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	// What it removes by a relative path is of no directory of this machine.
	if dir, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", p.Pid())); err != nil || filepath.Dir(dir) != h.Dir {
		t.Errorf("its process is in %q, %v", dir, err)
	}
	out, err := h.Run(t.Context(), "/bin/sh", "-ec", `
		mkdir `+h.Dir+`/full && mount -t tmpfs full `+h.Dir+`/full && touch `+h.Dir+`/full/file
		for root in /sys/fs/cgroup /sys/fs/cgroup/*; do mkdir $root/left/over -p 2>/dev/null || true; done
		(setsid sleep 700 >/dev/null 2>&1 &); until ps -C sleep -o args | grep -q 700; do sleep 0.05; done
		ls /sys/class/net; ps -e -o comm,args | grep -c .; ps -C sleep -o args`)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(out, "lo\n") || !strings.Contains(out, "sleep 700") || !strings.Contains(out, "sleep 600") || strings.Count(out, "\n") > 6 {
		t.Errorf("the host sees more or less than its own: %s", out)
	}
	cgroups, _ := filepath.Glob("/sys/fs/cgroup/*/" + filepath.Base(h.Dir) + "/left")
	v2, _ := filepath.Glob("/sys/fs/cgroup/" + filepath.Base(h.Dir) + "/left")
	if len(cgroups)+len(v2) == 0 {
		t.Error("the cgroup namespace is not the host's own")
	}
	if _, err := os.Stat(filepath.Join(h.Dir, "full", "file")); err == nil {
		t.Error("the host's mounts are seen outside")
	}
	if err := h.Stop(); err != nil {
		t.Fatal(err)
	}
	if p.Running() {
		t.Error("its process lives on")
	}
	left, _ := filepath.Glob("/sys/fs/cgroup/*/" + filepath.Base(h.Dir))
	if _, err := os.Stat(h.Dir); err == nil || len(left) > 0 {
		t.Errorf("left behind: %s, %v", h.Dir, left)
	}
}

// playHostParent starts a host and a process in it, tells their pids and the
// host's directory, and waits to be killed.
func playHostParent() {
	h, err := StartHost(context.Background(), HostOptions{})
	if err != nil {
		panic(err)
	}
	p := NewProcess(Command{Name: "sleep", Path: "/bin/sleep", Args: []string{"600"}, In: h})
	if err := p.Start(); err != nil {
		panic(err)
	}
	fmt.Println(h.Pid(), p.Pid(), h.Dir)
	select {}
}

// A program that is killed cannot clear up: the kernel ends what runs, and the
// next host removes the rest.
func TestHostDiesWithItsParent(t *testing.T) {
	t.Parallel()
	NeedHost(t, HostOptions{}) // or skip
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	parent := exec.Command(self)
	parent.Env = append(os.Environ(), parentRole+"=host")
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
	var host, process int
	var dir string
	if _, err := fmt.Sscan(line, &host, &process, &dir); err != nil || gone(host) || gone(process) {
		t.Fatalf("%q: %v", line, err)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	for deadline := time.Now().Add(10 * time.Second); !gone(host) || !gone(process); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the host outlives its parent")
		}
	}
	// Another program that starts a host just now may be the one to sweep.
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		h, err := StartHost(t.Context(), HostOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if err := h.Stop(); err != nil {
			t.Fatal(err)
		}
		left, _ := filepath.Glob("/sys/fs/cgroup/*/" + filepath.Base(dir))
		if _, err := os.Stat(dir); err != nil && len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("left behind: %s, %v", dir, left)
		}
	}
}
