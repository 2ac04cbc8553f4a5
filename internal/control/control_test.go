package control

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/grapevine-mesh/grapevine/mesh"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestAskAndServe(t *testing.T) {
	dir := t.TempDir()
	// A dead agent has left its socket.
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, socket)})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	_ = stale.Close()
	if _, err := Ask(t.Context(), dir, Request{Do: List}); err == nil || !strings.Contains(err.Error(), "no agent runs here") {
		t.Errorf("asking the dead: %v", err)
	}

	l, err := Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(dir, socket)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket: %v, %v", info, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		Serve(ctx, l, func(ctx context.Context, r Request) (mesh.Keyring, error) {
			switch r.Do {
			case List:
				return mesh.Keyring{Members: []string{"a"}}, nil
			case Add:
				return mesh.Keyring{}, errors.New("got " + string(r.Key))
			}
			<-ctx.Done() // hangs
			return mesh.Keyring{}, ctx.Err()
		})
	}()
	if k, err := Ask(t.Context(), dir, Request{Do: List}); err != nil || len(k.Members) != 1 {
		t.Errorf("%+v, %v", k, err)
	}
	if _, err := Ask(t.Context(), dir, Request{Do: Add, Key: []byte("key")}); err == nil || err.Error() != "got key" {
		t.Errorf("an error comes as %v", err)
	}
	// Who writes garbage, nothing or without end costs one connection for a while.
	for _, garbage := range []string{"garbage\n", strings.Repeat(`{"do":"`, 1<<15)} {
		c, err := net.Dial("unix", filepath.Join(dir, socket))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = c.Write([]byte(garbage))
		b := make([]byte, 1000)
		_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
		if n, _ := c.Read(b); !strings.Contains(string(b[:n]), "cannot be read") {
			t.Errorf("garbage is answered with %s", b[:n])
		}
		_ = c.Close()
	}
	// An end in the middle of an answer.
	go func() { time.Sleep(100 * time.Millisecond); cancel() }()
	began := time.Now()
	if _, err := Ask(t.Context(), dir, Request{Do: Use}); err == nil {
		t.Error("it answers though it hangs")
	}
	<-done
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it took %v to end", took)
	}
	if _, err := os.Stat(filepath.Join(dir, socket)); err == nil {
		t.Error("the socket is left behind")
	}
}

func TestListenRefuses(t *testing.T) {
	for _, dir := range []string{"/nonexistent", "/" + strings.Repeat("x", 200)} {
		if _, err := Listen(dir); err == nil {
			t.Errorf("%s passes", dir)
		}
	}
}
