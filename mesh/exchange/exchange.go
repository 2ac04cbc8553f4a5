package exchange

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/grapevine-mesh/grapevine/mesh/frame"
	"github.com/grapevine-mesh/grapevine/mesh/state"
)

// Config is what an Exchange needs. All fields are required.
type Config struct {
	Node    string
	Cluster string
	Store   *state.Store
	Limits  frame.Limits
	// Dial opens a connection to host:port.
	Dial func(ctx context.Context, address string) (net.Conn, error)
	TLS  *tls.Config // used for both sides; asks for a certificate of any kind

	// Received takes in what peer casts, and passes it on if groups is not 0.
	Received func(peer string, groups int, d state.Delta) state.Outcome

	// Address is host:port of a peer's exchange; empty if it is not known.
	Address func(peer string) string

	// Authenticate says until when certificates, the peer's own first, may
	// act as node; zero is for good. An error may be a state.Refusal.
	Authenticate func(node string, certificates []*x509.Certificate) (time.Time, error)
	Observer     Observer
}

// Observer is told what happens, to count and log it.
type Observer interface {
	// Refused is called when a peer, or a frame that it relays, is refused.
	// peer is its name if it got as far as telling one, else its address.
	Refused(peer string, refusal *state.Refusal)
	// Applied is called with what became of the frames of one message.
	Applied(path Path, applied, old int)
	// Transferred is called with bytes read and written.
	Transferred(in, out int)
	// Shed is called when a peer was too slow for what was cast to it, with
	// the bytes that it did not get.
	Shed(peer string, bytes int)
}

// Path is the way by which frames came.
type Path string

// The ways of frames.
const (
	Fast   Path = "fast"   // cast by their node or a relay
	Repair Path = "repair" // what a digest showed to be missing
)

// The reasons for which peers are refused, beside those of package state.
const (
	ReasonCluster    = "cluster"    // belongs to another cluster
	ReasonHandshake  = "handshake"  // TLS failed
	ReasonCrowd      = "crowd"      // too many connections
	ReasonTooLarge   = "too_large"  // message over the limit
	ReasonUnexpected = "unexpected" // message out of turn
	ReasonTimeout    = "timeout"    // too slow
)

const (
	maxConns        = 1024
	maxConnsPerPeer = 8
	// Of connections whose peer has not proved its name yet, so that strangers
	// leave room for peers.
	maxWaiting        = 256
	maxWaitingPerHost = 64
	helloTimeout      = 3 * time.Second
	requestTimeout    = 5 * time.Second
	idleTimeout       = time.Minute
)

// Exchange is this node's end of all exchanges. It is safe for concurrent use.
type Exchange struct {
	cfg Config

	mu      sync.Mutex         // guards all below
	idle    map[string]*conn   // by peer name: open connections nobody uses now
	peers   map[string]int     // connections served, by peer name
	open    map[net.Conn]bool  // connections served; true: the peer has proved its name
	waiting map[string]int     // connections whose peer has not, by remote host
	streams map[string]*stream // by peer name: the fast path
	pipes   chan net.Conn      // opened by peers for whom Pipes accepts; nil: nobody does
	renewed int                // how often; connections of before are not used again

	ctx   context.Context // of Serve
	group *errgroup.Group // owns the streams; nil before Serve and after its end
}

// New returns an Exchange. It opens nothing.
func New(cfg Config) *Exchange {
	return &Exchange{cfg: cfg, idle: map[string]*conn{}, peers: map[string]int{}, open: map[net.Conn]bool{}, waiting: map[string]int{}, streams: map[string]*stream{}}
}

// Serve answers peers on l, and casts to them, until ctx ends; then it closes
// l and every connection.
func (x *Exchange) Serve(ctx context.Context, l net.Listener) error {
	group, ctx := errgroup.WithContext(ctx)
	x.mu.Lock()
	x.ctx, x.group = ctx, group
	x.mu.Unlock()
	group.Go(func() error {
		<-ctx.Done()
		x.mu.Lock()
		x.group = nil
		x.mu.Unlock()
		x.closeAll()
		return l.Close()
	})
	group.Go(func() error {
		for ctx.Err() == nil {
			c, err := l.Accept()
			if err != nil {
				// Out of file descriptors, most likely: it passes.
				select {
				case <-time.After(100 * time.Millisecond):
				case <-ctx.Done():
				}
				continue
			}
			if err := x.admit(c); err != nil {
				x.refuse(c.RemoteAddr().String(), ReasonCrowd, err)
				_ = c.Close()
				continue
			}
			group.Go(func() error {
				defer x.dismiss(c)
				x.serve(ctx, c)
				return nil
			})
		}
		return nil
	})
	return group.Wait()
}

func (x *Exchange) closeAll() {
	x.mu.Lock()
	defer x.mu.Unlock()
	for c := range x.open {
		_ = c.Close()
	}
	for name, c := range x.idle {
		_ = c.Close()
		delete(x.idle, name)
	}
}

// Renew ends the connections there are, so that both ends authenticate anew:
// the certificate or the authority has changed. Streams do so with the next
// message.
func (x *Exchange) Renew() {
	x.mu.Lock()
	x.renewed++
	x.mu.Unlock()
	x.closeAll()
}

func (x *Exchange) renewals() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.renewed
}

func (x *Exchange) refuse(peer, reason string, err error) {
	x.cfg.Observer.Refused(peer, &state.Refusal{Reason: reason, Err: err})
}

// applied reports the outcome of a delta and returns the refusal for which
// the connection is to be cut.
func (x *Exchange) applied(peer string, path Path, out state.Outcome) error {
	x.cfg.Observer.Applied(path, out.Applied, out.Old)
	for _, r := range out.Refused {
		x.cfg.Observer.Refused(peer, r)
		if r.Hostile {
			return errReported
		}
	}
	return nil
}

// errReported ends a connection whose refusal the observer has been told of.
var errReported = errors.New("refused")

// report tells the observer why a connection ended, if it was refused.
func (x *Exchange) report(peer string, err error) {
	var refusal *state.Refusal
	var netErr net.Error
	switch {
	case err == nil || errors.Is(err, errReported):
	case errors.As(err, &refusal):
		x.cfg.Observer.Refused(peer, refusal)
	case errors.Is(err, errTooLarge):
		x.refuse(peer, ReasonTooLarge, err)
	case errors.As(err, &netErr) && netErr.Timeout():
		x.refuse(peer, ReasonTimeout, err)
	}
}
