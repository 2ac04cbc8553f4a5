package collectors

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/internal/echo"
)

// clockPeer runs a real one on the loopback, whose clock is shifted, and
// returns the node that it makes.
func clockPeer(t *testing.T, name string, shift time.Duration) Peer {
	t.Helper()
	r := echo.NewResponder(echo.Config{Node: name, Keys: echoKeys([]byte("key")), Now: func() time.Time { return time.Now().Add(shift) }})
	must(t, r.Listen("127.0.0.1:0"))
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := r.Run(ctx); err != nil {
			t.Errorf("responder of %s: %v", name, err)
		}
	})
	t.Cleanup(func() { cancel(); running.Wait() })
	return Peer{Name: name, Host: []netip.Addr{r.Addr().Addr()}, Port: r.Addr().Port(), Since: time.Now().Add(-time.Hour)}
}

// echoKeys is a keyring that does not change.
func echoKeys(keys ...[]byte) echo.Keys { return func() [][]byte { return keys } }

// clockAmong is the check on node n1 among these peers.
func clockAmong(t *testing.T, peers ...Peer) *clockCheck {
	t.Helper()
	env := testEnv()
	env.Node, env.EchoKeys, env.Peers = "n1", echoKeys([]byte("key")), func() []Peer { return peers }
	c, err := defaultClockSettings().New(env)
	must(t, err)
	return c.(*clockCheck)
}

func TestClockAgainstPeers(t *testing.T) {
	t.Parallel()
	const right = 0
	gone, err := net.ListenPacket("udp", "127.0.0.1:0") // takes requests, and answers none
	must(t, err)
	t.Cleanup(func() { _ = gone.Close() })
	silent := Peer{Name: "silent", Host: []netip.Addr{netip.MustParseAddr("127.0.0.1")}, Port: uint16(gone.LocalAddr().(*net.UDPAddr).Port)}
	for _, c := range []struct {
		name   string
		shifts []time.Duration // of the peers n2, n3, ...
		silent bool            // one more does not answer
		status health.Status
		words  []string
	}{
		{name: "all agree", shifts: []time.Duration{right, right, right, right, right}, status: health.OK},
		{name: "this node is ahead", shifts: []time.Duration{-3 * time.Second, -3 * time.Second, -3 * time.Second},
			status: health.Warning, words: []string{"n1's clock is 3 s ahead of the median of its peers n2, n3, n4"}},
		{name: "this node is far behind", shifts: []time.Duration{time.Hour, time.Hour, time.Hour, time.Hour},
			status: health.Critical, words: []string{"n1's clock is 1h0m0s behind the median"}},
		{name: "one peer is ahead", shifts: []time.Duration{right, 5 * time.Second, right},
			status: health.OK, words: []string{"n1's clock agrees with the others", "n3's clock is 5 s ahead of them"}},
		{name: "one of two peers is behind", shifts: []time.Duration{-5 * time.Second, right},
			status: health.OK, words: []string{"n2's clock is 5 s behind them"}},
		{name: "two of five peers lie", shifts: []time.Duration{time.Hour, right, right, time.Hour, right},
			status: health.OK, words: []string{"n2's clock", "n5's clock"}},
		{name: "both peers are ahead", shifts: []time.Duration{2 * time.Second, 2 * time.Second},
			status: health.Warning, words: []string{"2 s behind the median of its peers n2, n3"}},
		{name: "one peer only", shifts: []time.Duration{time.Hour},
			status: health.Warning, words: []string{"that of n2", "which of them is wrong cannot be told"}},
		{name: "a silent peer", shifts: []time.Duration{right, right, right}, silent: true, status: health.OK},
		{name: "nobody answers", silent: true, status: health.Unknown, words: []string{"none of silent tells its time (no answer within"}},
		{name: "a wrong clock below the limit", shifts: []time.Duration{900 * time.Millisecond, 900 * time.Millisecond}, status: health.OK},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var peers []Peer
			for i, shift := range c.shifts {
				peers = append(peers, clockPeer(t, "n"+string(rune('2'+i)), shift))
			}
			if c.silent {
				peers = append(peers, silent)
			}
			check := clockAmong(t, peers...)
			s := run(t, check, 20*time.Second)
			s.expect(t, "peers", c.status, c.words...)
			for i, p := range peers {
				answers := boolean(p.Name != "silent")
				if got := s.value(t, &clockPeerSuccess, p.Name); got != answers {
					t.Errorf("%s: success %v", p.Name, got)
				}
				if answers == 0 {
					continue
				}
				off := s.value(t, &clockPeerOffset, p.Name) - c.shifts[i].Seconds()
				if bound := s.value(t, &clockPeerError, p.Name); bound < 0 || bound > 5 || max(off, -off) > bound+0.001 {
					t.Errorf("%s: measured wrong by %v s, bound %v s", p.Name, off, bound)
				}
			}
			if c.name == "this node is ahead" {
				if got := s.value(t, &clockOffset); got < 2.9 || got > 3.1 {
					t.Errorf("offset %v", got)
				}
			}
		})
	}
}

