// Package state is the replicated state of the mesh as one node holds it: for
// each node its newest frame, for each hash its schema or identity. It decides
// what is newer, what is refused and what is forgotten; it opens no connection
// and takes the time from outside.
package state

import (
	"crypto/ed25519"
	"fmt"
	"sync"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/mesh/frame"
)

// Trust tells whose words are taken.
type Trust interface {
	// Member reports whether name is known and has not said goodbye.
	Member(name string) bool
	// Key returns the key that frames of an identity are signed with, if the
	// identity may speak for name.
	Key(name string, identity []byte) (ed25519.PublicKey, error)
}

// Config is what a Store needs.
type Config struct {
	Self    string
	Cluster string
	Trust   Trust
	Limits  frame.Limits
	Nodes   int // how many nodes are held at most

	Identity []byte // of Self: what others verify its signatures with
	Key      ed25519.PrivateKey

	ForgetAfter time.Duration
	// Settle is how long after its arrival a frame is taken to be on its way
	// to everybody else, too: digests do not ask for it meanwhile.
	Settle time.Duration
	Now    func() time.Time // with a monotonic reading

	// Reader reads the frames of peers; nil: each is verified and decoded here.
	Reader Reader

	// Start is called when the node begins a new epoch, before the first
	// frame of it: the place to make the epoch outlive a crash.
	Start func(epoch uint64)
}

// Store holds the state. All methods are safe for concurrent use.
type Store struct {
	cfg  Config
	self frame.Hash // of Identity
	up   time.Time  // since when

	mu         sync.RWMutex // guards all below
	bare       bool         // hold the verdicts of other nodes only
	started    bool         // whether epoch is our own rather than an earlier life's
	epoch      uint64
	number     uint64
	nodes      map[string]*node
	roster     *roster // of nodes; nil when it is to be made anew
	tombstones map[string]tombstone
	blobs      map[frame.Hash]*blob
}

// node is the newest frame of one node.
type node struct {
	frame    *frame.Frame
	snapshot *health.Snapshot
	made     time.Time // when the frame was made, on our clock
	arrived  time.Time // when it came here
	origin   origin    // when the node started
	fresh    time.Time // until when its verdicts are known to hold: made, or later
	verdicts uint64    // sum of them
}

// blob is a schema or an identity, held as long as a frame refers to it.
type blob struct {
	raw    []byte
	schema *frame.Schema // nil for an identity
	refs   int

	verdicts *health.Schema // of the series that tell verdicts; nil until asked for

	// patch is the change that made schema of base, for those who hold that;
	// nil if it came whole.
	patch []byte
	base  frame.Hash

	made time.Time // when this node made it; zero for others' blobs
}

// tombstone remembers what a forgotten name had said last, so that older
// frames still on their way do not bring it back.
type tombstone struct {
	version frame.Version
	since   time.Time
}

// tombstoneAge is how long a forgotten name is remembered: far longer than a
// frame can wander between nodes that have not forgotten it yet.
const tombstoneAge = time.Hour

// New returns an empty store that will speak for cfg.Self in an epoch after
// lastEpoch.
func New(cfg Config, lastEpoch uint64) *Store {
	if cfg.Reader == nil {
		cfg.Reader = ownReader{cfg.Cluster, cfg.Limits}
	}
	return &Store{
		cfg: cfg, self: frame.IdentityHash(cfg.Identity), up: cfg.Now(), epoch: lastEpoch,
		nodes: map[string]*node{}, tombstones: map[string]tombstone{}, blobs: map[frame.Hash]*blob{},
	}
}

