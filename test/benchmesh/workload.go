package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
)

// motion is how the values of a family move from one snapshot to the next.
type motion int

const (
	constant  motion = iota
	count            // a counter of events
	stopwatch        // a counter of seconds
	duration         // as measured by a probe: nanoseconds behind the point
	level            // a whole number that goes up and down: entries, threads
	volume           // bytes in use
	ratio            // an average as the kernel prints it: two decimals
	stamp            // seconds since 1970
)

// family is one metric as the agent exports it, in short.
type family struct {
	name   string
	kind   health.Type
	motion motion
	start  float64  // the value it moves about, or begins with
	label  string   // empty: one series without labels
	values []string // of the label; $ stands for what only this node has: a peer, a device
}

var (
	checks    = []string{"apiserver", "clock", "disk", "dns", "host-network", "kubelet", "system"}
	peers     = []string{"$1", "$2", "$3", "$4", "$5", "$6", "$7"}
	resources = []string{"cpu", "io", "memory"}
)

// families are what a worker with seven checks exports, 100 series. Those that
// change, 40 of them, are what changes on a living agent.
var families = []family{
	{"go_goroutines", health.Gauge, level, 57, "", nil},
	{"go_memstats_alloc_bytes", health.Gauge, volume, 9.3e6, "", nil},
	{"go_memstats_alloc_bytes_total", health.Counter, volume, 4e9, "", nil},
	{"go_memstats_heap_objects", health.Gauge, level, 22_000, "", nil},
	{"go_memstats_last_gc_time_seconds", health.Gauge, stamp, 0, "", nil},
	{"grapevine_build_info", health.Gauge, constant, 1, "version", []string{"1.2.3"}},
	{"grapevine_check_duration_seconds", health.Gauge, duration, 0.002, "check", checks},
	{"grapevine_check_enabled", health.Gauge, constant, 1, "check", checks},
	{"grapevine_check_failures_total", health.Counter, constant, 0, "check", checks},
	{"grapevine_check_last_run_timestamp_seconds", health.Gauge, stamp, 0, "check", checks},
	{"grapevine_check_runs_total", health.Counter, count, 20_000, "check", checks},
	{"grapevine_config_last_reload_successful", health.Gauge, constant, 1, "", nil},
	{"grapevine_disk_available_bytes", health.Gauge, volume, 6.4e10, "device", []string{"/dev/$8"}},
	{"grapevine_disk_filesystem_errors", health.Gauge, constant, 0, "device", []string{"/dev/$8"}},
	{"grapevine_disk_fsync_last_duration_seconds", health.Gauge, duration, 0.0006, "device", []string{"/dev/$8"}},
	{"grapevine_disk_inodes_free", health.Gauge, level, 1.6e7, "device", []string{"/dev/$8"}},
	{"grapevine_disk_read_only", health.Gauge, constant, 0, "device", []string{"/dev/$8"}},
	{"grapevine_disk_size_bytes", health.Gauge, constant, 2.7e11, "device", []string{"/dev/$8"}},
	{"grapevine_echo_requests_total", health.Counter, constant, 0, "outcome", []string{"answered", "limited", "malformed", "unsent", "unsigned"}},
	{"grapevine_host_network_conntrack_entries", health.Gauge, level, 353, "", nil},
	{"grapevine_host_network_conntrack_entries_limit", health.Gauge, constant, 262_144, "", nil},
	{"grapevine_host_network_link_drops_total", health.Counter, constant, 3, "direction", []string{"receive", "transmit"}},
	{"grapevine_host_network_loss_ratio", health.Gauge, constant, 0, "peer", peers},
	{"grapevine_host_network_round_trip_seconds", health.Gauge, duration, 0.0004, "peer", peers},
	{"grapevine_mesh_exchange_bytes_total", health.Counter, volume, 2e9, "direction", []string{"in", "out"}},
	{"grapevine_mesh_members", health.Gauge, constant, 1000, "state", []string{"alive", "failed", "leaving", "left"}},
	{"grapevine_mesh_reachable_ratio", health.Gauge, constant, 1, "", nil},
	{"grapevine_node_boot_timestamp_seconds", health.Gauge, constant, 1.795e9, "", nil},
	{"grapevine_node_cpus", health.Gauge, constant, 32, "", nil},
	{"grapevine_node_memory_bytes", health.Gauge, constant, 2.5276063744e10, "", nil},
	{"grapevine_system_oom_kills_total", health.Counter, constant, 0, "", nil},
	{"grapevine_system_open_files", health.Gauge, level, 1200, "", nil},
	{"grapevine_system_open_files_limit", health.Gauge, constant, 2_466_171, "", nil},
	{"grapevine_system_pressure_measured", health.Gauge, constant, 1, "resource", resources},
	{"grapevine_system_pressure_ratio", health.Gauge, ratio, 0.02, "resource", resources},
	{"grapevine_system_pressure_stalled_seconds_total", health.Counter, stopwatch, 3300, "resource", resources},
	{"grapevine_system_sysctl", health.Gauge, constant, 1, "name", []string{"fs.inotify.max_user_instances", "kernel.panic", "net.ipv4.ip_forward", "vm.overcommit_memory"}},
	{"grapevine_system_threads", health.Gauge, level, 230, "", nil},
	{"process_cpu_seconds_total", health.Counter, stopwatch, 900, "", nil},
	{"process_network_receive_bytes_total", health.Counter, volume, 7.3e9, "", nil},
	{"process_open_fds", health.Gauge, level, 24, "", nil},
	{"process_resident_memory_bytes", health.Gauge, volume, 5e7, "", nil},
	{"process_start_time_seconds", health.Gauge, constant, 1.7955e9, "", nil},
}

