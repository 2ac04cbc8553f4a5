package collectors

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
)

// nodeTree is a fixture of /proc and /sys, with a clock.
type nodeTree struct {
	t         *testing.T
	proc, sys string
	time      time.Time
	check     *hostNetworkCheck
}

func newNodeTree(t *testing.T, settings *hostNetworkSettings) *nodeTree {
	t.Helper()
	n := &nodeTree{t: t, proc: t.TempDir(), sys: t.TempDir(), time: time.Unix(1e9, 0)}
	must(t, os.MkdirAll(filepath.Join(n.sys, "class/net"), 0o700))
	env := testEnv()
	env.Node, env.Paths.Proc, env.Paths.Sys = "n1", n.proc, n.sys
	c, err := settings.New(env)
	must(t, err)
	n.check = c.(*hostNetworkCheck)
	now := func() time.Time { return n.time }
	n.check.links.now, n.check.conntrack.now = now, now
	return n
}

func write(t *testing.T, path, content string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(path), 0o700))
	must(t, os.WriteFile(path, []byte(content), 0o600))
}

// link writes files of a device, "carrier=1 speed=10000".
func (n *nodeTree) link(device, files string) {
	n.t.Helper()
	dir := filepath.Join(n.sys, "class/net", device)
	for file := range strings.FieldsSeq(files) {
		name, value, _ := strings.Cut(file, "=")
		write(n.t, filepath.Join(dir, name), value+"\n")
	}
}

// wellLink is a device that is in use and has nothing to complain of.
const wellLink = "flags=0x1003 carrier=1 carrier_changes=2 speed=10000 duplex=full device/vendor=0x1 " +
	"statistics/rx_packets=1000 statistics/rx_errors=0 statistics/rx_dropped=0 statistics/tx_packets=1000 statistics/tx_errors=0 statistics/tx_dropped=0"

const routes = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n" +
	"bond0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n" +
	"eth9\t0000B40A\t00000000\t0001\t0\t0\t0\t0080FFFF\t0\t0\t0\n"

func (n *nodeTree) run() seen {
	n.t.Helper()
	n.time = n.time.Add(10 * time.Second)
	return run(n.t, n.check, 8*time.Second)
}

func TestLinks(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		first    map[string]string // changes to three well devices: eth0 and eth1 of bond0, eth2
		then     map[string]string
		device   string
		status   health.Status
		words    []string
		firstToo bool // the first run says the same
	}{
		{name: "all well", device: "eth0", status: health.OK, firstToo: true},
		{name: "half of the bond", first: map[string]string{"eth1": "carrier=0"}, device: "eth1", status: health.Warning, firstToo: true,
			words: []string{"n1: link eth1 has no carrier, and bond0 has to do without it"}},
		{name: "the whole bond", first: map[string]string{"bond0": "carrier=0"}, device: "bond0", status: health.Critical, firstToo: true,
			words: []string{"n1: link bond0 has no carrier: see its cable"}},
		{name: "a port that nobody uses", first: map[string]string{"eth2": "carrier=0"}, device: "eth2", status: health.OK, firstToo: true},
		{name: "a port that somebody used", then: map[string]string{"eth2": "carrier=0 carrier_changes=3"}, device: "eth2", status: health.Warning,
			words: []string{"has lost its carrier"}},
		{name: "switched off and used", then: map[string]string{"bond0": "flags=0x1002"}, device: "bond0", status: health.Critical,
			words: []string{"is switched off, though it carried the default route"}},
		{name: "switched off and unused", then: map[string]string{"eth2": "flags=0x1002"}, device: "eth2", status: health.OK},
		{name: "flapping", then: map[string]string{"eth2": "carrier_changes=6"}, device: "eth2", status: health.Warning,
			words: []string{"lost or got its carrier 4 times within 10 minutes: it flaps"}},
		{name: "damaged", then: map[string]string{"eth0": "statistics/rx_packets=1980 statistics/rx_errors=20"}, device: "eth0", status: health.Warning,
			words: []string{"has damaged 2 % of its packets since the last run (receive, 20 of 1000)"}},
		{name: "much damaged", then: map[string]string{"eth0": "statistics/tx_packets=1100 statistics/tx_errors=100"}, device: "eth0", status: health.Critical,
			words: []string{"50 %", "transmit, 100 of 200"}},
		{name: "too few to tell", then: map[string]string{"eth0": "statistics/tx_packets=1010 statistics/tx_errors=10"}, device: "eth0", status: health.OK},
		{name: "damage of long ago", first: map[string]string{"eth0": "statistics/rx_errors=500"}, then: map[string]string{"eth0": "statistics/rx_packets=3000"}, device: "eth0", status: health.OK, firstToo: true},
		{name: "counters began anew", then: map[string]string{"eth0": "statistics/rx_packets=5 statistics/rx_errors=3"}, device: "eth0", status: health.OK},
		{name: "half duplex", first: map[string]string{"eth0": "duplex=half"}, device: "eth0", status: health.Warning, firstToo: true, words: []string{"half duplex"}},
		{name: "unreadable", first: map[string]string{"eth0": "statistics/rx_errors=none"}, device: "eth0", status: health.Unknown, firstToo: true, words: []string{"link eth0 cannot be looked at"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			n := newNodeTree(t, defaultHostNetworkSettings())
			write(t, filepath.Join(n.proc, "net/route"), routes)
			for _, device := range []string{"eth0", "eth1", "eth2", "bond0", "veth1"} {
				n.link(device, wellLink)
			}
			for _, virtual := range []string{"bond0", "veth1"} {
				must(t, os.RemoveAll(filepath.Join(n.sys, "class/net", virtual, "device")))
			}
			must(t, os.Symlink("../bond0", filepath.Join(n.sys, "class/net/eth0/master")))
			must(t, os.Symlink("../bond0", filepath.Join(n.sys, "class/net/eth1/master")))
			write(t, filepath.Join(n.sys, "class/net/bonding_masters"), "bond0\n")
			for device, files := range test.first {
				n.link(device, files)
			}
			s := n.run()
			if len(s.results) != 4 {
				t.Errorf("verdicts on %v", s.results)
			}
			if test.firstToo {
				s.expect(t, "link "+test.device, test.status, test.words...)
			} else {
				s.expect(t, "link "+test.device, health.OK)
			}
			for device, files := range test.then {
				n.link(device, files)
			}
			n.run().expect(t, "link "+test.device, test.status, test.words...)
		})
	}
}

