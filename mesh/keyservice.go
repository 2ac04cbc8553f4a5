package mesh

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/serf/serf"

	"github.com/grapevine-mesh/grapevine/mesh/frame"
)

// keyService does what signed requests ask this node's keyring for.
type keyService struct {
	*keyring
	cluster, self string
	identity      func(name string) ([]byte, frame.Version) // as the newest frame of name has it
	trust         *trust

	queries chan *serf.Query
	last    map[string]keyStamp // by asker: its newest request; used by serve alone
}

// keyStamp orders the requests of one asker.
type keyStamp struct{ epoch, number uint64 }

const (
	keyQuery = "grapevine keys"

	// keyQueue is how many requests wait: people ask, one after the other.
	keyQueue = 16
	// maxAskers bounds last. Past it all are forgotten, and keyFresh alone
	// tells an old request from a new one.
	maxAskers = 1000
	// keyFresh is how many frames its asker may have made since a request: at
	// 1 to 5 seconds a frame, about one to five minutes. So no clock has to be
	// right for a replayed request to be old.
	keyFresh = 60
)

func newKeyService(cluster, self string, k *keyring, t *trust, identity func(string) ([]byte, frame.Version)) *keyService {
	return &keyService{
		keyring: k, cluster: cluster, self: self, identity: identity, trust: t,
		queries: make(chan *serf.Query, keyQueue), last: map[string]keyStamp{},
	}
}

// asked takes a query from serf. It never waits: what cannot be done now is
// asked again.
func (s *keyService) asked(q *serf.Query) {
	select {
	case s.queries <- q:
	default:
	}
}

// serve does what it is asked, until ctx ends. It may hang with the disk.
func (s *keyService) serve(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.guard()
		case q := <-s.queries:
			answer, err := s.do(q.Payload)
			if err != nil {
				s.refused(reasonKeyring, err)
				continue // who may not ask is told nothing
			}
			_ = q.Respond(answer.encode()) // late, at worst: it is asked again
		}
	}
}

// do checks a request and does it. The error is for who may not ask.
func (s *keyService) do(payload []byte) (keyAnswer, error) {
	r, err := parseKeyRequest(payload)
	if err != nil {
		return keyAnswer{}, fmt.Errorf("a request about the gossip's keys that cannot be read: %w", err)
	}
	if err := s.authorize(r); err != nil {
		return keyAnswer{}, fmt.Errorf("a request of %.100q about the gossip's keys: %w", r.node, err)
	}
	switch r.deed {
	case keyList:
		if s.ring == nil {
			err = errNotEncrypted
		}
	case keyAdd:
		err = s.add(r.key)
	case keyUse:
		err = s.use(r.fingerprint)
	case keyDrop:
		err = s.drop(r.fingerprint)
	default:
		err = fmt.Errorf("does not know request %d about keys: this node is of another version", r.deed)
	}
	answer := keyAnswer{fingerprints: s.fingerprints()}
	if err != nil {
		answer.trouble = err.Error()
	}
	return answer, nil
}

// authorize holds that the request was signed by the node that it names, and
// lately, and that it was not done before.
func (s *keyService) authorize(r *keyRequest) error {
	if r.node != s.self && !s.trust.Member(r.node) {
		return errors.New("it is not in the gossip")
	}
	encoded, newest := s.identity(r.node)
	if encoded == nil {
		return errors.New("it has not spoken yet")
	}
	key, err := s.trust.Key(r.node, encoded)
	if err != nil {
		return err
	}
	if err := r.verify(s.cluster, key); err != nil {
		return err
	}
	if newest.Epoch > r.version.Epoch || newest.Epoch == r.version.Epoch && newest.Number > r.version.Number+keyFresh {
		return errors.New("it is an old one")
	}
	stamp := keyStamp{r.version.Epoch, r.number}
	if last := s.last[r.node]; stamp.epoch < last.epoch || stamp.epoch == last.epoch && stamp.number <= last.number {
		return errors.New("it is an old one")
	}
	if len(s.last) >= maxAskers {
		clear(s.last)
	}
	s.last[r.node] = stamp
	return nil
}