func TestClockOfTheKernel(t *testing.T) {
	t.Parallel()
	check := clockAmong(t)
	s := run(t, check, 20*time.Second) // what the real one says
	now, err := readKernelClock()
	must(t, err)
	status := health.Warning
	if now.synchronized {
		status = health.OK
	}
	s.expect(t, "kernel", status)
	if got := s.value(t, &clockKernelSynchronized); got != boolean(now.synchronized) {
		t.Errorf("synchronized: %v", got)
	}
	if _, judged := s.results["peers"]; judged || s.has(&clockOffset) {
		t.Error("a node without peers was compared with somebody")
	}

	for _, c := range []struct {
		name   string
		clock  kernelClock
		err    error
		status health.Status
		word   string
	}{
		{"in step", kernelClock{synchronized: true, maximumError: 20 * time.Millisecond}, nil, health.OK, ""},
		{"free running", kernelClock{maximumError: 16 * time.Second}, nil, health.Warning, "no time service"},
		{"not allowed", kernelClock{}, syscall.EPERM, health.Unknown, "allow the system call adjtimex"},
		{"not there", kernelClock{}, errors.ErrUnsupported, health.Unknown, "unsupported"},
	} {
		check.kernel = func() (kernelClock, error) { return c.clock, c.err }
		s := run(t, check, 20*time.Second)
		s.expect(t, "kernel", c.status, c.word)
		if got := s.value(t, &clockKernelSuccess); got != boolean(c.err == nil) {
			t.Errorf("%s: success %v", c.name, got)
		}
	}
}

func TestClockAsksOnlySettledPeers(t *testing.T) {
	t.Parallel()
	fresh, mute, nowhere := clockPeer(t, "n2", time.Hour), clockPeer(t, "n3", time.Hour), clockPeer(t, "n4", time.Hour)
	fresh.Since, mute.Port, nowhere.Host = time.Now(), 0, nil
	s := run(t, clockAmong(t, fresh, mute, nowhere), 20*time.Second)
	if len(s.results) != 1 || s.has(&clockPeerSuccess) {
		t.Errorf("judged: %v", s.results)
	}
}

// Without a mesh the kernel alone is asked.
func TestClockWithoutMesh(t *testing.T) {
	t.Parallel()
	s := run(t, newCheck(t, defaultClockSettings()), time.Second)
	if _, judged := s.results[clockSubjectKernel]; !judged || len(s.results) != 1 {
		t.Errorf("judged: %v", s.results)
	}
}

func TestMedianClock(t *testing.T) {
	t.Parallel()
	clocks := func(pairs ...time.Duration) (all []*clockAnswer) {
		for i := 0; i < len(pairs); i += 2 {
			all = append(all, &clockAnswer{offset: pairs[i], bound: pairs[i+1]})
		}
		return all
	}
	for _, c := range []struct {
		name          string
		told          []*clockAnswer
		offset, bound time.Duration
	}{
		{"one", clocks(5, 2), 5, 2},
		{"two agree", clocks(5, 2, 7, 1), 5, 2}, // 3..7 and 6..8, and our 0
		{"two against each other", clocks(-50, 1, 50, 1), 0, 0},
		{"one of two lies", clocks(1, 1, 1000, 1), 1, 1},
		{"three", clocks(5, 1, 6, 9, 7, 2), 6, 3}, // lows -3 4 5, highs 6 9 15
		{"a liar", clocks(1, 1, 2, 1, 3, 1, 4, 1, clockFurthest, 0), 3, 1},
		{"a slow way", clocks(0, 100, 0, 100, 0, 100), 0, 100},
	} {
		if got := medianClock(c.told); got.offset != c.offset || got.bound != c.bound {
			t.Errorf("%s: %d give or take %d, want %d and %d", c.name, got.offset, got.bound, c.offset, c.bound)
		}
	}
	// What the round trip leaves open blames nobody.
	if got := medianClock(clocks(2*time.Second, 3*time.Second)).certain(); got != 0 {
		t.Errorf("certainly apart by %v s", got)
	}
}

func TestClockSettings(t *testing.T) {
	t.Parallel()
	for key, change := range map[string]func(*clockSettings){
		"neighbours":     func(s *clockSettings) { s.Neighbours = 0 },
		"packets":        func(s *clockSettings) { s.Packets = 51 },
		"answer_timeout": func(s *clockSettings) { s.AnswerTimeout = s.Timeout },
		"interval":       func(s *clockSettings) { s.Interval = 0 },
		"thresholds":     func(s *clockSettings) { s.Thresholds.Offset.Warning = time.Hour },
	} {
		s := defaultClockSettings()
		change(s)
		if err := s.Validate(); err == nil || err.Error()[:len(key)] != key {
			t.Errorf("%s: %v", key, err)
		}
	}
}
