package collectors

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
)

// judge exports and judges what is known of a file system by now.
func (c *diskCheck) judge(r *Report, s *fileSystem, devices *deviceLooks, now time.Time) {
	first := s.members[0]
	found, _, _ := first.look.now()
	a := &assessment{about: s.about()}
	h := c.histories[s.point]
	if h == nil {
		h = &diskHistory{}
		c.histories[s.point] = h
	}
	readOnly := s.readOnlyNow(found)
	r.Sample(&diskReadOnly, boolean(readOnly), s.point, s.device)
	if u := found.usage; u != nil {
		c.judgeUsage(r, a, s, h, u, readOnly, now)
	}
	readOnly = c.judgeReadOnly(a, s, h, found, readOnly)
	up := c.judgeAnswer(r, a, s, readOnly)
	r.Sample(&diskUp, boolean(up), s.point, s.device)
	for _, other := range s.members[1:] {
		c.judgeOther(a, other, up)
	}
	c.judgeErrors(r, a, s, h, now)
	devices.judge(a, s, c.settings.Thresholds)
	a.verdict(r, s.point)
}

// about begins the reason: the mount, its device and what lies there.
func (s *fileSystem) about() string {
	var holds []string
	for _, m := range s.members {
		if m.holds != "" && !slices.Contains(holds, m.holds) {
			holds = append(holds, m.holds)
		}
	}
	if len(holds) == 0 {
		return s.String()
	}
	return fmt.Sprintf("%v, which holds %s,", s.mount, clip(strings.Join(holds, ", "), 150))
}

// readOnlyNow tells whether nobody can write. In a container the agent's own
// mount may be read-only where the node's is not: then only the node's counts.
func (s *fileSystem) readOnlyNow(found diskFound) bool {
	if s.members[0].paths.Root != "/" {
		return s.readOnly
	}
	return s.readOnly || found.usage != nil && found.usage.readOnly || errors.Is(found.err, syscall.EROFS)
}

// judgeReadOnly tells whether it is bad that a file system is read-only: not
// when it always was, and nobody needs to write there.
func (c *diskCheck) judgeReadOnly(a *assessment, s *fileSystem, h *diskHistory, found diskFound, readOnly bool) bool {
	if !readOnly {
		h.writable = h.writable || found.usage != nil
		return false
	}
	used := slices.ContainsFunc(s.members, func(m member) bool { return m.use != looked })
	switch {
	case s.damaged:
		a.add(health.Critical, "was turned read-only after an error")
	case h.writable:
		a.add(health.Critical, "is read-only since it was mounted again, or after an error")
	case used:
		a.add(health.Critical, "is read-only")
	}
	return true
}

func (c *diskCheck) judgeUsage(r *Report, a *assessment, s *fileSystem, h *diskHistory, u *diskUsage, readOnly bool, now time.Time) {
	r.Sample(&diskSize, u.total, s.point, s.device)
	r.Sample(&diskFree, u.free, s.point, s.device)
	r.Sample(&diskAvailable, u.available, s.point, s.device)
	r.Sample(&diskInodes, u.inodes, s.point, s.device)
	r.Sample(&diskInodesFree, u.inodesFree, s.point, s.device)
	h.filling.add(now, u.total, u.available)
	if h.filling.over > 0 {
		r.Sample(&diskTimeToFull, h.filling.left, s.point, s.device)
	}
	if readOnly { // an image that is made to be full, or worse than full
		return
	}
	limits := c.settings.Thresholds
	if used := u.total - u.free; used+u.available > 0 {
		ratio := used / (used + u.available)
		a.hold(ratio, limits.Usage, "ratio", "is %s full, %s are left", percent(ratio), size(u.available))
		if status, limit := h.filling.judge(limits.TimeToFull, ratio); status != health.OK {
			a.findings = append(a.findings, finding{
				status: status,
				text: fmt.Sprintf("will be full in %s at the pace of the last %s, %s are left",
					longTime(h.filling.left), longTime(h.filling.over.Seconds()), size(u.available)),
				evidence: health.Evidence{Value: h.filling.left, Threshold: limit, Unit: "seconds"},
			})
		}
	}
	if u.inodes > 0 {
		ratio := 1 - u.inodesFree/u.inodes
		a.hold(ratio, limits.Inodes, "ratio", "has %s of its inodes in use", percent(ratio))
	}
}

// judgeAnswer judges how the probed place answered, and whether it did.
func (c *diskCheck) judgeAnswer(r *Report, a *assessment, s *fileSystem, readOnly bool) bool {
	p := s.members[0]
	limits := c.settings.Thresholds
	found, step, since := p.look.now()
	took, back := found.fsync, ended(p.look.done)
	switch {
	case !back:
		took = time.Since(since)
		a.findings = append(a.findings, diskHung(step, took, limits))
	case found.err == nil && found.usage == nil: // it came back when its run was over
		took = since.Sub(p.look.begun)
		a.add(health.Critical, "answers only after %s", seconds(took.Seconds()))
	case found.err == nil && found.fsynced:
		a.hold(took.Seconds(), limits.Fsync.seconds(), "seconds", "needs %s to write and fsync 4 KiB; etcd asks for less than 0.01 s", seconds(took.Seconds()))
	case found.err != nil && (!readOnly || !errors.Is(found.err, syscall.EROFS)):
		a.findings = append(a.findings, diskFailure(found, ""))
	}
	if found.fsynced {
		c.latency.WithLabelValues(s.point, s.device).Observe(found.fsync.Seconds())
		_, limit := limits.Fsync.seconds().judge(0)
		a.measured = health.Evidence{Value: found.fsync.Seconds(), Threshold: limit, Unit: "seconds"}
	}
	if p.use == probed {
		r.Sample(&diskFsyncLast, took.Seconds(), s.point, s.device)
		r.Sample(&diskFsyncSuccess, boolean(found.fsynced && found.err == nil), s.point, s.device)
	}
	return back && found.err == nil && found.usage != nil
}

// judgeOther judges a place that was not probed, because another on its file
// system was: whether it is there.
func (c *diskCheck) judgeOther(a *assessment, m member, firstUp bool) {
	found, step, since := m.look.now()
	switch {
	case !ended(m.look.resolved):
		if firstUp { // else one disk holds both up, and the first tells since when
			a.findings = append(a.findings, diskHung(step+" of "+m.path, time.Since(since), c.settings.Thresholds))
		}
	case found.err == nil, m.use == written && errors.Is(found.err, fs.ErrPermission):
	default:
		a.findings = append(a.findings, diskFailure(found, " of "+m.path))
	}
}

// diskHung is the finding that a step has not returned.
func diskHung(step string, since time.Duration, limits diskThresholds) finding {
	return finding{
		status:   health.Critical,
		text:     fmt.Sprintf("does not answer: %s has not returned for %.0f s", step, since.Seconds()),
		evidence: health.Evidence{Value: since.Seconds(), Threshold: limits.Fsync.Critical.Seconds(), Unit: "seconds"},
	}
}

// diskFailure is the finding that a step has ended with an error.
func diskFailure(found diskFound, of string) finding {
	what := fmt.Sprintf("%s%s: %s", found.failed, of, cause(found.err, 0))
	switch {
	case errors.Is(found.err, fs.ErrPermission):
		return finding{status: health.Unknown, text: "may not be probed by this user: " + what}
	case errors.Is(found.err, syscall.EROFS): // on the node it is not
		return finding{status: health.Unknown, text: "cannot be probed: the agent sees it read-only, give it a mount it can write to: " + what}
	}
	return finding{status: health.Critical, text: "fails: " + what}
}

func ended(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}
