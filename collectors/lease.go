package collectors

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
)

// leaseSubject is what the verdict on a lease is filed under.
const leaseSubject = "lease"

// defaultLeaseDuration is that of Kubernetes' components (LeaderElectionConfiguration,
// leaseDuration). A lease that was given back does not tell.
const defaultLeaseDuration = 15 * time.Second

// leaseObject is a Lease as the API server gives it.
type leaseObject struct {
	Spec struct {
		HolderIdentity       string    `json:"holderIdentity"`
		LeaseDurationSeconds int       `json:"leaseDurationSeconds"`
		RenewTime            time.Time `json:"renewTime"`
		LeaseTransitions     int       `json:"leaseTransitions"`
	} `json:"spec"`
}

func (o *leaseObject) record() leaseRecord {
	rec := leaseRecord{
		holder: o.Spec.HolderIdentity, renewed: o.Spec.RenewTime,
		duration: time.Duration(o.Spec.LeaseDurationSeconds) * time.Second, transitions: o.Spec.LeaseTransitions,
	}
	if rec.holder == "" || rec.duration <= 0 {
		rec.duration = defaultLeaseDuration
	}
	return rec
}

// leaseTarget is the lease that the instances of one component lead by.
type leaseTarget struct {
	component string
	namespace string
	name      string
	api       *kubeAPI // nil: no credentials were found
	refused   string   // why not
	limits    Limits   // of the age, in parts of the lease's duration
	metrics   *electedMetrics
	hostnames []string // those of this node's instance; empty: it has none

	mu    sync.Mutex // guards watch: a run may outlive its time
	watch leaseWatch
}

// look reads the lease and says whether somebody leads.
func (t *leaseTarget) look(ctx context.Context, r *Report) {
	a := &assessment{about: "lease " + t.namespace + "/" + t.name}
	defer a.verdict(r, leaseSubject)
	if t.api == nil {
		r.Sample(&t.metrics.leaseSuccess, 0)
		a.add(health.Unknown, "cannot be read: %s", t.refused)
		return
	}
	err := t.read(ctx)
	if err == nil && t.doubtful() {
		// Nothing but two clocks says that nobody renews it. See whether
		// somebody does, as far as there is time.
		if t.linger(ctx) {
			err = t.read(ctx)
		}
	}
	r.Sample(&t.metrics.leaseSuccess, boolean(err == nil))
	switch {
	case err == nil:
		t.judge(r, a)
	case missing(err):
		a.add(health.Critical, "does not exist: no %s has ever led; if they run without leader election, set leader_election to false", t.component)
	default:
		a.add(health.Unknown, "cannot be read: the API server %s", err)
	}
}

func (t *leaseTarget) read(ctx context.Context) error {
	var object leaseObject
	err := t.api.get(ctx, "/apis/coordination.k8s.io/v1/namespaces/"+t.namespace+"/leases/"+t.name, nil, &object)
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil {
		var e *kubeError
		if errors.As(err, &e) && (e.code == 0 || e.code >= http.StatusInternalServerError) {
			t.watch.lost()
		}
		return err
	}
	t.watch.see(time.Now(), object.record())
	return nil
}

// doubtful tells whether the lease seems old at first sight.
func (t *leaseTarget) doubtful() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	age, sure := t.watch.age(time.Now())
	status, _ := t.judgeAge(age)
	return !sure && status != health.OK && t.watch.first.Equal(t.watch.sighted)
}

// linger waits for the time in which a leader renews, 2 s by default, or as
// long as leaves time to ask once more.
func (t *leaseTarget) linger(ctx context.Context) bool {
	wait := 2100 * time.Millisecond
	if deadline, ok := ctx.Deadline(); ok {
		wait = min(wait, time.Until(deadline)-250*time.Millisecond)
	}
	if wait <= 0 {
		return false
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// judgeAge holds an age of the lease against the limits.
func (t *leaseTarget) judgeAge(age time.Duration) (status health.Status, limit time.Duration) {
	duration := t.watch.last.duration
	status, part := t.limits.judge(age.Seconds() / duration.Seconds())
	return status, time.Duration(part * float64(duration))
}

// judge reports the record that was read last.
func (t *leaseTarget) judge(r *Report, a *assessment) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now, rec := time.Now(), t.watch.last
	age, _ := t.watch.age(now)
	silence := t.watch.silence(now)
	holder := holderHost(rec.holder)

	r.Sample(&t.metrics.leaseAge, age.Seconds())
	r.Sample(&t.metrics.leaseDuration, rec.duration.Seconds())
	r.Sample(&t.metrics.leaseTransitions, float64(rec.transitions))
	if !rec.renewed.IsZero() {
		r.Sample(&t.metrics.leaseRenewed, float64(rec.renewed.UnixMicro())/1e6)
	}
	if rec.holder != "" {
		r.Sample(&t.metrics.leaseHolder, 1, holder)
	}
	if len(t.hostnames) > 0 {
		r.Sample(&t.metrics.isLeader, boolean(rec.holder != "" && heldBy(rec.holder, t.hostnames)))
	}

	status, limit := t.judgeAge(silence)
	evidence := health.Evidence{Value: silence.Seconds(), Threshold: limit.Seconds(), Unit: "seconds"}
	if status == health.OK {
		a.measured = evidence
		return
	}
	silent := seconds(silence.Seconds())
	if silence > 2*time.Minute {
		silent = silence.Round(time.Second).String()
	}
	switch {
	case rec.holder == "":
		a.add(status, "is held by nobody for %s: nobody leads, and no %s takes over", silent, t.component)
	case silence < rec.duration:
		a.add(status, "has not been renewed by %s for %s: the %s there hangs or does not reach the API server; another one may take over after %s",
			holder, silent, t.component, seconds(rec.duration.Seconds()))
	default:
		a.add(status, "has run out: nobody leads; %s has not renewed it for %s, it was good for %s, and no other %s takes over",
			holder, silent, seconds(rec.duration.Seconds()), t.component)
	}
	a.findings[len(a.findings)-1].evidence = evidence
}

// heldBy tells whether the holder is an instance on the machine of one of the
// names.
func heldBy(holder string, hostnames []string) bool {
	for _, name := range hostnames {
		if name != "" && strings.EqualFold(holderHost(holder), name) {
			return true
		}
	}
	return false
}

// holderHost is the machine of a holder: what it is called by its components,
// HOSTNAME_ and a random part, without the latter.
func holderHost(holder string) string {
	if i := strings.LastIndexByte(holder, '_'); i > 0 {
		holder = holder[:i]
	}
	return clip(holder, 100)
}
