package collectors

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
)

func TestOverlayAddrs(t *testing.T) {
	t.Parallel()
	nets := func(addrs ...string) (list []net.Addr) {
		for _, a := range addrs {
			ip, network, err := net.ParseCIDR(a)
			must(t, err)
			list = append(list, &net.IPNet{IP: ip, Mask: network.Mask})
		}
		return list
	}
	var at overlayPlace
	at.add("flannel.1", nets("169.254.0.1/16", "10.244.1.0/32", "10.244.1.7/32", "fe80::1/64"))
	at.add("flannel-v6.1", nets("fd00::/128", "fe80::2/64", "fd00::5/128"))
	at.add("cni0", nets("10.244.1.1/24", "fd00::1/64"))
	if got := strings.Join(append(addressesOf(at.addrs), at.names...), " "); got != "10.244.1.0 fd00:: flannel.1 flannel-v6.1" {
		t.Error(got)
	}

	none := func() ([]net.Interface, error) { return nil, nil }
	if _, err := defaultOverlaySettings().find(none); !errors.Is(err, ErrAbsent) || !strings.Contains(err.Error(), "flannel.1, ") {
		t.Errorf("a node without a pod network: %v", err)
	}
	s := defaultOverlaySettings()
	s.Interface = "lo" // has only 127.0.0.1, which no other node reaches
	if _, err := OverlayAddrs(s); !errors.Is(err, ErrAbsent) || !strings.Contains(err.Error(), "the configured interface lo has no address") {
		t.Errorf("the wrong interface: %v", err)
	}
	s.Interface, s.Address = "", "10.244.1.0"
	if got, err := OverlayAddrs(s); err != nil || !slices.Equal(got, []netip.Addr{netip.MustParseAddr("10.244.1.0")}) {
		t.Errorf("a configured address: %v, %v", got, err)
	}
	if _, err := OverlayAddrs(defaultDiskSettings()); err == nil {
		t.Error("the settings of another check are taken")
	}
	if _, err := OverlayAddrs(nil); err != nil && !errors.Is(err, ErrAbsent) {
		t.Errorf("this node: %v", err)
	}
}

func TestOverlaySettings(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*overlaySettings){
		"neighbours:":        func(s *overlaySettings) { s.Neighbours = 0 },
		"packets:":           func(s *overlaySettings) { s.Packets = 1 },
		"packets: 100 take":  func(s *overlaySettings) { s.Packets, s.Timeout, s.AnswerTimeout = 100, 3*time.Second, time.Second },
		"answer_timeout:":    func(s *overlaySettings) { s.AnswerTimeout = 3 * time.Second },
		"address: interface": func(s *overlaySettings) { s.Address, s.Interface = "10.244.1.0", "flannel.1" },
		"address: \"10.2":    func(s *overlaySettings) { s.Address = "10.244.1.0/24" },
		"address: \"0.0":     func(s *overlaySettings) { s.Address = "0.0.0.0" },
		"loss:":              func(s *overlaySettings) { s.Thresholds.Loss.Critical = 2 },
		"interval:":          func(s *overlaySettings) { s.Interval = 0 },
	} {
		s := defaultOverlaySettings()
		change(s)
		if err := s.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s got %v", want, err)
		}
	}
}

func TestOverlayIsAbsentWithoutAMesh(t *testing.T) {
	t.Parallel()
	if _, err := defaultOverlaySettings().New(testEnv()); !errors.Is(err, ErrAbsent) {
		t.Errorf("without peers: %v", err)
	}
}

func TestMostFail(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		reached, unreachable, untold int
		want                         bool
	}{
		{0, 0, 0, false},
		{0, 1, 0, false}, // two nodes: it may be either
		{0, 2, 0, true},
		{1, 1, 0, false},
		{2, 2, 1, false},
		{2, 3, 0, true},
		{0, 1, 4, false},
	} {
		if got := (tally{reached: test.reached, unreachable: test.unreachable, untold: test.untold}).mostFail(); got != test.want {
			t.Errorf("%+v: %v", test, got)
		}
	}
}

// A reason names both ends, however long their names are.
func TestReasonOfLongNames(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 253)
	c := &reach{node: long, network: "the overlay", other: "the host network", limits: defaultReachThresholds(), metrics: &overlayMetrics,
		trips: overlayMetrics.trips.Histogram(testEnv().Registry)}
	p := &peerProbes{peer: Peer{Name: "y" + long, Port: 1}, probes: []*probe{{peer: Peer{Name: "y" + long}, to: netip.MustParseAddr("10.0.0.2"), arrived: -1, connectErr: errors.New("x"), getErr: errors.New("x")}}}
	r := NewReport(time.Now)
	c.judge(r, []*peerProbes{p})
	if _, results := r.Take(); len(results) != 1 || len(results[0].Reason) > maxReason || results[0].Status != health.Critical ||
		!strings.HasPrefix(results[0].Reason, "xxx") || !strings.Contains(results[0].Reason, "to yxx") || !strings.Contains(results[0].Reason, "requests is answered") {
		t.Errorf("%+v", results)
	}
}
