package mesh

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Keyring is what the members answered about the keys of the gossip.
type Keyring struct {
	Members []string          `json:"members"` // who was asked: the living
	Keys    []HeldKey         `json:"keys"`    // the one most send with first
	Silent  []string          `json:"silent"`  // asked, and did not answer
	Trouble map[string]string `json:"trouble"` // by member: what went wrong there
	Away    []string          `json:"away"`    // not asked: the gossip has given them up
}

// HeldKey is a key, and who holds it.
type HeldKey struct {
	Fingerprint string   `json:"fingerprint"`
	Holders     []string `json:"holders"`
	Senders     []string `json:"senders"` // who send with it
}

func (k *Keyring) held(fingerprint string) HeldKey {
	for _, key := range k.Keys {
		if key.Fingerprint == fingerprint {
			return key
		}
	}
	return HeldKey{Fingerprint: fingerprint}
}

// Keys asks all members which keys they hold.
func (m *Mesh) Keys(ctx context.Context) (Keyring, error) {
	return m.askKeys(ctx, keyRequest{deed: keyList})
}

// AddKey makes all members accept key, too.
func (m *Mesh) AddKey(ctx context.Context, key []byte) (Keyring, error) {
	if err := checkKeys([][]byte{key}); err != nil {
		return Keyring{}, err
	}
	return m.askKeys(ctx, keyRequest{deed: keyAdd, key: key})
}

// UseKey makes all members send with a key. Unless force is set it does so
// only if all of them hold the key: who does not would be lost.
func (m *Mesh) UseKey(ctx context.Context, fingerprint string, force bool) (Keyring, error) {
	before, err := m.Keys(ctx)
	if err != nil {
		return before, err
	}
	without := slices.DeleteFunc(slices.Clone(before.Members), func(name string) bool {
		return slices.Contains(before.held(fingerprint).Holders, name)
	})
	switch {
	case len(without) == len(before.Members):
		return before, fmt.Errorf("nobody holds key %s: add it first", fingerprint)
	case len(without) > 0 && !force:
		return before, fmt.Errorf("%s would be lost, without an answer that says it holds key %s: add it again, or use it by force", listed(without), fingerprint)
	}
	return m.askKeys(ctx, keyRequest{deed: keyUse, fingerprint: fingerprint})
}

// RemoveKey makes all members accept a key no more. Unless force is set it
// does so only if none of them sends with it.
func (m *Mesh) RemoveKey(ctx context.Context, fingerprint string, force bool) (Keyring, error) {
	before, err := m.Keys(ctx)
	if err != nil {
		return before, err
	}
	switch key := before.held(fingerprint); {
	case len(key.Holders) == 0 && len(before.Silent) == 0:
		return before, fmt.Errorf("nobody holds key %s", fingerprint)
	case len(key.Senders) > 0 && !force:
		return before, fmt.Errorf("%s would be lost, sending with key %s: use another first, or remove it by force", listed(key.Senders), fingerprint)
	case len(before.Silent) > 0 && !force:
		return before, fmt.Errorf("%s might be lost, without an answer that says which key they send with: remove it by force", listed(before.Silent))
	}
	return m.askKeys(ctx, keyRequest{deed: keyDrop, fingerprint: fingerprint})
}

// listed names a few.
func listed(names []string) string {
	const most = 5
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d others", strings.Join(names[:most], ", "), len(names)-most)
}

// keyAttempts is how often those who are silent are asked again: an answer is
// one packet.
const keyAttempts = 3

// errNotListening is told before Listen.
var errNotListening = errors.New("the mesh is not running")

// askKeys asks all members and gathers what they answer.
func (m *Mesh) askKeys(ctx context.Context, r keyRequest) (Keyring, error) {
	if m.gossip == nil {
		return Keyring{}, errNotListening
	}
	if m.keyring.ring == nil {
		return Keyring{}, errNotEncrypted
	}
	m.asking.Lock()
	defer m.asking.Unlock()
	answers := map[string]keyAnswer{}
	var k Keyring
	for range keyAttempts {
		k = Keyring{Keys: []HeldKey{}, Silent: []string{}, Trouble: map[string]string{}, Away: []string{}}
		for name, member := range m.gossip.all() {
			switch member.State {
			case MemberAlive, MemberLeaving:
				k.Members = append(k.Members, name)
			case MemberFailed:
				k.Away = append(k.Away, name)
			}
		}
		slices.Sort(k.Members)
		slices.Sort(k.Away)
		if err := m.askOnce(ctx, r, k.Members, answers); err != nil {
			return k, err
		}
		if len(answers) >= len(k.Members) || ctx.Err() != nil {
			break
		}
	}
	k.count(answers)
	return k, nil
}

// askOnce sends a request, and adds the answers until all of expected have
// answered, or their time is up.
func (m *Mesh) askOnce(ctx context.Context, r keyRequest, expected []string, answers map[string]keyAnswer) error {
	if r.version = m.store.Version(m.cfg.Node); r.version.Epoch == 0 {
		return errors.New("this node has not spoken yet: try again in a moment")
	}
	m.asked++
	r.node, r.number = m.cfg.Node, m.asked
	responses, err := m.gossip.ask(keyQuery, r.signed(m.cfg.Cluster, m.trust.identity.Load().frameKey))
	if err != nil {
		return fmt.Errorf("asking the members: %w", err)
	}
	for {
		missing := slices.ContainsFunc(expected, func(name string) bool { _, ok := answers[name]; return !ok })
		if !missing {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil // what is there is told
		case response, ok := <-responses:
			if !ok {
				return nil
			}
			if answer, err := parseKeyAnswer(response.Payload); err == nil && slices.Contains(expected, response.From) {
				answers[response.From] = answer
			}
		}
	}
}

// count fills in who answered what.
func (k *Keyring) count(answers map[string]keyAnswer) {
	keys := map[string]*HeldKey{}
	for _, name := range k.Members {
		answer, ok := answers[name]
		if !ok {
			k.Silent = append(k.Silent, name)
			continue
		}
		if answer.trouble != "" {
			k.Trouble[name] = answer.trouble
		}
		for i, fingerprint := range answer.fingerprints {
			key := keys[fingerprint]
			if key == nil {
				key = &HeldKey{Fingerprint: fingerprint}
				keys[fingerprint] = key
			}
			key.Holders = append(key.Holders, name)
			if i == 0 {
				key.Senders = append(key.Senders, name)
			}
		}
	}
	for _, fingerprint := range slices.Sorted(maps.Keys(keys)) {
		k.Keys = append(k.Keys, *keys[fingerprint])
	}
	slices.SortStableFunc(k.Keys, func(a, b HeldKey) int { return len(b.Senders) - len(a.Senders) })
}

// GossipKeys are the keys in force, the one to send with first; none when the
// gossip is not encrypted. The slice is the same until they change.
func (m *Mesh) GossipKeys() [][]byte { return m.keyring.keys() }

// ReplaceGossipKeys puts the keys of a new --mesh.key-file into force.
func (m *Mesh) ReplaceGossipKeys(keys [][]byte) error {
	if err := checkKeys(keys); err != nil {
		return fmt.Errorf("--mesh.key-file: %w", err)
	}
	return m.keyring.replace(keys)
}
