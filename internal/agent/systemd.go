package agent

import (
	"fmt"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"
)

const (
	systemdReady    = daemon.SdNotifyReady
	systemdStopping = daemon.SdNotifyStopping
	systemdWatchdog = daemon.SdNotifyWatchdog
)

// systemdReloading is only taken with the time at which it was said.
func systemdReloading() string {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return daemon.SdNotifyReloading
	}
	return fmt.Sprintf("%s\nMONOTONIC_USEC=%d", daemon.SdNotifyReloading, now.Nano()/1000)
}

// notify tells systemd, if it runs this process.
func notify(state string) {
	_, _ = daemon.SdNotify(false, state) // no systemd, or one that does not listen: nothing to be done
}
