package mesh

import (
	"crypto/ed25519"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/grapevine-mesh/grapevine/mesh/frame"
	"github.com/grapevine-mesh/grapevine/mesh/state"
)

// trust joins the identity with what the gossip knows: it answers whose words
// the state takes. Judgements are kept for a while, since every frame asks.
type trust struct {
	cluster string
	members func(name string) (Member, bool)

	identity atomic.Pointer[identity] // in force

	mu     sync.Mutex // guards judged
	judged map[judgement]verdict
}

type judgement struct {
	name      string
	encoded   frame.Hash
	announced string
	by        *identity // whose authority judged
}

type verdict struct {
	key   ed25519.PublicKey
	until time.Time
}

const (
	// judgedFor is how long a judgement stands, if the certificate does.
	judgedFor = 10 * time.Minute
	// maxJudged bounds the judgements kept.
	maxJudged = 20_000
)

func newTrust(cluster string, id *identity, members func(string) (Member, bool)) *trust {
	t := &trust{cluster: cluster, members: members, judged: map[judgement]verdict{}}
	t.identity.Store(id)
	return t
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
	own := t.identity.Load()
	j, now := judgement{name, frame.Sum(encoded), m.fingerprint, own}, time.Now()
	t.mu.Lock()
	v, ok := t.judged[j]
	t.mu.Unlock()
	if ok && now.Before(v.until) {
		return v.key, nil
	}
	e, chain, err := parseEndorsement(t.cluster, encoded)
	if err != nil {
		return nil, fmt.Errorf("identity of %s: %w", name, err)
	}
	until, err := own.judge(name, chain, m.fingerprint)
	if err != nil {
		return nil, err
	}
	v = verdict{slices.Clone(e.key), now.Add(judgedFor)} // not of the message it came in
	if !until.IsZero() && until.Before(v.until) {
		v.until = until
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.judged) >= maxJudged {
		clear(t.judged)
	}
	t.judged[j] = v
	return v.key, nil
}

// authenticate judges the certificates of a connection, and says until when
// they may act as name; zero is for good.
func (t *trust) authenticate(name string, chain []*x509.Certificate) (time.Time, error) {
	m, member := t.members(name)
	until, err := t.identity.Load().judge(name, chain, m.fingerprint)
	if !member { // after the certificate, which says more of a stranger
		if refusal := (*state.Refusal)(nil); errors.As(err, &refusal) {
			return until, err
		}
		return until, &state.Refusal{Reason: state.ReasonNotMember, Err: fmt.Errorf("%.100q is not in the gossip, or not yet", name)}
	}
	return until, err
}

// renew puts another identity into force. What the old one has judged is
// judged again.
func (t *trust) renew(id *identity) {
	t.identity.Store(id)
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.judged)
}
