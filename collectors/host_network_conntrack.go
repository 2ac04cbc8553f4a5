package collectors

import (
	"errors"
	"io/fs"
	"time"

	"github.com/prometheus/procfs"

	"github.com/grapevine-mesh/grapevine/health"
)

// What the host-network check exports of connection tracking.
var (
	conntrackEntries = Metric{
		Name: "grapevine_host_network_conntrack_entries", Type: health.Gauge,
		Help: "Connections in the kernel's connection tracking table.",
	}
	conntrackLimit = Metric{
		Name: "grapevine_host_network_conntrack_entries_limit", Type: health.Gauge,
		Help: "Connections that the kernel's connection tracking table can hold.",
	}
	conntrackDrops = Metric{
		Name: "grapevine_host_network_conntrack_drops_total", Type: health.Counter,
		Help: "Packets dropped because connection tracking failed: no room for a new connection, or no memory.",
	}
	conntrackEarlyDrops = Metric{
		Name: "grapevine_host_network_conntrack_early_drops_total", Type: health.Counter,
		Help: "Connections forgotten early, to make room for new ones in a full table.",
	}
	conntrackInsertFailed = Metric{
		Name: "grapevine_host_network_conntrack_insert_failed_total", Type: health.Counter,
		Help: "Connections that could not be inserted into the table, mostly because two packets of a new one raced; the packet is dropped.",
	}
	conntrackMetrics = []Metric{conntrackEntries, conntrackLimit, conntrackDrops, conntrackEarlyDrops, conntrackInsertFailed}
)

// conntrackSubject is that of the verdict on the table.
const conntrackSubject = "conntrack table"

// conntrack looks at the connection tracking table, where there is one.
type conntrack struct {
	node   string
	paths  Paths
	limits hostNetworkThresholds
	now    func() time.Time

	last conntrackCounts // of the run before
	at   time.Time       // zero before the first
}

// conntrackCounts are summed over all processors.
type conntrackCounts struct{ drops, earlyDrops, insertFailed uint64 }

// judge says nothing when the kernel tracks no connections.
func (c *conntrack) judge(r *Report) {
	entries, limit, err := c.fill()
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	a := &assessment{about: "the connection tracking table of " + c.node}
	if err != nil {
		a.add(health.Unknown, "cannot be read: %s", cause(err, 0))
		a.verdict(r, conntrackSubject)
		return
	}
	r.Sample(&conntrackEntries, entries)
	r.Sample(&conntrackLimit, limit)
	if limit > 0 { // 0: unlimited
		ratio := entries / limit
		_, threshold := c.limits.Conntrack.judge(0)
		a.measured = health.Evidence{Value: ratio, Threshold: threshold, Unit: "ratio"}
		a.hold(ratio, c.limits.Conntrack, "ratio", "is %s full, with %.0f of %.0f connections: when it is full, new ones are dropped", percent(ratio), entries, limit)
	}
	c.judgeCounts(r, a)
	a.verdict(r, conntrackSubject)
}

// fill reads how many connections there are, and can be.
func (c *conntrack) fill() (entries, limit float64, err error) {
	proc, err := procfs.NewFS(c.paths.Proc)
	if err != nil {
		return 0, 0, err
	}
	var values [2]float64
	for i, name := range []string{"net.netfilter.nf_conntrack_count", "net.netfilter.nf_conntrack_max"} {
		ints, err := proc.SysctlInts(name)
		if err != nil {
			return 0, 0, err
		}
		if len(ints) != 1 {
			return 0, 0, errors.New(name + " is not one number")
		}
		values[i] = float64(ints[0])
	}
	return values[0], values[1], nil
}

// judgeCounts exports the counters, and judges by how fast they rise.
func (c *conntrack) judgeCounts(r *Report, a *assessment) {
	proc, err := procfs.NewFS(c.paths.Proc)
	if err != nil {
		return
	}
	processors, err := proc.ConntrackStat()
	if errors.Is(err, fs.ErrNotExist) { // a kernel without the statistics
		return
	}
	if err != nil {
		a.add(health.Unknown, "has counters that cannot be read: %s", cause(err, 0))
		return
	}
	var now conntrackCounts
	for _, one := range processors {
		now.drops += one.Drop
		now.earlyDrops += one.EarlyDrop
		now.insertFailed += one.InsertFailed
	}
	r.Sample(&conntrackDrops, float64(now.drops))
	r.Sample(&conntrackEarlyDrops, float64(now.earlyDrops))
	r.Sample(&conntrackInsertFailed, float64(now.insertFailed))
	before, at := c.last, c.at
	c.last, c.at = now, c.now()
	since := c.at.Sub(at).Seconds()
	if at.IsZero() || since <= 0 {
		return
	}
	if rate := rise(before.drops, now.drops) / since; rate > 0 {
		a.hold(rate, c.limits.ConntrackDrops, "packets per second", "drops %.3g packets a second", rate)
	}
	if rate := rise(before.insertFailed, now.insertFailed) / since; rate > 0 {
		a.hold(rate, c.limits.ConntrackInsertFailed, "connections per second",
			"fails to insert %.3g connections a second, whose first packets are dropped: for DNS lookups that is a wait of 5 s", rate)
	}
}

// rise is by how much a counter has risen; nothing when it began anew.
func rise(before, now uint64) float64 {
	if now < before {
		return 0
	}
	return float64(now - before)
}