// Publish makes snapshot the newest word of this node. interval is the
// promise of when the next one comes.
func (s *Store) Publish(snapshot health.Snapshot, interval time.Duration) error {
	now := s.cfg.Now()
	schema, err := s.schemaFor(&snapshot, now)
	if err != nil {
		return err
	}
	content, err := frame.NewContent(snapshot, schema.schema, now, s.cfg.Limits)
	if err != nil {
		return fmt.Errorf("peers would refuse this node's %w", err)
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.started {
		s.started = true
		s.startEpoch(s.epoch + 1)
	}
	s.number++
	f := &frame.Frame{
		Node: s.cfg.Self, Version: frame.Version{Epoch: s.epoch, Number: s.number},
		Interval: interval, Uptime: now.Sub(s.up), Schema: schema.schema.Hash, Identity: s.self,
	}
	f.Sign(s.cfg.Cluster, content, s.cfg.Key)
	if len(f.Raw) > s.cfg.Limits.FrameBytes {
		return fmt.Errorf("a frame of %d bytes, the mesh carries %d", len(f.Raw), s.cfg.Limits.FrameBytes)
	}
	if held, ok := s.blobs[f.Schema]; ok {
		schema = held
	}
	snapshot.Schema = schema.schema.Series // share it, as receivers do
	delete(s.tombstones, s.cfg.Self)
	s.set(f, &snapshot, now, schema, &blob{raw: s.cfg.Identity})
	return nil
}

// startEpoch begins a new epoch, so that whatever an earlier life of this
// name has left in the mesh is older than what comes now.
func (s *Store) startEpoch(epoch uint64) {
	s.epoch, s.number = epoch, 0
	if s.cfg.Start != nil {
		s.cfg.Start(epoch)
	}
}

// set replaces a node's frame. schema and identity are used for hashes that
// are not held yet.
func (s *Store) set(f *frame.Frame, snapshot *health.Snapshot, made time.Time, schema, identity *blob) {
	n := s.nodes[f.Node]
	next := node{
		frame: f, snapshot: snapshot, made: made, arrived: s.cfg.Now(), fresh: made, verdicts: verdictsOf(f, snapshot.Results),
	}
	if n != nil && n.frame.Schema == f.Schema && n.frame.Identity == f.Identity && n.frame.Version.Epoch == f.Version.Epoch {
		*n = next // as nearly always
		return
	}
	s.hold(f.Schema, schema)
	s.hold(f.Identity, identity)
	if n == nil {
		n = &node{}
		s.nodes[f.Node], s.roster = n, nil
	} else {
		if n.frame.Version.Epoch != f.Version.Epoch {
			s.roster = nil
		}
		s.release(n.frame)
	}
	*n = next
}

func (s *Store) hold(h frame.Hash, b *blob) {
	if s.blobs[h] == nil {
		s.blobs[h] = b
	}
	s.blobs[h].refs++
}

func (s *Store) release(f *frame.Frame) {
	for _, h := range []frame.Hash{f.Schema, f.Identity} {
		if s.blobs[h].refs--; s.blobs[h].refs == 0 {
			delete(s.blobs, h)
		}
	}
}

// Forget drops what is known of name, at once: it has said goodbye.
func (s *Store) Forget(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(name, s.cfg.Now())
}

func (s *Store) forget(name string, now time.Time) {
	old := s.nodes[name]
	if old == nil || name == s.cfg.Self {
		return
	}
	s.release(old.frame)
	delete(s.nodes, name)
	s.roster = nil
	for forgotten := range s.tombstones {
		if len(s.tombstones) < s.cfg.Nodes {
			break
		}
		delete(s.tombstones, forgotten) // any: the risk is a ghost for ForgetAfter
	}
	s.tombstones[name] = tombstone{old.frame.Version, now}
}

// Sweep forgets nodes that have been silent for too long, and in the end
// forgets having forgotten them. Call it now and then.
func (s *Store) Sweep() {
	now := s.cfg.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, n := range s.nodes {
		if now.Sub(n.fresh) > s.cfg.ForgetAfter {
			s.forget(name, now)
		}
	}
	for name, t := range s.tombstones {
		if now.Sub(t.since) > tombstoneAge {
			delete(s.tombstones, name)
		}
	}
}

// Held is what the store holds of one node.
type Held struct {
	Name     string
	Snapshot *health.Snapshot
	Made     time.Time     // of the frame, on our clock
	Fresh    time.Time     // until when its verdicts are known to hold: Made, or later if only they are held
	Interval time.Duration // until the next frame, as promised
	Version  frame.Version
	Bytes    int  // of the frame
	Bare     bool // only the verdicts are held, and the series that tell them

	// Uptime is how long the node had been up when it made the frame. What
	// else it says of its time, such as when news broke, is put on our clock
	// by it: no clock of two hosts is compared.
	Uptime time.Duration
}

func (n *node) held(name string) Held {
	return Held{
		Name: name, Snapshot: n.snapshot, Made: n.made, Fresh: n.fresh, Interval: n.frame.Interval, Version: n.frame.Version,
		Bytes: len(n.frame.Raw), Bare: n.frame.Bare, Uptime: n.frame.Uptime,
	}
}

// Node returns what is held of a node and the identity that its frame is
// signed with, and whether anything is.
func (s *Store) Node(name string) (Held, []byte, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	n := s.nodes[name]
	if n == nil {
		return Held{}, nil, false
	}
	return n.held(name), s.blobs[n.frame.Identity].raw, true
}

// Spoken returns the version of this node's newest word and how long the node
// has been up.
func (s *Store) Spoken() (frame.Version, time.Duration) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return frame.Version{Epoch: s.epoch, Number: s.number}, s.cfg.Now().Sub(s.up)
}

// Nodes returns what is held of every node, sorted by name.
func (s *Store) Nodes() []Held {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.sorted()
	held := make([]Held, len(r.nodes))
	for i, n := range r.nodes {
		held[i] = n.held(r.names[i])
	}
	return held
}

// Epoch returns the epoch this node speaks in; 0 before its first frame.
func (s *Store) Epoch() uint64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.epoch
}
