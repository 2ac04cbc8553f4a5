package collectors

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/grapevine-mesh/grapevine/health"
)

// etcdTarget is one endpoint and what is remembered of it between runs.
type etcdTarget struct {
	url        *url.URL
	subject    string // host:port
	metricsURL string
	settings   *etcdSettings
	reads      *prometheus.HistogramVec
	names      *etcdNames // this and what follows is shared by all targets
	peers      *etcdPeers

	mu     sync.Mutex // guards the clients, which close may end at any time
	closed bool
	creds  etcdCredentials
	client *clientv3.Client // nil until used, and after new credentials
	web    *http.Client

	// Below: touched by one run at a time.
	history *etcdHistory
	door    etcdDoor
	heard   etcdHeard
}

// etcdHeard is what an endpoint said of the cluster: when it last answered,
// and in the run that is under way.
type etcdHeard struct {
	answered   bool            // in this run
	cluster    uint64          // 0 until it has answered once
	member     uint64          // the member that answers at the endpoint
	leaderless bool            // it said in this run that it knows no leader
	members    []*pb.Member    // this run's member list, nil without one
	contact    map[uint64]bool // whether the member has contact to each of its peers, as its metrics tell in this run
}

// The key that is read. It need not exist; etcdctl reads the same.
var healthKey = []byte("health")

// look asks the endpoint all there is to ask. listed is called with the
// member list as soon as it is known.
func (t *etcdTarget) look(ctx context.Context, r *Report, listed func([]*pb.Member)) {
	start := time.Now()
	a, reads := &assessment{}, &assessment{}
	t.heard = etcdHeard{cluster: t.heard.cluster, member: t.heard.member}

	var figures etcdFigures
	var figuresErr error
	var beside parallel
	beside.run(func() { figures, figuresErr = t.figures(ctx) })
	knocked := !start.Before(t.door.next)
	if knocked {
		beside.run(func() { t.door.knock(ctx, t.tls(), false) })
	}
	state, request, err := t.ask(ctx, r, reads, listed)
	took := time.Since(start)
	beside.wait()

	if err != nil && t.url.Scheme == "https" && closedEarly(err) {
		knocked = true
		t.door.knock(ctx, t.tls(), true)
	}
	if err != nil || t.door.last.err != nil {
		t.door.next = time.Time{} // to know more of it in the next run
	}
	t.judgeAnswer(a, err, took, knocked)
	if err != nil && figuresErr == nil && !figures.hasLeader {
		a.add(health.Critical, "knows no leader, by its metrics: it has not found the other members of its cluster")
	}
	t.door.report(r, a, t.settings.Thresholds.Certificate, t.subject, request)
	r.Sample(&etcdUp, boolean(err == nil), t.subject)
	r.Sample(&etcdMetricsUp, boolean(figuresErr == nil), t.subject)
	if figuresErr == nil {
		t.heard.contact = figures.contact
		t.judgeFigures(r, a, figures)
	} else if err == nil {
		a.add(health.Unknown, "answers, but its metrics cannot be read, so the times of its disk are not known: %s", cause(figuresErr, time.Since(start)))
	}
	if state != nil {
		t.judgeState(r, a, state, figures)
	}
	// Last, as the disk is what makes a read slow, and not the other way round.
	a.findings, a.measured = append(a.findings, reads.findings...), reads.measured
	a.about = t.about()
	a.verdict(r, t.subject)
}

// about names the endpoint, and its member when it is known.
func (t *etcdTarget) about() string {
	if name := t.names.behind(t.subject, t.heard.member); name != "" {
		return "etcd member " + name + " at " + t.subject
	}
	return "etcd endpoint " + t.subject
}

// judgeAnswer words why the endpoint does not answer. knocked tells whether
// the door was tried in this run: what it says has lost no detail in gRPC.
func (t *etcdTarget) judgeAnswer(a *assessment, err error, took time.Duration, knocked bool) {
	door := &t.door.last
	if err == nil {
		if knocked && door.err != nil {
			a.add(health.Critical, "answers, but takes no new connections: %s", door.why())
		}
		return
	}
	why := cause(err, took)
	switch {
	case knocked && door.err != nil && !errors.Is(err, errClosed):
		err, why = door.err, door.why()
	case unserved(err):
		why = "no answer within " + seconds(t.settings.Timeout.Seconds()) + ": " + unansweredWords
	case knocked && timedOut(err):
		why += ": " + unansweredWords
	}
	switch {
	case credentialsRefused(err):
		a.add(health.Unknown, "refuses the credentials: %s", why)
	case t.url.Scheme == "http" && strings.Contains(err.Error(), "server preface") && !unserved(err):
		if strings.Contains(why, "http2: ") {
			why = "what answers there does not speak gRPC"
		}
		a.add(health.Critical, "does not answer: %s (is it the client port, and does it want https?)", why)
	default:
		a.add(health.Critical, "does not answer: %s", why)
	}
}

