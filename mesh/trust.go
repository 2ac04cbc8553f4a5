package mesh

import (
	"crypto"
	"crypto/x509"
	"fmt"
	"sync"
	"time"

	"github.com/grapevine-mesh/grapevine/mesh/frame"
)

// trust joins the identity with what the gossip knows: it answers whose words
// the state takes. Judgements are kept for a while, since every frame asks.
type trust struct {
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
	key  crypto.PublicKey
	when time.Time
}

const (
	// judgedFor is how long a judgement stands: an expired certificate is
	// noticed at most this much later.
	judgedFor = 10 * time.Minute
	// maxJudged bounds the judgements kept.
	maxJudged = 20_000
)

func newTrust(id *identity, members func(string) (Member, bool)) *trust {
	return &trust{identity: id, members: members, judged: map[judgement]verdict{}}
}

// Member reports whether name is known and has not said goodbye.
func (t *trust) Member(name string) bool {
	m, ok := t.members(name)
	return ok && m.State != MemberLeft
}

// Key returns the key of an identity if it may speak for name.
func (t *trust) Key(name string, encoded []byte) (crypto.PublicKey, error) {
	m, _ := t.members(name)
	j := judgement{name, frame.Sum(encoded), m.fingerprint}
	t.mu.Lock()
	v, ok := t.judged[j]
	t.mu.Unlock()
	if ok && time.Since(v.when) < judgedFor {
		return v.key, nil
	}
	chain, err := x509.ParseCertificates(encoded)
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
	t.judged[j] = verdict{chain[0].PublicKey, time.Now()}
	return chain[0].PublicKey, nil
}

// authenticate judges the certificates of a connection.
func (t *trust) authenticate(name string, chain []*x509.Certificate) error {
	m, ok := t.members(name)
	if !ok {
		return fmt.Errorf("%.100q is not in the gossip, or not yet", name)
	}
	return t.identity.judge(name, chain, m.fingerprint)
}
