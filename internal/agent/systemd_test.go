package agent

import (
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestSystemd(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	t.Setenv("NOTIFY_SOCKET", socket)
	next := func() string {
		t.Helper()
		buf := make([]byte, 256)
		if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		for {
			n, err := conn.Read(buf)
			if err != nil {
				t.Fatal(err)
			}
			if s := string(buf[:n]); s != "WATCHDOG=1" {
				return s
			}
		}
	}

	cfg, logs := testConfig(t, "n1")
	a := start(t, cfg, logs)
	if got := next(); got != "READY=1" {
		t.Errorf("first said %q", got)
	}
	if err := a.Reload(); err != nil {
		t.Fatal(err)
	}
	if got := next(); !strings.HasPrefix(got, "RELOADING=1\nMONOTONIC_USEC=") {
		t.Errorf("at a reload said %q", got)
	}
	if got := next(); got != "READY=1" {
		t.Errorf("after a reload said %q", got)
	}
	if err := a.stop(); err != nil {
		t.Fatal(err)
	}
	if got := next(); got != "STOPPING=1" {
		t.Errorf("at the end said %q", got)
	}
}
