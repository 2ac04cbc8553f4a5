package collectors

import (
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
)

// On the loopback the largest packet there is passes. A peer without an address,
// or without a responder, is not judged.
func TestMTUOnTheLoopback(t *testing.T) {
	t.Parallel()
	well, dead, nowhere, mute := clockPeer(t, "n2", 0), clockPeer(t, "n3", 0), clockPeer(t, "n4", 0), clockPeer(t, "n5", 0)
	well.Overlay = well.Host
	free, err := net.Listen("tcp", "127.0.0.1:0") // for TCP only
	must(t, err)
	t.Cleanup(func() { _ = free.Close() })
	dead.Port = uint16(free.Addr().(*net.TCPAddr).Port)
	nowhere.Host, mute.Port = nil, 0
	env := testEnv()
	env.Node, env.EchoKeys, env.Peers = "n1", echoKeys([]byte("key")), func() []Peer { return []Peer{well, dead, nowhere, mute} }
	c, err := defaultMTUSettings().New(env)
	must(t, err)
	s := run(t, c, 30*time.Second)
	s.expect(t, "n2", health.OK)
	for _, network := range []string{"host", "overlay"} {
		if got := s.value(t, &mtuPath, "n2", network); got != 65535 {
			t.Errorf("%v bytes pass over the %s network", got, network)
		}
	}
	s.expect(t, "n3", health.Unknown, "n1 to n3: over the host network nobody listens on its echo port")
	if len(s.results) != 2 {
		t.Errorf("judged: %v", s.results)
	}
}

func TestInterfaceOf(t *testing.T) {
	t.Parallel()
	if got := interfaceOf(netip.MustParseAddr("127.0.0.1")); got != "lo" {
		t.Errorf("127.0.0.1 is on %q", got)
	}
	if got := interfaceOf(netip.MustParseAddr("192.0.2.1")); got != "" {
		t.Errorf("192.0.2.1 is on %q", got)
	}
}

func TestMTUSettings(t *testing.T) {
	t.Parallel()
	if _, err := defaultMTUSettings().New(testEnv()); !errors.Is(err, ErrAbsent) {
		t.Errorf("without a mesh: %v", err)
	}
	for key, change := range map[string]func(*mtuSettings){
		"neighbours":     func(s *mtuSettings) { s.Neighbours = 51 },
		"answer_timeout": func(s *mtuSettings) { s.AnswerTimeout = 10 * time.Second },
		"timeout":        func(s *mtuSettings) { s.Timeout = 0 },
	} {
		s := defaultMTUSettings()
		change(s)
		if err := s.Validate(); err == nil || err.Error()[:len(key)] != key {
			t.Errorf("%s: %v", key, err)
		}
	}
}