// subjects are what the agent has verdicts on.
var subjects = []struct{ check, subject, unit string }{
	{"apiserver", "10.0.0.1:6443", "seconds"}, {"clock", "kernel", "seconds"}, {"clock", "peers", "seconds"},
	{"disk", "/", "seconds"}, {"dns", "10.96.0.10:53", "seconds"}, {"host-network", "conntrack table", "ratio"},
	{"host-network", "link eth0", ""}, {"host-network", "$1", "ratio"}, {"kubelet", "healthz", "seconds"},
	{"system", "OOM kills", "kills"}, {"system", "cpu pressure", "ratio"}, {"system", "io pressure", "ratio"},
	{"system", "memory pressure", "ratio"}, {"system", "open files", "ratio"}, {"system", "pids", "ratio"},
}

// source makes the snapshots of one node.
type source struct {
	rng     *rand.Rand
	node    string
	schema  *health.Schema
	moving  []motion
	results []health.Result
	start   []float64
	values  []float64
	share   float64 // of the values that change between two snapshots
	order   []int   // in which values are picked to change
}

// expand puts what only node has for a value's $.
func expand(value, node string, others []string) string {
	for i, c := range value {
		if c != '$' {
			continue
		}
		if value[i+1] == '8' {
			return fmt.Sprintf("%snvme%sn1", value[:i], node[len(node)-2:])
		}
		return others[int(value[i+1]-'1')%len(others)]
	}
	return value
}

// newSource makes the source of node, which probes others.
func newSource(rng *rand.Rand, node string, others []string, share float64, now time.Time) *source {
	s := &source{rng: rng, node: node, share: share, schema: &health.Schema{Version: "1.2.3"}}
	for _, f := range families {
		out := health.Family{Name: f.name, Help: "What " + f.name + " is, in a line as long as they are.", Type: f.kind}
		if f.label == "" {
			out.Series = make([]health.Series, 1)
		}
		for _, v := range f.values {
			out.Series = append(out.Series, health.Series{Labels: []health.Label{{Name: f.label, Value: expand(v, node, others)}}})
		}
		slices.SortFunc(out.Series, func(a, b health.Series) int { return health.CompareLabels(a.Labels, b.Labels) })
		out.Series = slices.CompactFunc(out.Series, func(a, b health.Series) bool { return health.CompareLabels(a.Labels, b.Labels) == 0 })
		s.schema.Families = append(s.schema.Families, out)
		for range out.Series {
			s.moving, s.start = append(s.moving, f.motion), append(s.start, f.start)
		}
	}
	s.values = make([]float64, len(s.start))
	for i := range s.values {
		s.values[i] = s.start[i]
		if s.moving[i] != constant {
			s.values[i] = s.next(i, now)
			s.order = append(s.order, i)
		}
	}
	for _, o := range subjects {
		s.results = append(s.results, health.Result{
			Check: o.check, Subject: expand(o.subject, node, others), Since: now.Add(-time.Duration(rng.IntN(1e6)) * time.Second),
			Evidence: health.Evidence{Unit: o.unit, Threshold: 0.8},
		})
	}
	return s
}

// snapshot moves on and returns what the node knows at now.
func (s *source) snapshot(now time.Time) health.Snapshot {
	s.rng.Shuffle(len(s.order), func(i, j int) { s.order[i], s.order[j] = s.order[j], s.order[i] })
	s.values = slices.Clone(s.values)
	changes := int(math.Round(s.share * float64(len(s.values))))
	for _, i := range s.order[:min(changes, len(s.order))] {
		for before := s.values[i]; s.values[i] == before; {
			s.values[i] = s.next(i, now)
		}
	}
	results := slices.Clone(s.results)
	for i := range results {
		r := &results[i]
		r.Observed = now.Add(-time.Duration(s.rng.IntN(10_000)) * time.Millisecond)
		switch r.Evidence.Unit {
		case "seconds":
			r.Evidence.Value = s.nanoseconds(0.002)
		case "ratio":
			r.Evidence.Value = math.Round(s.rng.Float64()*1e4) / 1e6
		}
	}
	return health.Snapshot{Node: s.node, Schema: s.schema, Values: s.values, Results: results}
}

func (s *source) nanoseconds(about float64) float64 {
	return math.Round(about*math.Exp(s.rng.NormFloat64()/2)*1e9) / 1e9
}

// next is what the value i becomes.
func (s *source) next(i int, now time.Time) float64 {
	value, start := s.values[i], s.start[i]
	switch s.moving[i] {
	case count:
		return value + float64(1+s.rng.IntN(3))
	case stopwatch:
		return math.Round((value+s.rng.Float64()/5)*1e3) / 1e3
	case duration:
		return s.nanoseconds(start)
	case level:
		return math.Round(start * (1 + s.rng.NormFloat64()/20))
	case volume:
		if start > 1e9 && start < 1e10 { // the totals
			return value + float64(s.rng.IntN(4e5))
		}
		return math.Round(start*(1+s.rng.NormFloat64()/100)/8) * 8
	case ratio:
		return math.Round(start*s.rng.ExpFloat64()*1e4) / 1e4
	case stamp:
		return float64(now.UnixMilli()-s.rng.Int64N(15_000)) / 1e3
	default:
		return value
	}
}
