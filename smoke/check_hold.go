package smoke

import (
	"fmt"
	"strings"
	"time"

	"github.com/grapevine-mesh/grapevine/collectors"
	"github.com/grapevine-mesh/grapevine/health"
)

// Why a run was not made when it was due.
const (
	holdDegraded  = "degraded"  // what every run needs is down
	holdSlow      = "slow"      // the API server answers slowly
	holdLeftovers = "leftovers" // what earlier runs left could not be removed
)

var holds = []string{holdDegraded, holdSlow, holdLeftovers}

// upstream is a check of something that every run needs. Where all of its
// verdicts on a node are critical, that is down as seen from there.
type upstream struct {
	check   string
	subject string // the only one that counts; empty: all do
}

var apiserverCheck = upstream{check: "apiserver"}

// upstreams are what pods hang on in the whole cluster. Without a controller
// manager nobody removes what a killed run leaves. What nodes alone need
// (kubelet, runtime, network) is not here: the choice of nodes and the steps
// tell that, and smoke tests are for what only they can see.
var upstreams = []upstream{
	{check: "etcd"}, apiserverCheck, {"scheduler", "lease"}, {"controller-manager", "lease"},
}

// word is what a node says of something.
type word uint8

const (
	silent word = iota // it does not look, or cannot tell
	no
	yes
)

// down tells whether, by these verdicts of one node, that is down.
func down(results []health.Result, u upstream) word {
	said := silent
	for _, r := range results {
		if r.Check != u.check || u.subject != "" && r.Subject != u.subject || r.Status == health.Unknown {
			continue
		}
		if r.Status != health.Critical {
			return no
		}
		said = yes
	}
	return said
}

// degraded says what of all that runs need is down, as at least half of those
// nodes see it that look; empty: nothing.
func degraded(all []collectors.NodeVerdicts) string {
	var broken []string
	for _, u := range upstreams {
		looking, agree := 0, 0
		for _, n := range all {
			if !n.Up {
				continue
			}
			switch down(n.Results, u) {
			case yes:
				agree++
				looking++
			case no:
				looking++
			case silent:
			}
		}
		if agree > 0 && 2*agree >= looking {
			broken = append(broken, fmt.Sprintf("%s is critical on %d of %d nodes", u.check, agree, looking))
		}
	}
	return strings.Join(broken, ", ")
}

// maxBackoff is the longest time between two runs while the breaker is open,
// unless the interval is longer.
const maxBackoff = time.Hour

// breaker keeps runs apart that do more harm than good.
type breaker struct {
	reason string // of holds; empty: it is closed
	why    string
	until  time.Time
	trips  int // in a row
}

// trip opens it, each time for twice as long, from one interval more than
// usual on.
func (b *breaker) trip(now time.Time, interval time.Duration, reason, why string) {
	b.trips = min(b.trips+1, 16)
	b.reason, b.why = reason, why
	b.until = now.Add(max(interval, min(maxBackoff, interval<<b.trips)))
}

// judge opens or closes it by what came of a run.
func (b *breaker) judge(now time.Time, s *CheckSettings, r *Report) {
	admit, _ := r.Step(StepAdmit)
	took := time.Duration(admit.Seconds * float64(time.Second))
	switch {
	case len(r.Leftovers) > 0:
		b.trip(now, s.Interval, holdLeftovers, "what runs have left could not be removed: "+some(r.Leftovers))
	case took > admitPart*s.MaxLatency:
		b.trip(now, s.Interval, holdSlow, fmt.Sprintf("the API server took %.1f s to take the pods of the last run", took.Seconds()))
	default:
		*b = breaker{}
	}
}

// admitPart is how many times the latency of one request the step admit may
// take, which makes some ten of them.
const admitPart = 5