func TestLinkMetrics(t *testing.T) {
	t.Parallel()
	n := newNodeTree(t, defaultHostNetworkSettings())
	for i := range 40 {
		n.link(fmt.Sprintf("eth%02d", i), wellLink)
	}
	n.link("eth00", "speed=-1 carrier_changes=7 statistics/rx_errors=3 statistics/tx_dropped=4")
	s := n.run()
	if len(s.results) != maxLinks {
		t.Errorf("%d devices of 40 are looked at", len(s.results))
	}
	for _, want := range []struct {
		metric *Metric
		labels []string
		value  float64
	}{
		{&linkUp, []string{"eth00"}, 1},
		{&linkChanges, []string{"eth00"}, 7},
		{&linkErrors, []string{"eth00", "receive"}, 3},
		{&linkErrors, []string{"eth00", "transmit"}, 0},
		{&linkDrops, []string{"eth00", "transmit"}, 4},
		{&linkSpeed, []string{"eth01"}, 1.25e9},
	} {
		if got := s.value(t, want.metric, want.labels...); got != want.value {
			t.Errorf("%s%v is %v", want.metric.Name, want.labels, got)
		}
	}
	// What flapped long ago is forgotten.
	n.link("eth00", "carrier_changes=20")
	n.run().expect(t, "link eth00", health.Warning, "13 times")
	n.time = n.time.Add(flapWindow)
	n.run().expect(t, "link eth00", health.OK)
	// A device that is pulled out takes its history and its verdict with it.
	must(t, os.RemoveAll(filepath.Join(n.sys, "class/net/eth00")))
	if s := n.run(); len(s.results) != maxLinks-1 {
		t.Errorf("%d devices right after one was pulled out", len(s.results))
	}
	if s := n.run(); len(s.results) != maxLinks {
		t.Errorf("%d devices once they were listed again", len(s.results))
	}
	if len(n.check.links.had) != maxLinks {
		t.Errorf("%d histories are kept", len(n.check.links.had))
	}
}

// conntrackStat is net/stat/nf_conntrack of a node with two processors.
func conntrackStat(insertFailed, drop, earlyDrop uint64) string {
	line := func(insertFailed, drop, earlyDrop uint64) string {
		return "00000642  00000000 00000000 00000000 00000002 00000000 00000000 00000000 00000000 " +
			fmt.Sprintf("%08x %08x %08x", insertFailed, drop, earlyDrop) + " 00000000  00000000 00000000 00000000 00000000\n"
	}
	return "entries  clashres found new invalid ignore delete chainlength insert insert_failed drop early_drop icmp_error  expect_new expect_create expect_delete search_restart\n" +
		line(insertFailed, 0, earlyDrop) + line(0, drop, 0)
}

