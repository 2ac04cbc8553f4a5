package collectors

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/grapevine-mesh/grapevine/health"
)

// Where systemd is asked: over the system's bus, which lets everybody read,
// or directly, which only root may.
const (
	systemdRuns    = "/run/systemd/system" // there exactly when systemd is init
	systemBus      = "/run/dbus/system_bus_socket"
	systemdPrivate = "/run/systemd/private"
	// shutdownScheduled is written by systemd-logind and removed again when
	// the shutdown is called off.
	shutdownScheduled = "/run/systemd/shutdown/scheduled"
)

// longestShutdown is how long bad verdicts are excused by a shutdown: a node
// that is still up then did not go down.
const longestShutdown = 10 * time.Minute

// maxNamedUnits is how many failed units a reason names.
const maxNamedUnits = 5

// units judges the units that have failed. A node without systemd has none.
func (c *systemCheck) units(ctx context.Context, r *Report) {
	const subject = "failed units"
	if !exists(c.paths.inRoot(systemdRuns)) {
		r.Sample(&systemdUp, 0)
		return
	}
	failed, err := c.failedUnits(ctx)
	r.Sample(&systemdUp, boolean(err == nil))
	if err != nil {
		r.Verdict(subject, health.Unknown, "systemd cannot be asked for failed units: "+cause(err, c.settings.Timeout), health.Evidence{})
		return
	}
	failed = slices.DeleteFunc(failed, func(unit string) bool { return matches(c.settings.IgnoreUnits, unit) })
	r.Sample(&systemdFailed, float64(len(failed)))
	evidence := health.Evidence{Value: float64(len(failed)), Threshold: 1, Unit: "units"}
	if len(failed) == 0 {
		r.Verdict(subject, health.OK, "", evidence)
		return
	}
	status := health.Warning
	slices.SortFunc(failed, func(a, b string) int { // those that are critical first
		if x, y := matches(c.settings.CriticalUnits, a), matches(c.settings.CriticalUnits, b); x != y {
			if x {
				return -1
			}
			return 1
		}
		return strings.Compare(a, b)
	})
	if matches(c.settings.CriticalUnits, failed[0]) {
		status = health.Critical
	}
	named := strings.Join(failed[:min(len(failed), maxNamedUnits)], ", ")
	if more := len(failed) - maxNamedUnits; more > 0 {
		named += fmt.Sprintf(" and %d more", more)
	}
	r.Verdict(subject, status, clip("systemd has failed units: "+named, maxReason), evidence)
}

func matches(patterns []string, unit string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		ok, err := path.Match(pattern, unit)
		return err == nil && ok
	})
}

// failedUnits asks systemd at the sockets of the node. The deadline of ctx
// holds for every read and write.
func (c *systemCheck) failedUnits(ctx context.Context) ([]string, error) {
	var failed []error
	for _, socket := range []string{systemBus, systemdPrivate} {
		units, err := listFailed(ctx, c.paths.inRoot(socket), socket == systemBus)
		if err == nil {
			return units, nil
		}
		if ctx.Err() != nil {
			err = ctx.Err() // which has closed the connection
		}
		if !errors.Is(err, fs.ErrNotExist) {
			failed = append(failed, err)
		}
	}
	if len(failed) == 0 {
		return nil, fmt.Errorf("neither %s nor %s exists", systemBus, systemdPrivate)
	}
	return nil, failed[0]
}

func listFailed(ctx context.Context, socket string, bus bool) ([]string, error) {
	var dialer net.Dialer
	wire, err := dialer.DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, err
	}
	if deadline, ok := ctx.Deadline(); ok {
		_ = wire.SetDeadline(deadline) // a socket that cannot says so at the first read
	}
	conn, err := dbus.NewConn(wire, dbus.WithContext(ctx))
	if err != nil {
		_ = wire.Close()
		return nil, err
	}
	defer conn.Close()
	if err := conn.Auth([]dbus.Auth{dbus.AuthExternal(strconv.Itoa(os.Geteuid()))}); err != nil {
		return nil, fmt.Errorf("%s: %w", socket, err)
	}
	if bus {
		if err := conn.Hello(); err != nil {
			return nil, fmt.Errorf("%s: %w", socket, err)
		}
	}
	var units []struct {
		Name, Description, Load, Active, Sub, Followed string
		Path                                           dbus.ObjectPath
		Job                                            uint32
		JobType                                        string
		JobPath                                        dbus.ObjectPath
	}
	manager := conn.Object("org.freedesktop.systemd1", "/org/freedesktop/systemd1")
	call := manager.CallWithContext(ctx, "org.freedesktop.systemd1.Manager.ListUnitsFiltered", dbus.FlagNoAutoStart, []string{"failed"})
	if err := call.Store(&units); err != nil {
		return nil, err
	}
	names := make([]string, 0, len(units))
	for _, u := range units {
		names = append(names, clip(u.Name, 100))
	}
	return names, nil
}

// shutdown exports that the node is to go down. Once its time has come the
// node is in maintenance: what fails then was meant to.
func (c *systemCheck) shutdown(r *Report, now time.Time) {
	text, err := readSmall(c.paths.inRoot(shutdownScheduled))
	if err != nil {
		r.Sample(&systemShutdown, 0)
		return
	}
	var at time.Time
	dry := false
	for line := range bytes.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(string(line)), "=")
		switch key {
		case "USEC":
			if usec, err := strconv.ParseInt(value, 10, 64); err == nil {
				at = time.UnixMicro(usec)
			}
		case "MODE":
			dry = strings.HasPrefix(value, "dry-")
		}
	}
	r.Sample(&systemShutdown, boolean(!dry))
	if since := now.Sub(at); !dry && since >= 0 && since < longestShutdown {
		r.Maintenance(ShuttingDown)
	}
}
