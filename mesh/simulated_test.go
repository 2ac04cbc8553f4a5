package mesh

import (
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/go-kit/log"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/mesh/meshtest"
)

// simulated is a whole cluster in one process, usually in virtual time. It
// knows what each node has really said and when, so that what others make of
// it can be held against the truth.
type simulated struct {
	t       *testing.T
	network *meshtest.Network
	random  *rand.Rand
	shape   Config     // of every agent; name, addresses and disk are filled in
	ca      *authority // nil: identities of the agents' own making
	seeds   []string

	addresses  int             // given out so far
	conflicted map[string]bool // names that two agents have claimed at a time

	mu     sync.Mutex // guards all below
	agents []*agent   // every one that was ever started, oldest first
	paused bool       // nobody publishes
	words  []word
	worst  time.Duration // by how much any view took a word for younger than it was
}

// word is what a node once said. Its place in the list of words is a value of
// the snapshot, and so comes out again in every view.
type word struct {
	node     string
	when     time.Time
	stranger bool
}

// agent is one life of one node.
type agent struct {
	*Mesh
	s        *simulated
	name     string
	host     *meshtest.Host
	addr     netip.Addr
	registry *prometheus.Registry
	log      *lastLines
	cancel   context.CancelFunc
	ended    chan error

	running  atomic.Bool // neither ended nor about to
	unwanted atomic.Bool // of another cluster, or a second one of its name
	frozen   atomic.Bool
	jump     atomic.Int64 // by how many seconds its wall clock is wrong
	seen     map[string]seen
}

// seen is the newest that a life of a node has shown of another.
type seen struct {
	epoch, number uint64
	when          time.Time // when that was really said
}

func newSimulated(t *testing.T, seed uint64) *simulated {
	return &simulated{
		t: t, network: meshtest.New(seed), random: rand.New(rand.NewPCG(seed, 1)),
		conflicted: map[string]bool{},
		shape: Config{
			Cluster: "test", Version: "1.0.0",
			PublishInterval: 15 * time.Second, ExchangeInterval: 3 * time.Second,
			StaleAfter: 2 * time.Minute, ForgetAfter: 24 * time.Hour, Limits: DefaultLimits(),
		},
	}
}

// address gives out one that nobody has had.
func (s *simulated) address() netip.Addr {
	s.addresses++
	return netip.AddrFrom4([4]byte{10, 0, byte(s.addresses >> 8), byte(s.addresses)}) //nolint:gosec // some hundred
}

const gossipPort = 7996

// seedHere makes an address a seed of every agent started from now on.
func (s *simulated) seedHere(addr netip.Addr) {
	s.seeds = append(s.seeds, netip.AddrPortFrom(addr, gossipPort).String())
}

// start runs a new life of a node on the disk in dir.
func (s *simulated) start(name string, addr netip.Addr, dir string, change ...func(*Config)) *agent {
	s.t.Helper()
	a := &agent{
		s: s, name: name, addr: addr, host: s.network.Host(addr), registry: prometheus.NewRegistry(),
		log: &lastLines{}, seen: map[string]seen{}, ended: make(chan error, 1),
	}
	cfg := s.shape
	cfg.Node, cfg.StoragePath, cfg.Join = name, dir, s.seeds
	cfg.Bind, cfg.Exchange = netip.AddrPortFrom(addr, gossipPort).String(), netip.AddrPortFrom(addr, 7997).String()
	cfg.Registry, cfg.Logger, cfg.Network, cfg.Now = a.registry, a.log, a.host, a.now
	if s.ca != nil {
		cfg.TLS = s.ca.issue(s.t, name)
	}
	for _, c := range change {
		c(&cfg)
	}
	var err error
	if a.Mesh, err = New(cfg); err != nil {
		s.t.Fatalf("%s: %v", name, err)
	}
	if err := a.Listen(""); err != nil {
		s.t.Fatalf("%s: %v", name, err)
	}
	a.unwanted.Store(cfg.Cluster != s.shape.Cluster)
	a.running.Store(true)
	s.mu.Lock()
	s.agents = append(s.agents, a)
	s.mu.Unlock()
	var ctx context.Context
	ctx, a.cancel = context.WithCancel(context.Background())
	go func() { a.ended <- a.Run(ctx) }()
	go a.talk(ctx)
	return a
}

// add starts a node that there was not before.
func (s *simulated) add(name string, change ...func(*Config)) *agent {
	s.t.Helper()
	return s.start(name, s.address(), s.t.TempDir(), change...)
}

