package mesh

import (
	"time"

	"github.com/go-kit/log"
	"github.com/prometheus/client_golang/prometheus"
)

// Config is what a Mesh needs. Fields without a comment on their zero value
// are required.
type Config struct {
	Node    string // this node's name, unique in the cluster
	Cluster string // nodes of another cluster are refused
	Version string // of this program, "1.2.3"

	Bind      string   // host:port of the gossip, TCP and UDP; port 0 takes a free one
	Exchange  string   // host:port of the exchange; port 0 takes a free one
	Advertise string   // host[:port] that others reach the gossip at; empty: found out
	Web       string   // host:port of the web interface to tell others; empty: none
	Join      []string // host[:port] of seeds; may be empty, and may all be down

	GossipKey []byte            // 16, 24 or 32 bytes; empty: gossip is not encrypted
	TLS       *TLSFiles         // nil: an identity of our own making, trusted by gossip's word
	Tags      map[string]string // roles, zone

	StoragePath string // holds the epoch, the peers and the identity

	PublishInterval  time.Duration // a frame is published at least this often
	ExchangeInterval time.Duration // pace of anti-entropy
	StaleAfter       time.Duration // a node's series end at this age
	ForgetAfter      time.Duration // a silent node is forgotten at this age

	Limits Limits

	Logger   log.Logger
	Registry prometheus.Registerer
}

// TLSFiles names the PEM files of the exchange's mutual TLS.
type TLSFiles struct{ CA, Cert, Key string }

// Limits bound what peers can make this node hold.
type Limits struct {
	Members    int // nodes held
	Series     int // series a node
	FrameBytes int // bytes a frame
	LabelBytes int // bytes a label value
}

// DefaultLimits holds for clusters of some thousand nodes.
func DefaultLimits() Limits {
	return Limits{Members: 10_000, Series: 20_000, FrameBytes: 1 << 20, LabelBytes: 1 << 10}
}
