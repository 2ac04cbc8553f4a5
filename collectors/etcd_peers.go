package collectors

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/grapevine-mesh/grapevine/health"
)

// etcdPeers asks at the peer URLs of the member list, where members talk to
// each other, who answers there: a member that was started with another URL
// or another cluster's token is a member on paper only.
type etcdPeers struct {
	next time.Time    // when to ask again
	list []*pb.Member // whom, as known from earlier runs

	mu      sync.Mutex // guards what follows
	client  *http.Client
	answers map[uint64]etcdPeerAnswer // by member id
}

// etcdPeerAnswer is what one peer URL said.
type etcdPeerAnswer struct {
	url     string
	cluster uint64 // 0 when it did not say
	silent  string // why nobody answered; empty when somebody did
	closed  bool   // it wants other certificates than ours
}

// use makes the next requests identify themselves by conf.
func (p *etcdPeers) use(conf *tls.Config) {
	client, transport := newHTTPClient(conf.Clone())
	transport.DisableKeepAlives = true // asked once a minute
	p.mu.Lock()
	defer p.mu.Unlock()
	p.client = client
}

// ask asks all members at once.
func (p *etcdPeers) ask(ctx context.Context, members []*pb.Member) {
	p.mu.Lock()
	client := p.client
	p.mu.Unlock()
	answers := make(map[uint64]etcdPeerAnswer)
	var asked parallel
	for _, m := range members[:min(len(members), maxEtcdPeers)] {
		if len(m.GetPeerURLs()) == 0 {
			continue
		}
		asked.run(func() {
			answer := askPeer(ctx, client, m.GetPeerURLs()[0])
			p.mu.Lock()
			defer p.mu.Unlock()
			answers[m.GetID()] = answer
		})
	}
	asked.wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answers = answers
}

func askPeer(ctx context.Context, client *http.Client, peer string) etcdPeerAnswer {
	answer := etcdPeerAnswer{url: clip(peer, 80)}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(peer, "/")+"/members", nil)
	if err != nil {
		answer.silent = cause(err, 0)
		return answer
	}
	got := ask(client, req)
	if got.err == nil {
		answer.cluster, err = strconv.ParseUint(got.header.Get("X-Etcd-Cluster-ID"), 16, 64)
		if err != nil {
			answer.silent = "what answers there is no etcd: " + strconv.Itoa(got.code) + ", " + got.mediaWords()
		}
		return answer
	}
	var untrusted *tls.CertificateVerificationError
	if errors.As(got.err, &untrusted) || refusesCertificate(got.err) || req.URL.Scheme == "https" && closedEarly(got.err) {
		answer.closed = true // another CA for peers is nothing unusual
		return answer
	}
	answer.silent = got.why()
	return answer
}

// silent tells whether nobody of the cluster answered at the peer URL of the
// member when it was last asked.
func (p *etcdPeers) silent(member uint64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.answers[member].silent != ""
}

// judge records what the peer URL of a member of the cluster says, and
// whether it said anything bad.
func (p *etcdPeers) judge(r *Report, a *assessment, m *pb.Member, name string, cluster uint64) (bad bool) {
	p.mu.Lock()
	answer, asked := p.answers[m.GetID()]
	p.mu.Unlock()
	started := m.GetName() != ""
	switch {
	case !asked || answer.closed:
		return false
	case answer.silent != "":
		if started { // else that was said already
			a.add(health.Warning, "nobody answers at %s, the peer URL of member %s: %s", answer.url, name, answer.silent)
		}
	case answer.cluster != cluster:
		a.add(health.Critical, "at %s, the peer URL of member %s, another cluster answers (%x instead of %x): "+
			"it was started with another cluster token, or with the data of another cluster", answer.url, name, answer.cluster, cluster)
	default:
		r.Sample(&etcdPeerUp, 1, name)
		return false
	}
	r.Sample(&etcdPeerUp, 0, name)
	return true
}
