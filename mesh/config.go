package mesh

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-kit/log"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/grapevine-mesh/grapevine/mesh/frame"
	"github.com/grapevine-mesh/grapevine/mesh/reach"
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
	Join      []string // host[:port] of seeds; may be empty, and may all be down

	GossipKeys [][]byte          // of 16, 24 or 32 bytes; the first is sent with, all are accepted; none: gossip is not encrypted
	TLS        *TLSFiles         // nil: an identity of our own making, trusted by the gossip's word
	Tags       map[string]string // roles, zone

	StoragePath string // holds the epoch, the peers and the identity

	PublishInterval  time.Duration // the pace of Publish in a small cluster: see Mesh.Pace
	ExchangeInterval time.Duration // pace of anti-entropy
	StaleAfter       time.Duration // a node's series end at this age
	ForgetAfter      time.Duration // a silent node is forgotten at this age

	// ByteBudget is how many bytes a second the frames of all may cost each
	// node before only some, the aggregators, hold them; 0: any number.
	ByteBudget int

	Limits Limits

	Network Network          // nil: the host's own
	Now     func() time.Time // with a monotonic reading; nil: time.Now

	Logger   log.Logger
	Registry prometheus.Registerer
}

// Limits bound what peers can make this node hold.
type Limits struct {
	Members    int // nodes held
	Series     int // series and buckets a node
	FrameBytes int // bytes a frame, and bytes a schema
	LabelBytes int // bytes of any label value, help text or reason
}

// DefaultLimits holds for clusters of some thousand nodes.
func DefaultLimits() Limits {
	return Limits{Members: 10_000, Series: 20_000, FrameBytes: 1 << 20, LabelBytes: 1 << 10}
}

func (l Limits) frame() frame.Limits {
	return frame.Limits{
		FrameBytes: l.FrameBytes, SchemaBytes: l.FrameBytes, Series: l.Series, Results: l.Series, TextBytes: l.LabelBytes,
	}
}

// validNode holds names to what can be shown anywhere.
func validNode(name string) bool {
	return name != "" && len(name) <= 128 && !strings.Contains(name, " ") && printable(name) == name
}

// validate names the first field that no mesh can work with.
func (c *Config) validate() error {
	switch {
	case !validNode(c.Node):
		return fmt.Errorf("--node.name: %q is not a name of 1 to 128 characters without blanks", c.Node)
	case c.Cluster == "" || len(c.Cluster) > 64:
		return fmt.Errorf("--mesh.cluster: %q is not a name of 1 to 64 characters", c.Cluster)
	case c.StaleAfter < reach.Overdue(c.PublishInterval):
		return fmt.Errorf("--mesh.stale-after: %v is less than %v, in which a node may miss a frame or two", c.StaleAfter, reach.Overdue(c.PublishInterval))
	case c.ForgetAfter < c.StaleAfter:
		return fmt.Errorf("--mesh.forget-after: %v is less than --mesh.stale-after, %v", c.ForgetAfter, c.StaleAfter)
	case c.ByteBudget < 0:
		return fmt.Errorf("--mesh.byte-budget: %d is less than nothing", c.ByteBudget)
	case c.PublishInterval <= 0 || c.ExchangeInterval <= 0:
		return errors.New("the mesh needs a publish and an exchange interval above 0")
	}
	if err := checkKeys(c.GossipKeys); err != nil {
		return fmt.Errorf("--mesh.key-file: %w", err)
	}
	return nil
}
