package collectors

import (
	"fmt"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
)

// deviceState is what a state of the kernel means.
type deviceState int

const (
	gone    deviceState = iota // also any word not known here
	waiting                    // it may come back by itself
	usable
)

// deviceStates are the kernel's words for SCSI and NVMe devices.
var deviceStates = map[string]deviceState{
	"running": usable, "live": usable, "new": usable, "created": usable, "quiesce": usable,
	"blocked": waiting, "created-blocked": waiting, "transport-offline": waiting, "resetting": waiting, "connecting": waiting,
}

// judge judges the devices below a file system.
func (l *deviceLooks) judge(a *assessment, s *fileSystem, limits diskThresholds) {
	for i, name := range l.below[s.point] {
		d := l.found[name]
		if i == 0 { // what the file system sees; those below have their part in it
			d.judgeAwait(a, name, limits)
		}
		a.hold(d.io.stuck.Seconds(), limits.Stuck.seconds(), "seconds",
			"waits for its device %s, which has completed none of its %d requests for %.0f s", name, d.io.stats.IOsInProgress, d.io.stuck.Seconds())
		switch state := deviceStates[d.state]; {
		case d.state == "" || state == usable:
		case state == waiting:
			a.add(health.Warning, "lies on device %s, which is %s", name, d.state)
		default:
			a.add(health.Critical, "lies on device %s, which is %s", name, d.state)
		}
		a.hold(d.newErrors, limits.IOErrors, "errors",
			"lies on device %s, which has answered with %.0f errors within %s", name, d.newErrors, longTime(errorWindow.Seconds()))
		switch {
		case d.missing < 0:
		case d.broken:
			a.add(health.Critical, "lies on array %s, which is not active", name)
		case d.missing > 0:
			a.findings = append(a.findings, finding{
				status:   health.Warning,
				text:     fmt.Sprintf("lies on array %s, which has lost %d of its %d disks", name, d.missing, d.disks),
				evidence: health.Evidence{Value: float64(d.missing), Threshold: 1, Unit: "disks"},
			})
		}
	}
}

func (d *deviceLook) judgeAwait(a *assessment, name string, limits diskThresholds) {
	for i, fresh := range d.io.fresh {
		if fresh.number >= fewRequests {
			a.hold(fresh.await(), limits.Await.seconds(), "seconds",
				"waits for its device %s, which needs %s for a %s on average", name, seconds(fresh.await()), operations[i])
		}
	}
}

// judgeErrors judges what ext4 has found wrong in itself. It remembers that on
// the disk until fsck has run.
func (c *diskCheck) judgeErrors(r *Report, a *assessment, s *fileSystem, h *diskHistory, now time.Time) {
	n, counted := c.devices.fsErrors(s.mount)
	if !counted {
		return
	}
	r.Sample(&diskFSErrors, n, s.point, s.device)
	if n == 0 {
		h.errors.add(now, n, errorWindow)
		return
	}
	status := health.Warning
	if h.errors.add(now, n, errorWindow) > 0 {
		status = health.Critical
	}
	a.findings = append(a.findings, finding{
		status:   status,
		text:     fmt.Sprintf("has counted %.0f errors in its structures since the last fsck", n),
		evidence: health.Evidence{Value: n, Threshold: 1, Unit: "errors"},
	})
}
