package collectors

import (
	"github.com/grapevine-mesh/grapevine/health"
)

// What the host-network check exports of the node's own devices.
var (
	linkUp = Metric{
		Name: "grapevine_host_network_link_carrier", Type: health.Gauge, Labels: []string{"device"},
		Help: "Whether the device is switched on and has a carrier. Devices with hardware behind them, and that of the default route, 16 at most.",
	}
	linkChanges = Metric{
		Name: "grapevine_host_network_link_carrier_changes_total", Type: health.Counter, Labels: []string{"device"},
		Help: "How often the device has lost or got its carrier.",
	}
	linkSpeed = Metric{
		Name: "grapevine_host_network_link_speed_bytes", Type: health.Gauge, Labels: []string{"device"},
		Help: "Speed of the link in bytes per second, where the driver tells it.",
	}
	linkErrors = Metric{
		Name: "grapevine_host_network_link_errors_total", Type: health.Counter, Labels: []string{"device", "direction"},
		Help: "Packets that were damaged; direction is receive or transmit.",
	}
	linkDrops = Metric{
		Name: "grapevine_host_network_link_drops_total", Type: health.Counter, Labels: []string{"device", "direction"},
		Help: "Packets that were dropped for want of room, or because nobody wanted them; direction is receive or transmit.",
	}
	linkMetrics = []Metric{linkUp, linkChanges, linkSpeed, linkErrors, linkDrops}

	linkDirections = [2]string{"receive", "transmit"}
)

// judgedPackets is how many packets a direction must have carried since the
// run before for its ratio of errors to mean something.
const judgedPackets = 100

// judgeLink exports and judges one device.
func (l *links) judgeLink(r *Report, look linkLook) {
	h, name := l.history(look.name), look.name
	a := &assessment{about: l.node + ": link " + name}
	r.Sample(&linkUp, boolean(look.carrier), name)
	switch {
	case look.carrier:
		h.carrier = true
	case !look.up && h.uplink:
		a.add(health.Critical, "is switched off, though it carried the default route")
	case !look.up: // nobody uses it
	case h.uplink:
		a.add(health.Critical, "has no carrier: see its cable, and the port at the other end")
	case look.master != "":
		a.add(health.Warning, "has no carrier, and %s has to do without it", look.master)
	case h.carrier:
		a.add(health.Warning, "has lost its carrier")
	}
	r.Sample(&linkChanges, float64(look.carrierChanges), name)
	n := h.recentChanges(l.now(), look.carrierChanges)
	a.hold(n, l.limits.CarrierChanges, "changes", "lost or got its carrier %.0f times within 10 minutes: it flaps", n)
	if look.carrier && look.speed > 0 {
		r.Sample(&linkSpeed, float64(look.speed)*1e6/8, name)
	}
	if look.carrier && look.duplex == "half" {
		a.add(health.Warning, "runs at half duplex: the two ends did not agree, see their settings")
	}
	l.judgeErrors(r, a, h, look)
	a.verdict(r, "link "+name)
}

// judgeErrors exports the counters, and judges by how they have risen since
// the run before.
func (l *links) judgeErrors(r *Report, a *assessment, h *linkHistory, look linkLook) {
	before, now := h.last, look.counts
	h.last = &now
	for i, direction := range linkDirections {
		r.Sample(&linkErrors, float64(now.errors[i]), look.name, direction)
		r.Sample(&linkDrops, float64(now.drops[i]), look.name, direction)
		if before == nil {
			continue
		}
		damaged := rise(before.errors[i], now.errors[i])
		all := rise(before.packets[i], now.packets[i]) + damaged
		if all < judgedPackets {
			continue
		}
		ratio := damaged / all
		_, threshold := l.limits.LinkErrors.judge(0)
		if ratio >= a.measured.Value {
			a.measured = health.Evidence{Value: ratio, Threshold: threshold, Unit: "ratio"}
		}
		a.hold(ratio, l.limits.LinkErrors, "ratio", "has damaged %.2g %% of its packets since the last run (%s, %.0f of %.0f): see the cable, the transceiver and the port", 100*ratio, direction, damaged, all)
	}
}
