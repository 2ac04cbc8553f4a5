package collectors

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
	"github.com/prometheus/procfs"

	"github.com/grapevine-mesh/grapevine/health"
)

const (
	// maxLinks bounds the series of a node with many ports.
	maxLinks = 16
	// relist is how often the devices are listed: hundreds of pods' ends
	// stand among them.
	relist = time.Minute
	// flapWindow is the time over which carrier changes are counted.
	flapWindow = 10 * time.Minute
)

// links looks at the node's own devices: those with hardware behind them, and
// that of the default route.
type links struct {
	node   string
	paths  Paths
	limits hostNetworkThresholds
	now    func() time.Time
	logger log.Logger

	listed time.Time
	names  []string
	had    map[string]*linkHistory // by device
}

// linkHistory is what only earlier runs can tell of a device.
type linkHistory struct {
	uplink  bool // the default route has gone through it since the agent started
	carrier bool // it has had a carrier since then
	last    *linkCounts
	// carrierChanges is the device's own count in the run before.
	carrierChanges int64
	changes        []carrierChange
}

type carrierChange struct {
	when  time.Time
	times float64
}

// linkCounts are a device's own counters, received first and sent second.
type linkCounts struct{ packets, errors, drops [2]uint64 }

// linkLook is what one run sees of a device.
type linkLook struct {
	name           string
	up             bool // switched on
	carrier        bool
	carrierChanges int64
	speed          int64  // Mbit/s; not above 0 when it is unknown
	duplex         string // full, half or unknown
	master         string // the bond or bridge that it is part of
	counts         linkCounts
}

// judge exports and judges every device.
func (l *links) judge(r *Report) {
	for _, name := range l.devices() {
		look, err := l.read(name)
		if errors.Is(err, fs.ErrNotExist) { // it is gone since it was listed
			l.listed = time.Time{}
			continue
		}
		if err != nil {
			r.Verdict("link "+name, health.Unknown, l.node+": link "+name+" cannot be looked at: "+cause(err, 0), health.Evidence{})
			continue
		}
		l.judgeLink(r, look)
	}
}

// devices lists the node's own devices, at most every minute.
func (l *links) devices() []string {
	now := l.now()
	if !l.listed.IsZero() && now.Sub(l.listed) < relist {
		return l.names
	}
	l.listed = now
	for _, name := range l.defaultDevices() {
		l.history(name).uplink = true
	}
	entries, err := os.ReadDir(filepath.Join(l.paths.Sys, "class/net"))
	if err != nil {
		level.Warn(l.logger).Log("msg", "listing the network devices", "err", err)
		return l.names
	}
	l.names = l.names[:0]
	for _, e := range entries {
		_, err := os.Lstat(l.path(e.Name(), "device"))
		had, known := l.had[e.Name()]
		if err == nil || known && had.uplink {
			l.names = append(l.names, e.Name())
			l.history(e.Name())
		}
	}
	// Those that carry the default route first, should there be too many.
	slices.SortStableFunc(l.names, func(a, b string) int {
		return int(boolean(l.history(b).uplink) - boolean(l.history(a).uplink))
	})
	if len(l.names) > maxLinks {
		level.Warn(l.logger).Log("msg", "more network devices than are looked at", "devices", len(l.names), "at_most", maxLinks)
		l.names = l.names[:maxLinks]
	}
	for name := range l.had {
		if !slices.Contains(l.names, name) {
			delete(l.had, name)
		}
	}
	return l.names
}

// defaultDevices are those that IPv4 default routes go through.
func (l *links) defaultDevices() []string {
	proc, err := procfs.NewFS(l.paths.Proc)
	if err != nil {
		return nil
	}
	routes, err := proc.NetRoute()
	if err != nil {
		level.Debug(l.logger).Log("msg", "reading the routes", "err", err)
		return nil
	}
	var devices []string
	for _, route := range routes {
		if route.Destination == 0 && route.Mask == 0 {
			devices = append(devices, route.Iface)
		}
	}
	return devices
}

func (l *links) history(name string) *linkHistory {
	h, ok := l.had[name]
	if !ok {
		h = &linkHistory{}
		l.had[name] = h
	}
	return h
}

func (l *links) path(device, file string) string {
	return filepath.Join(l.paths.Sys, "class/net", device, file)
}

// read looks at one device. Of the files in its directory only those needed
// are read: some drivers ask the hardware for each.
func (l *links) read(name string) (linkLook, error) {
	look := linkLook{name: name}
	const iffUp = 1
	flags, err := l.number(name, "flags")
	if err != nil {
		return linkLook{}, err
	}
	look.up = flags&iffUp != 0
	// A device that is switched off, or virtual, refuses to tell these.
	carrier, _ := l.number(name, "carrier")
	look.carrier = look.up && carrier == 1
	look.speed, _ = l.number(name, "speed")
	look.duplex, _ = l.word(name, "duplex")
	look.carrierChanges, _ = l.number(name, "carrier_changes")
	if master, err := os.Readlink(l.path(name, "master")); err == nil {
		look.master = filepath.Base(master)
	}
	for i, direction := range []string{"rx", "tx"} {
		for file, to := range map[string]*uint64{
			"packets": &look.counts.packets[i], "errors": &look.counts.errors[i], "dropped": &look.counts.drops[i],
		} {
			n, err := l.number(name, "statistics/"+direction+"_"+file)
			if err != nil {
				return linkLook{}, err
			}
			*to = uint64(n)
		}
	}
	return look, nil
}

func (l *links) word(device, file string) (string, error) {
	content, err := os.ReadFile(l.path(device, file))
	return strings.TrimSpace(string(content)), err
}

// number reads a decimal number, or a hexadecimal one that begins with 0x.
func (l *links) number(device, file string) (int64, error) {
	word, err := l.word(device, file)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(word, 0, 64)
	if err != nil {
		return 0, fmt.Errorf("reading %s: %w", l.path(device, file), err)
	}
	return n, nil
}

// recentChanges adds what the device has counted since the run before, and
// returns how many changes there were within flapWindow.
func (h *linkHistory) recentChanges(now time.Time, count int64) float64 {
	if h.last != nil && count > h.carrierChanges {
		h.changes = append(h.changes, carrierChange{now, float64(count - h.carrierChanges)})
	}
	h.carrierChanges = count
	for len(h.changes) > 0 && now.Sub(h.changes[0].when) > flapWindow {
		h.changes = h.changes[1:]
	}
	var n float64
	for _, c := range h.changes {
		n += c.times
	}
	return n
}
