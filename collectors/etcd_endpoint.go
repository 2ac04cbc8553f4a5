package collectors

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"net/url"
	"strconv"
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

	mu     sync.Mutex // guards the clients, which close may end at any time
	closed bool
	creds  etcdCredentials
	client *clientv3.Client // nil until used, and after new credentials
	web    *http.Client

	// Below: touched by one run at a time.
	history *etcdHistory
	heard   etcdHeard
}

// etcdHeard is what an endpoint said of the cluster: when it last answered,
// and in the run that is under way.
type etcdHeard struct {
	answered bool         // in this run
	cluster  uint64       // 0 until it has answered once
	member   uint64       // the member that answers at the endpoint
	members  []*pb.Member // this run's member list, nil without one
	names    map[uint64]string
}

// The key that is read. It need not exist; etcdctl reads the same.
var healthKey = []byte("health")

func (t *etcdTarget) look(ctx context.Context, r *Report) {
	start := time.Now()
	a := &assessment{about: "etcd endpoint " + t.subject}
	t.heard.answered, t.heard.members = false, nil

	var figures etcdFigures
	var figuresErr error
	var beside parallel
	beside.run(func() { figures, figuresErr = t.figures(ctx) })
	state, err := t.ask(ctx, r, a)
	beside.wait()

	if err != nil && t.url.Scheme == "https" && closedEarly(err) {
		if alert := handshakeAlert(ctx, t.url.Host, t.tls()); alert != nil {
			err = alert
		}
	}
	switch {
	case err == nil:
	case credentialsRefused(err):
		a.add(health.Unknown, "refuses the credentials: %s", cause(err, time.Since(start)))
	case t.url.Scheme == "http" && strings.Contains(err.Error(), "server preface"):
		a.add(health.Critical, "does not answer: %s (does it want https?)", cause(err, time.Since(start)))
	default:
		a.add(health.Critical, "does not answer: %s", cause(err, time.Since(start)))
	}
	r.Sample(&etcdUp, boolean(err == nil), t.subject)
	r.Sample(&etcdMetricsUp, boolean(figuresErr == nil), t.subject)
	if figuresErr == nil {
		t.judgeFigures(r, a, figures)
	} else if err == nil {
		a.add(health.Unknown, "answers, but its metrics cannot be read, so the times of its disk are not known: %s", cause(figuresErr, time.Since(start)))
	}
	if state != nil {
		t.judgeState(r, a, state, figures)
	}
	a.verdict(r, t.subject)
}

// ask makes the requests in an order in which the last is the only one that
// needs a quorum: what the others say is known when it hangs. The error says
// that the endpoint does not answer. The status is nil when it may not be
// asked for.
func (t *etcdTarget) ask(ctx context.Context, r *Report, a *assessment) (*pb.StatusResponse, error) {
	client, err := t.connected(ctx)
	if err != nil {
		return nil, err
	}
	// The generated clients, because those of clientv3 wait for a connection
	// until the context ends and then do not say why there was none; and
	// because its Status dials anew each time.
	conn := client.ActiveConnection()
	state, err := pb.NewMaintenanceClient(conn).Status(ctx, &pb.StatusRequest{})
	if permissionDenied(err) {
		state, err = nil, nil
		a.add(health.Unknown, "answers, but this client may not read its status")
	}
	if err != nil {
		return nil, err
	}
	t.heard.answered = true
	if state != nil {
		t.heard.cluster, t.heard.member = state.GetHeader().GetClusterId(), state.GetHeader().GetMemberId()
	}
	kv := pb.NewKVClient(conn)
	t.read(ctx, r, a, kv, "serializable", state)
	if state.GetIsLearner() {
		return state, nil // a learner answers nothing of what follows
	}
	// From the member's own copy: an answer through the quorum may not come.
	if list, err := pb.NewClusterClient(conn).MemberList(ctx, &pb.MemberListRequest{}); err == nil {
		t.heard.list(list.GetMembers())
	}
	t.read(ctx, r, a, kv, "linearizable", state)
	return state, nil
}

// read times the read of one key.
func (t *etcdTarget) read(ctx context.Context, r *Report, a *assessment, kv pb.KVClient, consistency string, state *pb.StatusResponse) {
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
		return
	}
	t.reads.WithLabelValues(t.subject, consistency).Observe(took.Seconds())
	limits := t.settings.Thresholds.ReadLatency.seconds()
	a.hold(took.Seconds(), limits, "seconds", "%s read took %s", consistency, seconds(took.Seconds()))
	_, limit := limits.judge(0)
	a.measured = health.Evidence{Value: took.Seconds(), Threshold: limit, Unit: "seconds"}
}

// list takes over a member list. Names are kept, so that they stay the same
// in labels while no list is to be had.
func (h *etcdHeard) list(members []*pb.Member) {
	h.members, h.names = members, make(map[uint64]string, len(members))
	for _, m := range members {
		h.names[m.GetID()] = clip(m.GetName(), 80)
	}
}

// name is a member's name, or its id in hexadecimal, as etcdctl prints it,
// as long as it has none.
func (h *etcdHeard) name(id uint64) string {
	if name := h.names[id]; name != "" {
		return name
	}
	return strconv.FormatUint(id, 16)
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
