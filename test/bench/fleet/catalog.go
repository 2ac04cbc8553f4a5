package fleet

import "github.com/grapevine-mesh/grapevine/health"

// behaviour is how the values of a family go on from one snapshot to the next.
type behaviour uint8

const (
	flag      behaviour = iota // 1, and 0 now and then
	limit                      // large, and stays as it is
	level                      // whole numbers that go up and down
	duration                   // seconds with nanoseconds, from 20 us to 1 s
	stamp                      // seconds since 1970, with milliseconds
	count                      // counter of whole numbers
	busy                       // counter of seconds
	latencies                  // histogram of durations
)

// kind is the type of a family that behaves so.
func (b behaviour) kind() health.Type {
	switch b {
	case count, busy:
		return health.Counter
	case latencies:
		return health.Histogram
	default:
		return health.Gauge
	}
}

// latencyBounds are those of an agent's histograms of requests.
var latencyBounds = []float64{0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5}

// entry is a family of the catalogue. It has one series for each of values,
// times as many subjects as it takes to fill a node.
type entry struct {
	name, help string
	behaviour  behaviour
	subject    string   // name of the label that holds the subject
	label      string   // one more label, or empty
	values     []string // of that label
}

// common is what nodes tell of subjects that every node has: checks, disks,
// kernel settings. All nodes have the same series of these.
var common = []entry{
	{"grapevine_check_status", "Verdict on the subject: 0 ok, 1 warning, 2 critical, 3 unknown.", flag, "subject", "check", []string{"clock", "disk", "dns", "kubelet"}},
	{"grapevine_check_runs_total", "Runs of the check.", count, "subject", "check", []string{"clock", "disk", "dns", "kubelet"}},
	{"grapevine_check_duration_seconds", "How long the last run of the check took.", duration, "subject", "check", []string{"clock", "disk", "dns", "kubelet"}},
	{"grapevine_check_last_run_timestamp_seconds", "When the last run of the check finished, by this node's clock.", stamp, "subject", "check", []string{"clock", "disk", "dns", "kubelet"}},
	{"grapevine_disk_fsync_duration_seconds", "Time to write 4 KiB to a new file and fsync it.", latencies, "device", "", nil},
	{"grapevine_disk_size_bytes", "Size of the file system.", limit, "device", "mountpoint", []string{"/", "/var/lib/etcd"}},
	{"grapevine_disk_available_bytes", "Free space of the file system for ordinary users.", level, "device", "mountpoint", []string{"/", "/var/lib/etcd"}},
	{"grapevine_disk_read_only", "Whether the file system is mounted, or was turned, read-only.", flag, "device", "mountpoint", []string{"/", "/var/lib/etcd"}},
	{"grapevine_disk_up", "Whether the file system answered in time and without an error.", flag, "device", "mountpoint", []string{"/", "/var/lib/etcd"}},
	{"grapevine_disk_io_requests_total", "Requests the device has completed: read, write and flush.", count, "device", "operation", []string{"flush", "read", "write"}},
	{"grapevine_disk_io_request_seconds_total", "Time spent on all these requests together, with the wait in the queue.", busy, "device", "operation", []string{"flush", "read", "write"}},
	{"grapevine_disk_io_await_seconds", "Mean time of the requests completed since the last run of the check; 0 when there were none.", duration, "device", "operation", []string{"flush", "read", "write"}},
	{"grapevine_dns_query_duration_seconds", "Time of answered queries to all servers, without connecting.", latencies, "server", "", nil},
	{"grapevine_dns_query_success", "Whether the last query was answered as it should be.", flag, "server", "question", []string{"cluster", "outside"}},
	{"grapevine_dns_query_last_duration_seconds", "Time the last query took; when it was not answered, the time until then.", duration, "server", "question", []string{"cluster", "outside"}},
	{"grapevine_kubelet_condition", "The node's conditions as the API has them: 1 true, 0 false, -1 unknown.", flag, "kubelet", "condition", []string{"DiskPressure", "MemoryPressure", "PIDPressure", "Ready"}},
	{"grapevine_system_pressure_stalled_seconds_total", "Time in which some tasks, or all (full), waited for the resource.", busy, "share", "resource", []string{"cpu", "io", "memory"}},
	{"grapevine_system_open_files", "Files that are open on the node.", level, "namespace", "", nil},
	{"grapevine_system_open_files_limit", "Files that may be open on the node (fs.file-max).", limit, "namespace", "", nil},
	{"grapevine_system_oom_kills_total", "Processes the kernel killed for want of memory, of the node or of a control group.", count, "namespace", "", nil},
}

// own is what a node tells of subjects that only it has: its peers and its own
// endpoints. No two nodes have the same series of these.
var own = []entry{
	{"grapevine_overlay_round_trip_seconds", "Time until the peer's answer over the pod network in the last run.", duration, "peer", "protocol", []string{"tcp", "udp"}},
	{"grapevine_overlay_loss_ratio", "Ratio of the last run's packets over the pod network that got lost.", flag, "peer", "protocol", []string{"udp"}},
	{"grapevine_overlay_probe_success", "Whether the peer answered the last probe over the pod network.", flag, "peer", "protocol", []string{"tcp", "udp"}},
	{"grapevine_clock_peer_offset_seconds", "The peer's clock minus this node's: above 0, the peer is ahead.", duration, "peer", "", nil},
	{"grapevine_mtu_path_bytes", "Largest packet that passed to the peer and back without being fragmented, IP header included.", limit, "peer", "network", []string{"host", "overlay"}},
	{"grapevine_mesh_exchange_bytes_total", "Bytes exchanged with the peer.", count, "peer", "direction", []string{"in", "out"}},
}