// ask makes the requests in an order in which the last is the only one that
// needs a quorum: what the others say is known when it hangs. The error says
// that the endpoint does not answer. The status is nil when it may not be
// asked for. request is the time of one request without connecting; when none
// was answered, the time until then.
func (t *etcdTarget) ask(ctx context.Context, r *Report, a *assessment, listed func([]*pb.Member)) (state *pb.StatusResponse, request time.Duration, err error) {
	start := time.Now()
	client, err := t.connected(ctx)
	if err != nil {
		return nil, time.Since(start), err
	}
	// The generated clients, because those of clientv3 wait for a connection
	// until the context ends and then do not say why there was none; and
	// because its Status dials anew each time.
	conn := client.ActiveConnection()
	state, err = pb.NewMaintenanceClient(conn).Status(ctx, &pb.StatusRequest{})
	if permissionDenied(err) {
		state, err = nil, nil
		a.add(health.Unknown, "answers, but this client may not read its status")
	}
	if err != nil {
		return nil, time.Since(start), err
	}
	t.heard.answered = true
	if state != nil {
		t.heard.cluster, t.heard.member, t.heard.leaderless = state.GetHeader().GetClusterId(), state.GetHeader().GetMemberId(), state.GetLeader() == 0
	}
	kv := pb.NewKVClient(conn)
	request = t.read(ctx, r, a, kv, "serializable", state)
	if state.GetIsLearner() {
		return state, request, nil // a learner answers nothing of what follows
	}
	// From the member's own copy: an answer through the quorum may not come.
	if list, err := pb.NewClusterClient(conn).MemberList(ctx, &pb.MemberListRequest{}); err == nil {
		t.heard.members = list.GetMembers()
		t.names.learn(t.heard.members)
		listed(t.heard.members)
	}
	t.read(ctx, r, a, kv, "linearizable", state)
	return state, request, nil
}

// read times the read of one key.
func (t *etcdTarget) read(ctx context.Context, r *Report, a *assessment, kv pb.KVClient, consistency string, state *pb.StatusResponse) time.Duration {
	start := time.Now()
	_, err := kv.Range(ctx, &pb.RangeRequest{Key: healthKey, Serializable: consistency == "serializable"})
	took := time.Since(start)
	if permissionDenied(err) {
		err = nil // etcd looks at permissions after it has done the work
	}
	r.Sample(&etcdReadLast, took.Seconds(), t.subject, consistency)
	r.Sample(&etcdReadSuccess, boolean(err == nil), t.subject, consistency)
	if err != nil {
		// Without a leader the linearizable read must fail; that is said.
		if consistency == "serializable" || state == nil || state.GetLeader() != 0 {
			a.add(health.Critical, "%s read failed: %s", consistency, cause(err, took))
		}
		return took
	}
	t.reads.WithLabelValues(t.subject, consistency).Observe(took.Seconds())
	limits := t.settings.Thresholds.ReadLatency.seconds()
	a.hold(took.Seconds(), limits, "seconds", "%s read took %s", consistency, seconds(took.Seconds()))
	_, limit := limits.judge(0)
	a.measured = health.Evidence{Value: took.Seconds(), Threshold: limit, Unit: "seconds"}
	return took
}

var errClosed = errors.New("the check was stopped")

// connected returns the client that is kept, or a new one.
func (t *etcdTarget) connected(ctx context.Context) (*clientv3.Client, error) {
	t.mu.Lock()
	client, creds, closed := t.client, t.creds, t.closed
	t.mu.Unlock()
	if closed {
		return nil, errClosed
	}
	if client != nil {
		return client, nil
	}
	client, err := connectEtcd(ctx, t.url, creds, t.settings.Timeout)
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		_ = client.Close()
		return nil, errClosed
	}
	t.client = client
	return client, nil
}

// use makes the next run connect with creds.
func (t *etcdTarget) use(creds etcdCredentials) {
	t.mu.Lock()
	defer t.mu.Unlock()
	_ = t.drop()
	t.creds, t.web = creds, metricsClient(creds)
}

// tls is what the next connection is made with.
func (t *etcdTarget) tls() *tls.Config {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.creds.tls
}

// drop ends the connections; t.mu is held.
func (t *etcdTarget) drop() error {
	var err error
	if t.client != nil {
		err, t.client = t.client.Close(), nil
	}
	if t.web != nil {
		t.web.CloseIdleConnections()
	}
	return err
}

func (t *etcdTarget) close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	return t.drop()
}

func boolean(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
