package smoke

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/grapevine-mesh/grapevine/internal/echo"
)

// loopback is an address that nobody else uses now.
func loopback() netip.Addr {
	return netip.AddrFrom4([4]byte{127, byte(1 + rand.IntN(250)), byte(rand.IntN(250)), byte(2 + rand.IntN(250))})
}

// needServer answers at the echo port of a new address, each time after a
// delay, until the returned function is called.
func needServer(t *testing.T, key string, delay time.Duration) (netip.Addr, func()) {
	t.Helper()
	responder := echo.NewResponder(echo.Config{Node: "n1", Keys: (&Task{Key: key}).keys()})
	must(t, responder.Listen("127.0.0.1:0"))
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- responder.Run(ctx) }()
	addr := loopback()
	front, err := net.Listen("tcp", netip.AddrPortFrom(addr, echoPort).String())
	must(t, err)
	go func() {
		for {
			c, err := front.Accept()
			if err != nil {
				return
			}
			time.Sleep(delay)
			if behind, err := net.Dial("tcp", responder.Addr().String()); err == nil {
				go func() { _, _ = io.Copy(behind, c) }()
				_, _ = io.Copy(c, behind)
				_ = behind.Close()
			}
			_ = c.Close()
		}
	}()
	stopped := false
	stop := func() {
		if !stopped {
			stopped = true
			_ = front.Close()
			cancel()
			must(t, <-ended)
		}
	}
	t.Cleanup(stop)
	return addr, stop
}

// A policy is told from a network, and from a node, that has no time now.
func TestKeptOut(t *testing.T) {
	t.Parallel()
	const answers, silent = "answers, though a NetworkPolicy lets nobody reach it", "does not answer, though no NetworkPolicy guards it: connection refused"
	key := random(32)
	at := func(addr netip.Addr) Peer { return Peer{Node: "n1", Addrs: []netip.Addr{addr}} }
	there, stop := needServer(t, key, 0)
	late, _ := needServer(t, key, attemptPatience)
	for name, test := range map[string]struct {
		guarded, peer netip.Addr
		want          string
	}{
		"it is enforced":                         {loopback(), there, ""},
		"it is not enforced":                     {there, there, answers},
		"it is not enforced, by who has no time": {late, there, answers},
		"nobody answers":                         {loopback(), loopback(), silent},
	} {
		task := Task{Key: key, Node: "n2", Guarded: at(test.guarded), Peer: at(test.peer)}
		err := task.keptOut()(t.Context())
		if text := fmt.Sprint(err); (err != nil) != (test.want != "") || !strings.Contains(text, test.want) && err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}

	task := Task{Key: key, Node: "n2", Guarded: at(there), Peer: at(there)}
	attempt := task.keptOut()
	first := attempt(t.Context())
	stop()
	if second := fmt.Sprint(attempt(t.Context())); !strings.Contains(second, silent) || !strings.HasSuffix(second, "; before that, "+fmt.Sprint(first)) {
		t.Errorf("%s", second)
	}
}
