package collectors

import "github.com/grapevine-mesh/grapevine/health"

// What the disk check exports of file systems; device is the mount's source.
var (
	diskLabels = []string{"mountpoint", "device"}

	diskFsyncSeconds = Metric{
		Name: "grapevine_disk_fsync_duration_seconds", Type: health.Histogram, Labels: diskLabels,
		Help:    "Time to write 4 KiB to a new file and fsync it.",
		Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
	}
	diskFsyncLast = Metric{
		Name: "grapevine_disk_fsync_last_duration_seconds", Type: health.Gauge, Labels: diskLabels,
		Help: "Time the last write and fsync took; while one has not returned, the time since it began.",
	}
	diskFsyncSuccess = Metric{
		Name: "grapevine_disk_fsync_success", Type: health.Gauge, Labels: diskLabels,
		Help: "Whether the last write and fsync returned without an error.",
	}
	diskUp = Metric{
		Name: "grapevine_disk_up", Type: health.Gauge, Labels: diskLabels,
		Help: "Whether the file system answered in time and without an error.",
	}
	diskSize = Metric{
		Name: "grapevine_disk_size_bytes", Type: health.Gauge, Labels: diskLabels,
		Help: "Size of the file system.",
	}
	diskFree = Metric{
		Name: "grapevine_disk_free_bytes", Type: health.Gauge, Labels: diskLabels,
		Help: "Free space of the file system, with what is reserved for root.",
	}
	diskAvailable = Metric{
		Name: "grapevine_disk_available_bytes", Type: health.Gauge, Labels: diskLabels,
		Help: "Free space of the file system for ordinary users.",
	}
	diskTimeToFull = Metric{
		Name: "grapevine_disk_time_to_full_seconds", Type: health.Gauge, Labels: diskLabels,
		Help: "When the file system will be full at the pace of the last hour, in seconds from now; +Inf while it does not fill. Absent until it was watched for 10 minutes.",
	}
	diskInodes = Metric{
		Name: "grapevine_disk_inodes", Type: health.Gauge, Labels: diskLabels,
		Help: "Inodes of the file system; 0 where their number is not fixed.",
	}
	diskInodesFree = Metric{
		Name: "grapevine_disk_inodes_free", Type: health.Gauge, Labels: diskLabels,
		Help: "Free inodes of the file system.",
	}
	diskReadOnly = Metric{
		Name: "grapevine_disk_read_only", Type: health.Gauge, Labels: diskLabels,
		Help: "Whether the file system is mounted, or was turned, read-only.",
	}
	diskFSErrors = Metric{
		Name: "grapevine_disk_filesystem_errors", Type: health.Gauge, Labels: diskLabels,
		Help: "Errors that ext4 has found in its own structures since the last fsck; absent for other file systems.",
	}
)

// What it exports of the block devices below; device is the kernel's name.
// The counters are the kernel's own and begin when the device appears.
var (
	deviceLabels    = []string{"device"}
	operationLabels = []string{"device", "operation"}

	diskRequests = Metric{
		Name: "grapevine_disk_io_requests_total", Type: health.Counter, Labels: operationLabels,
		Help: "Requests the device has completed: read, write and flush.",
	}
	diskRequestSeconds = Metric{
		Name: "grapevine_disk_io_request_seconds_total", Type: health.Counter, Labels: operationLabels,
		Help: "Time spent on all these requests together, with the wait in the queue.",
	}
	diskAwait = Metric{
		Name: "grapevine_disk_io_await_seconds", Type: health.Gauge, Labels: operationLabels,
		Help: "Mean time of the requests completed since the last run of the check; 0 when there were none.",
	}
	diskBusy = Metric{
		Name: "grapevine_disk_io_busy_seconds_total", Type: health.Counter, Labels: deviceLabels,
		Help: "Time in which the device had at least one request to work on.",
	}
	diskInFlight = Metric{
		Name: "grapevine_disk_io_in_flight", Type: health.Gauge, Labels: deviceLabels,
		Help: "Requests the device has not completed.",
	}
	diskStuck = Metric{
		Name: "grapevine_disk_io_stuck_seconds", Type: health.Gauge, Labels: deviceLabels,
		Help: "How long the device has had requests and has completed none; 0 while it works.",
	}
	diskIOErrors = Metric{
		Name: "grapevine_disk_io_errors_total", Type: health.Counter, Labels: deviceLabels,
		Help: "Commands the SCSI or SATA device has answered with an error, harmless ones of smartd and its like included; absent for other devices.",
	}
	diskOnline = Metric{
		Name: "grapevine_disk_device_online", Type: health.Gauge, Labels: deviceLabels,
		Help: "Whether the kernel takes the device for usable; absent where it does not say.",
	}
	diskArrayMissing = Metric{
		Name: "grapevine_disk_array_missing_disks", Type: health.Gauge, Labels: deviceLabels,
		Help: "Disks that a software RAID array (md) should have and has not.",
	}
)

var diskMetrics = []Metric{
	diskFsyncSeconds, diskFsyncLast, diskFsyncSuccess, diskUp, diskSize, diskFree, diskAvailable, diskTimeToFull,
	diskInodes, diskInodesFree, diskReadOnly, diskFSErrors,
	diskRequests, diskRequestSeconds, diskAwait, diskBusy, diskInFlight, diskStuck, diskIOErrors, diskOnline, diskArrayMissing,
}
