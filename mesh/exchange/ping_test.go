package exchange

import (
	"context"
	"errors"
	"syscall"
	"testing"
	"time"
)

func TestPing(t *testing.T) {
	t.Parallel()
	a, b := listen(t, "a"), listen(t, "b")
	for range 2 { // over a new connection, and over the same
		if err := a.Ping(t.Context(), "b", b.addr); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Ping(t.Context(), "c", b.addr); err == nil {
		t.Error("b answered as c")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := a.Ping(ctx, "b", "127.0.0.1:1"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("nobody listens: %v", err)
	}
	stranger := listen(t, "stranger")
	stranger.cfg.Cluster = "another"
	if err := stranger.Ping(t.Context(), "b", b.addr); !errors.Is(err, ErrRefused) {
		t.Errorf("a stranger: %v", err)
	}
}
