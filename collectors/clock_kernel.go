package collectors

import (
	"errors"
	"io/fs"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
)

// kernelClock is how the kernel's clock is disciplined.
type kernelClock struct {
	synchronized   bool
	offset         time.Duration // still to be corrected
	maximumError   time.Duration
	estimatedError time.Duration
}

// judgeKernel exports and judges what the kernel says of its clock.
func (c *clockCheck) judgeKernel(r *Report) {
	k, err := c.kernel()
	r.Sample(&clockKernelSuccess, boolean(err == nil))
	a := &assessment{about: "the kernel of " + c.node}
	switch {
	case errors.Is(err, fs.ErrPermission):
		a.add(health.Unknown, "does not let the agent ask for the state of its clock: allow the system call adjtimex, which here only reads")
	case err != nil:
		a.add(health.Unknown, "does not tell the state of its clock: %s", cause(err, 0))
	default:
		r.Sample(&clockKernelSynchronized, boolean(k.synchronized))
		r.Sample(&clockKernelOffset, k.offset.Seconds())
		r.Sample(&clockKernelMaximumError, k.maximumError.Seconds())
		r.Sample(&clockKernelEstimatedError, k.estimatedError.Seconds())
		a.measured = health.Evidence{Value: k.maximumError.Seconds(), Unit: "seconds"}
		if !k.synchronized {
			a.add(health.Warning, "says that no time service synchronizes its clock")
			a.findings[0].evidence = a.measured
		}
	}
	a.verdict(r, clockSubjectKernel)
}
