package collectors

import (
	"time"

	"golang.org/x/sys/unix"
)

// readKernelClock asks the kernel how its clock is disciplined. It changes
// nothing.
func readKernelClock() (kernelClock, error) {
	var t unix.Timex // no modes: only read
	state, err := unix.Adjtimex(&t)
	if err != nil {
		return kernelClock{}, err
	}
	unit := time.Microsecond
	if t.Status&unix.STA_NANO != 0 {
		unit = time.Nanosecond
	}
	return kernelClock{
		synchronized:   state != unix.TIME_ERROR && t.Status&unix.STA_UNSYNC == 0,
		offset:         time.Duration(t.Offset) * unit,
		maximumError:   time.Duration(t.Maxerror) * time.Microsecond,
		estimatedError: time.Duration(t.Esterror) * time.Microsecond,
	}, nil
}
