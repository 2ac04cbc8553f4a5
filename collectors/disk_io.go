package collectors

import (
	"math"
	"time"

	"github.com/prometheus/procfs/blockdevice"
)

// fewRequests make no mean: a disk that has to wake up, one large request.
const fewRequests = 4

// operations are the kinds of requests, in the order of requests.of.
var operations = []string{"read", "write", "flush"}

// requests are counters of one kind of request.
type requests struct {
	number float64
	millis float64 // spent on all of them
}

// requestsOf takes the kinds apart.
func requestsOf(s blockdevice.IOStats) [3]requests {
	return [3]requests{
		{float64(s.ReadIOs), float64(s.ReadTicks)},
		{float64(s.WriteIOs), float64(s.WriteTicks)},
		{float64(s.FlushRequestsCompleted), float64(s.TimeSpentFlushing)},
	}
}

// ioHistory is what is remembered of a device's requests.
type ioHistory struct {
	last  blockdevice.IOStats
	since time.Time // when it last completed a request or had none; zero: never seen
}

// ioLook is what the kernel counts of a device's requests, and how that has
// changed since the last run.
type ioLook struct {
	known bool
	stats blockdevice.IOStats
	fresh [3]requests   // since the last run
	stuck time.Duration // with requests, and none completed
}

// add compares with the last run. Counters that went back are those of another
// device of the same name.
func (h *ioHistory) add(now time.Time, stats blockdevice.IOStats) ioLook {
	l := ioLook{known: true, stats: stats}
	first := h.since.IsZero()
	progress := stats.IOsInProgress == 0 || first || stats.DiscardIOs != h.last.DiscardIOs
	before, after := requestsOf(h.last), requestsOf(stats)
	for i := range after {
		if after[i].number != before[i].number {
			progress = true
		}
		if !first && after[i].number >= before[i].number && after[i].millis >= before[i].millis {
			l.fresh[i] = requests{after[i].number - before[i].number, after[i].millis - before[i].millis}
		}
	}
	if progress {
		h.since = now
	}
	h.last = stats
	l.stuck = now.Sub(h.since)
	return l
}

// await is the mean time of a request in seconds, to the microsecond, 0 when
// there was none.
func (r requests) await() float64 {
	if r.number == 0 {
		return 0
	}
	return math.Round(r.millis/r.number*1000) / 1e6
}

// export writes what was found of all devices.
func (l *deviceLooks) export(r *Report) {
	for name, d := range l.found {
		if d.io.known {
			d.io.export(r, name)
		}
		if d.state != "" {
			r.Sample(&diskOnline, boolean(deviceStates[d.state] == usable), name)
		}
		if d.errors >= 0 {
			r.Sample(&diskIOErrors, d.errors, name)
		}
		if d.missing >= 0 {
			r.Sample(&diskArrayMissing, float64(d.missing), name)
		}
	}
}

func (l ioLook) export(r *Report, name string) {
	for i, total := range requestsOf(l.stats) {
		r.Sample(&diskRequests, total.number, name, operations[i])
		r.Sample(&diskRequestSeconds, total.millis/1000, name, operations[i])
		r.Sample(&diskAwait, l.fresh[i].await(), name, operations[i])
	}
	r.Sample(&diskBusy, float64(l.stats.IOsTotalTicks)/1000, name)
	r.Sample(&diskInFlight, float64(l.stats.IOsInProgress), name)
	r.Sample(&diskStuck, l.stuck.Seconds(), name)
}