// talk publishes at the pace that was promised.
func (a *agent) talk(ctx context.Context) {
	tick := time.NewTicker(a.cfg.PublishInterval)
	defer tick.Stop()
	for {
		if !a.frozen.Load() && !a.s.isPaused() {
			a.publish()
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// observedBefore is how old a verdict is when it is published.
const observedBefore = 3 * time.Second

func (a *agent) publish() {
	id := a.s.say(word{node: a.name, when: time.Now(), stranger: a.cfg.Cluster != a.s.shape.Cluster})
	now := a.now()
	families := []health.Family{{Name: "word", Type: health.Gauge, Series: make([]health.Series, 1)}}
	values := []float64{float64(id)}
	if a.cfg.Version >= "2" { // a newer program says more
		families = append([]health.Family{{Name: "more", Type: health.Gauge, Series: make([]health.Series, 1)}}, families...)
		values = append([]float64{2}, values...)
	}
	if err := a.Publish(health.Snapshot{
		Node: a.name, Values: values, Schema: &health.Schema{Version: a.cfg.Version, Families: families},
		Results: []health.Result{{
			Check: "etcd", Subject: "e", Status: health.Status(id % 4), Reason: fmt.Sprint("word ", id),
			Observed: now.Add(-observedBefore), Since: now.Add(-observedBefore),
		}},
	}); err != nil {
		a.s.t.Errorf("%s: %v", a.name, err)
	}
}

// say writes a word down and returns its number.
func (s *simulated) say(w word) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.words = append(s.words, w)
	return len(s.words) - 1
}

func (s *simulated) isPaused() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.paused
}

func (s *simulated) pause(p bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.paused = p
}

// now is the clock of the agent's host: its wall time may be wrong, and jump,
// its monotonic time goes on evenly.
func (a *agent) now() time.Time {
	t := time.Now().Round(0)
	mono := t.Sub(time.Unix(0, 0))
	wall := t.Unix() + a.jump.Load() - time.Date(1885, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
	// Virtual time has no monotonic reading, and no function of package time
	// makes one that disagrees with the wall clock: it is written by hand.
	fields := (*struct {
		wall uint64 // 1 if there is a monotonic reading, 33 bits of seconds since 1885, 30 of nanoseconds
		ext  int64  // the monotonic reading, in nanoseconds
	})(unsafe.Pointer(&t)) //nolint:gosec // as said
	fields.wall = 1<<63 | uint64(wall)<<30 | uint64(t.Nanosecond()) //nolint:gosec // positive
	fields.ext = int64(mono)
	return t
}

// crash ends the program without a goodbye and returns what its disk holds.
func (a *agent) crash() (disk string) { return a.end(a.host.Crash) }

// powerOff ends the whole machine.
func (a *agent) powerOff() (disk string) { return a.end(a.host.PowerOff) }

func (a *agent) end(how func()) string {
	a.running.Store(false)
	how()
	disk := a.s.t.TempDir()
	if err := os.CopyFS(disk, notTorn{os.DirFS(a.cfg.StoragePath)}); err != nil {
		a.s.t.Fatal(err)
	}
	a.cancel()
	return disk
}

// notTorn hides the files that are being written.
type notTorn struct{ fs.FS }

// ReadDir implements fs.ReadDirFS.
func (d notTorn) ReadDir(name string) ([]fs.DirEntry, error) {
	entries, err := fs.ReadDir(d.FS, name)
	return slices.DeleteFunc(entries, func(e fs.DirEntry) bool { return strings.HasPrefix(e.Name(), ".") }), err
}

// leave ends the program cleanly and waits until it has.
func (a *agent) leave() {
	a.running.Store(false)
	a.cancel()
	if err := <-a.ended; err != nil {
		a.s.t.Errorf("%s: %v", a.name, err)
	}
}

// stop ends everything that still runs, and lets what serf leaves behind run out.
func (s *simulated) stop() {
	for _, a := range s.agents {
		a.cancel()
	}
	time.Sleep(5 * time.Minute)
}

// running lists the agents that run and belong to the cluster.
func (s *simulated) running() []*agent {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(s.agents), func(a *agent) bool { return !a.running.Load() || a.unwanted.Load() })
}

// lastLines is a log of which the end is kept.
type lastLines struct {
	mu    sync.Mutex // guards lines
	lines []string
}

// Log implements log.Logger.
func (l *lastLines) Log(keyvals ...any) error {
	var b strings.Builder
	err := log.NewLogfmtLogger(&b).Log(append([]any{"t", time.Now().Format("04:05.000")}, keyvals...)...)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lines = append(l.lines, b.String()); len(l.lines) > 4000 {
		l.lines = slices.Clone(l.lines[2000:])
	}
	return err
}

func (l *lastLines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, "")
}

// freeze stops the program, or lets it go on.
func (a *agent) freeze(f bool) {
	a.frozen.Store(f)
	if f {
		a.host.Freeze()
	} else {
		a.host.Thaw()
	}
}
