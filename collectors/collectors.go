// Package collectors holds the checks, one file each: it asks the components
// of this node how they are and says what it saw in a Report. It is the start
// of the line along which data flows; internal/schedule runs it.
package collectors

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/go-kit/log"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/internal/echo"
)

// All lists every check there is. A new check is a file and a line here.
func All() []Spec {
	return []Spec{
		apiserverSpec(),
		certificatesSpec(),
		clockSpec(),
		controllerManagerSpec(),
		criSpec(),
		customSpec(),
		diskSpec(),
		dnsSpec(),
		dockerSpec(),
		etcdSpec(),
		hostNetworkSpec(),
		kubeletSpec(),
		meshSpec(),
		mtuSpec(),
		overlaySpec(),
		podsSpec(),
		schedulerSpec(),
		serviceSpec(),
		systemSpec(),
		textfileSpec(),
	}
}

// Collector looks at one subsystem of this node.
type Collector interface {
	// Name is the check's name, as in --collector.NAME.
	Name() string
	// Collect looks once and writes what it saw to r, as it sees it, so that
	// a run cut short keeps its partial results. It returns an error only
	// when the check as a whole could not run; a subject that is in a bad
	// way is a verdict in r. It must return soon after ctx ends.
	Collect(ctx context.Context, r *Report) error
}

// Parted is a Collector of several parts that each have their own Timing. The
// schedule runs the parts, each as if it were a check, and never the whole.
type Parted interface {
	Collector
	Parts() []Part
}

// Part is one of a Parted. Its Collector has the name of the whole.
type Part struct {
	Name      string // unlike that of all other parts
	Collector Collector
	Timing    Timing
}

// Spec declares a check: what is known of it before it runs.
type Spec struct {
	Name    string   // lower case with dashes
	Summary string   // one line for --help and docs/checks.md
	Why     string   // one or two sentences: what breaks when this is bad
	Remedy  string   // two or three sentences: how to confirm a bad verdict, and what to do
	Subject string   // what the label subject holds
	Metrics []Metric // all that Collect and its histograms export

	// Workload tells that a drain takes away what the check looks at: its
	// bad verdicts do not count while the node is cordoned.
	Workload bool

	// Settings returns the check's block of the configuration file, filled
	// with its defaults: a pointer to a struct that embeds Timing.
	Settings func() Settings
}

// Settings is one check's block of the configuration file.
type Settings interface {
	// Schedule tells how often and how patiently to run.
	Schedule() Timing
	// Validate names the first impossible value by its key.
	Validate() error
	// New builds the collector. It looks at env to detect what the settings
	// leave open, and returns an error that wraps ErrAbsent when the subject
	// is not on this node. It starts nothing.
	New(env Env) (Collector, error)
}

// ErrAbsent is wrapped by Settings.New when there is nothing to check here.
var ErrAbsent = errors.New("not on this node")

// Env is what a collector may use of the node and the program around it.
type Env struct {
	Node        string // this node's name
	StoragePath string // the agent's own directory; empty when it has none
	Paths       Paths
	Logger      log.Logger
	Registry    prometheus.Registerer // for histograms and counters that outlive a run

	// Peers returns the other nodes as the mesh knows them now, sorted by
	// name, those included that do not answer. Nil without a mesh, as in
	// grapevine check.
	Peers func() []Peer
	// Mesh returns what the mesh says of itself now: at least one result,
	// without check and times. Nil as Peers.
	Mesh func() []health.Result
	// Verdicts returns what all nodes that are known say now, this one among
	// them. Nil as Peers.
	Verdicts func() []NodeVerdicts
	// EchoKeys are the secrets that echo packets are signed with.
	EchoKeys echo.Keys
}

// Peer is another node, for the checks that probe the way to it.
type Peer struct {
	Name    string
	Host    []netip.Addr // of the node itself; IPv4 before IPv6
	Overlay []netip.Addr // of the node in the pod network; empty: it told none
	Port    uint16       // of its echo responder, TCP and UDP; 0: it has none
	// Quiet says why the node is expected to be away: "cordoned", "shutting
	// down"; empty: it is not.
	Quiet string
	Since time.Time // when this node first heard of it
}

// NodeVerdicts are what one node says, as this one holds it.
type NodeVerdicts struct {
	Node string
	Up   bool // its words arrive
	// Results may be empty: nothing has arrived, or it is too old.
	Results []health.Result
}

// Timing is how a check is run. It is embedded in every Settings.
type Timing struct {
	// Interval is the time from one start to the next.
	Interval time.Duration `yaml:"interval"`
	// Timeout ends a run; at most 80 % of Interval.
	Timeout time.Duration `yaml:"timeout"`
	// FailureThreshold is how many runs in a row must see a worse status
	// before it is shown, SuccessThreshold how many a better one.
	FailureThreshold int `yaml:"failure_threshold"`
	SuccessThreshold int `yaml:"success_threshold"`
}

// Schedule makes every struct that embeds Timing tell it.
func (t Timing) Schedule() Timing { return t }

// Validate names the first value that no schedule can keep.
func (t Timing) Validate() error {
	switch {
	case t.Interval < time.Second || t.Interval > 24*time.Hour:
		return fmt.Errorf("interval: %v is not between 1s and 24h", t.Interval)
	case t.Timeout <= 0 || t.Timeout > t.Interval*8/10:
		return fmt.Errorf("timeout: %v is not above 0 and at most 80%% of the interval %v", t.Timeout, t.Interval)
	case t.FailureThreshold < 1 || t.FailureThreshold > 100:
		return fmt.Errorf("failure_threshold: %d is not between 1 and 100", t.FailureThreshold)
	case t.SuccessThreshold < 1 || t.SuccessThreshold > 100:
		return fmt.Errorf("success_threshold: %d is not between 1 and 100", t.SuccessThreshold)
	}
	return nil
}