func TestConntrack(t *testing.T) {
	t.Parallel()
	type state struct {
		count, limit                  int
		insertFailed, drop, earlyDrop uint64
	}
	tests := []struct {
		name        string
		first, then state
		status      health.Status
		words       []string
	}{
		{"well", state{100, 1000, 5, 5, 0}, state{120, 1000, 6, 6, 0}, health.OK, nil},
		{"filling", state{100, 1000, 0, 0, 0}, state{800, 1000, 0, 0, 0}, health.Warning, []string{"the connection tracking table of n1 is 80 % full, with 800 of 1000 connections"}},
		{"full", state{100, 1000, 0, 0, 0}, state{1000, 1000, 0, 50, 9}, health.Critical, []string{"100 % full", "drops 5 packets a second"}},
		{"drops of long ago", state{100, 1000, 1e6, 1e6, 1e6}, state{100, 1000, 1e6, 1e6, 1e6}, health.OK, nil},
		{"races", state{100, 1000, 0, 0, 0}, state{100, 1000, 1000, 0, 0}, health.Warning, []string{"fails to insert 100 connections a second", "5 s"}},
		{"restarted", state{100, 1000, 9, 9, 9}, state{100, 1000, 0, 0, 0}, health.OK, nil},
		{"unlimited", state{100, 0, 0, 0, 0}, state{100, 0, 0, 0, 0}, health.OK, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			n := newNodeTree(t, defaultHostNetworkSettings())
			put := func(s state) {
				write(t, filepath.Join(n.proc, "sys/net/netfilter/nf_conntrack_count"), fmt.Sprintln(s.count))
				write(t, filepath.Join(n.proc, "sys/net/netfilter/nf_conntrack_max"), fmt.Sprintln(s.limit))
				write(t, filepath.Join(n.proc, "net/stat/nf_conntrack"), conntrackStat(s.insertFailed, s.drop, s.earlyDrop))
			}
			put(test.first)
			n.run().expect(t, conntrackSubject, health.OK)
			put(test.then)
			s := n.run()
			s.expect(t, conntrackSubject, test.status, test.words...)
			for metric, want := range map[*Metric]float64{
				&conntrackEntries: float64(test.then.count), &conntrackLimit: float64(test.then.limit), &conntrackDrops: float64(test.then.drop),
				&conntrackEarlyDrops: float64(test.then.earlyDrop), &conntrackInsertFailed: float64(test.then.insertFailed),
			} {
				if got := s.value(t, metric); got != want {
					t.Errorf("%s is %v, want %v", metric.Name, got, want)
				}
			}
		})
	}
}

func TestConntrackThatIsNotThereOrUnreadable(t *testing.T) {
	t.Parallel()
	n := newNodeTree(t, defaultHostNetworkSettings())
	if s := n.run(); len(s.results) != 0 || s.has(&conntrackEntries) {
		t.Errorf("a node that tracks no connections: %v", s.results)
	}
	write(t, filepath.Join(n.proc, "sys/net/netfilter/nf_conntrack_count"), "<html>")
	write(t, filepath.Join(n.proc, "sys/net/netfilter/nf_conntrack_max"), "1")
	n.run().expect(t, conntrackSubject, health.Unknown, "the connection tracking table of n1 cannot be read")
	write(t, filepath.Join(n.proc, "sys/net/netfilter/nf_conntrack_count"), "1")
	write(t, filepath.Join(n.proc, "net/stat/nf_conntrack"), "a\nb\n")
	n.run().expect(t, conntrackSubject, health.Critical, "100 % full", "has counters that cannot be read")
}

// Without a mesh, as in grapevine check, there is this node's own end to look at.
func TestHostNetworkOfThisNode(t *testing.T) {
	t.Parallel()
	s := run(t, newCheck(t, defaultHostNetworkSettings()), 8*time.Second)
	for subject, result := range s.results {
		if result.Status == health.Unknown {
			t.Errorf("%s: %s", subject, result.Reason)
		}
	}
	if _, err := os.Stat("/proc/sys/net/netfilter/nf_conntrack_count"); err == nil && !s.has(&conntrackLimit) {
		t.Error("this node tracks connections, but nothing is said of them")
	}
}
