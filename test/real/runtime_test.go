package real

import (
	"strings"
	"testing"
)

func TestContainerd(t *testing.T) {
	t.Parallel()
	c := NeedContainerd(t, ContainerdOptions{PodCIDR: "10.99.0.0/24"})
	_, err := c.Ctr(t.Context(), "run", "--rm", PauseImage, "once", "/program", "exit", "0")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if out, err := c.Ctr(t.Context(), "images", "ls"); err != nil || !strings.Contains(out, PauseImage) {
		t.Error(out, err)
	}
}

func TestDockerd(t *testing.T) {
	t.Parallel()
	d := NeedDockerd(t, DockerdOptions{})
	image, err := WriteImage(t.Context(), t.TempDir(), "test:1", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Import(t.Context(), image); err != nil {
		t.Fatal(err)
	}
	if out, err := d.Docker(t.Context(), "run", "--rm", "--network=none", "test:1", "exit", "0"); err != nil {
		t.Fatal(out, err)
	}
	if err := d.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := d.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
}
