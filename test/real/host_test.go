package real

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What a host's processes mount, start and leave behind ends with it.
func TestHostLeavesNothing(t *testing.T) {
	t.Parallel()
	h := NeedHost(t, HostOptions{})
	p := NewProcess(Command{Name: "sleep", Path: "/bin/sleep", Args: []string{"600"}, In: h})
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	out, err := h.Run(t.Context(), "/bin/sh", "-ec", `
		mkdir `+h.Dir+`/full && mount -t tmpfs full `+h.Dir+`/full && touch `+h.Dir+`/full/file
		for root in /sys/fs/cgroup /sys/fs/cgroup/*; do mkdir $root/left/over -p 2>/dev/null || true; done
		(setsid sleep 700 >/dev/null 2>&1 &)
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
