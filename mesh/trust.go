package mesh

import (
	"crypto/ed25519"
	"crypto/x509"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/grapevine-mesh/grapevine/mesh/frame"
)

// trust joins the identity with what the gossip knows: it answers whose words
// the state takes. Judgements are kept for a while, since every frame asks.
type trust struct {
	cluster  string
	identity *identity
	members  func(name string) (Member, bool)

	mu     sync.Mutex // guards judged
	judged map[judgement]verdict
}

type judgement struct {
	name      string
	encoded   frame.Hash
	announced string
}

type verdict struct {
	key  ed25519.PublicKey
	when time.Time
}

const (
	// judgedFor is how long a judgement stands: an expired certificate is
	// noticed at most this much later.
	judgedFor = 10 * time.Minute
	// maxJudged bounds the judgements kept.
	maxJudged = 20_000
)

func newTrust(cluster string, id *identity, members func(string) (Member, bool)) *trust {
	return &trust{cluster: cluster, identity: id, members: members, judged: map[judgement]verdict{}}
}

// Member reports whether name is known and has not said goodbye.
func (t *trust) Member(name string) bool {
	m, ok := t.members(name)
	return ok && m.State != MemberLeft
}

// Key returns the key that frames of an identity are signed with, if the
// identity may speak for name.
func (t *trust) Key(name string, encoded []byte) (ed25519.PublicKey, error) {
	m, _ := t.members(name)
	j := judgement{name, frame.Sum(encoded), m.fingerprint}
	t.mu.Lock()
	v, ok := t.judged[j]
	t.mu.Unlock()
	if ok && time.Since(v.when) < judgedFor {
		return v.key, nil
	}
	e, chain, err := parseEndorsement(t.cluster, encoded)
	if err != nil {
		return nil, fmt.Errorf("identity of %s: %w", name, err)
	}
	if err := t.identity.judge(name, chain, m.fingerprint); err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.judged) >= maxJudged {
		clear(t.judged)
	}
	key := slices.Clone(e.key) // not of the message it came in
	t.judged[j] = verdict{key, time.Now()}
	return key, nil
}

// authenticate judges the certificates of a connection.
func (t *trust) authenticate(name string, chain []*x509.Certificate) error {
	m, ok := t.members(name)
	if !ok {
		return fmt.Errorf("%.100q is not in the gossip, or not yet", name)
	}
	return t.identity.judge(name, chain, m.fingerprint)
}
