package mesh

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func gossipKey(n byte) []byte { return bytes.Repeat([]byte{n}, 32) }

// keyed is a mesh of nodes with certificates and gossip keys.
func keyed(t *testing.T, keys [][]byte, names ...string) (*authority, []*peer) {
	t.Helper()
	ca := newAuthority(t)
	var peers []*peer
	for _, name := range names {
		cfg := testConfig(t, name)
		cfg.GossipKeys, cfg.TLS = keys, ca.issue(t, name)
		if len(peers) > 0 {
			cfg.Join = []string{peers[0].GossipAddr()}
		}
		peers = append(peers, start(t, cfg))
	}
	for _, p := range peers {
		p.sees(names...)
	}
	return ca, peers
}

// watchLosses notes whoever is seen failed or silent until stop is called.
func watchLosses(peers []*peer) (stop func() []string) {
	ctx, cancel := context.WithCancel(context.Background())
	var lost []string
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ; ctx.Err() == nil; time.Sleep(20 * time.Millisecond) {
			for _, p := range peers {
				for _, n := range p.View().Nodes {
					if n.Member.State != MemberAlive {
						lost = append(lost, fmt.Sprintf("%s sees %s %s", p.cfg.Node, n.Name, n.Member.State))
					}
					if !n.Up {
						lost = append(lost, fmt.Sprintf("%s has not heard %s for %v", p.cfg.Node, n.Name, n.Age))
					}
				}
			}
		}
	}()
	return sync.OnceValue(func() []string { cancel(); <-done; return slices.Compact(lost) })
}

// all of the members answered, and hold these keys, the first of which they send with.
func wantKeys(t *testing.T, k Keyring, err error, members int, keys ...[]byte) {
	t.Helper()
	if err != nil || len(k.Members) != members || len(k.Silent)+len(k.Trouble)+len(k.Away) > 0 || len(k.Keys) != len(keys) {
		t.Fatalf("got %+v, %v; want %d keys at each of %d members", k, err, len(keys), members)
	}
	for i, key := range keys {
		senders := 0
		if i == 0 {
			senders = members
		}
		if held := k.held(Fingerprint(key)); len(held.Holders) != members || len(held.Senders) != senders {
			t.Fatalf("key %d is held by %v and sent with by %v, want %d and %d", i, held.Holders, held.Senders, members, senders)
		}
	}
}

// The gossip's key is changed everywhere while all go on, and nobody is lost.
func TestKeyRotationLosesNobody(t *testing.T) {
	t.Parallel()
	first, second := gossipKey(1), gossipKey(2)
	ca, peers := keyed(t, [][]byte{first}, "a", "b", "c", "d", "e")
	a, b, c := peers[0], peers[1], peers[2]
	stop := watchLosses(peers)
	defer stop()
	versions := func() map[string]uint64 {
		v := map[string]uint64{}
		for _, n := range peers[4].View().Nodes {
			v[n.Name] = n.Version
		}
		return v
	}

	// Steps that would lose somebody are not taken.
	if _, err := b.UseKey(t.Context(), Fingerprint(second), false); err == nil || !strings.Contains(err.Error(), "nobody holds") {
		t.Errorf("using a key that nobody holds: %v", err)
	}
	if _, err := b.RemoveKey(t.Context(), Fingerprint(first), false); err == nil || !strings.Contains(err.Error(), "use another first") {
		t.Errorf("removing the key that is sent with: %v", err)
	}
	began := versions()
	k, err := a.AddKey(t.Context(), second)
	wantKeys(t, k, err, 5, first, second)
	time.Sleep(2 * time.Second)
	k, err = b.UseKey(t.Context(), Fingerprint(second), false) // from wherever one is
	wantKeys(t, k, err, 5, second, first)
	time.Sleep(2 * time.Second)
	k, err = c.RemoveKey(t.Context(), Fingerprint(first), false)
	wantKeys(t, k, err, 5, second)
	time.Sleep(4 * time.Second) // several rounds of probes with the new key alone

	if lost := stop(); len(lost) > 0 {
		t.Errorf("during the rotation:\n%s", strings.Join(lost, "\n"))
	}
	for name, version := range versions() {
		if version < began[name]+5 {
			t.Errorf("the words of %s did not go on arriving: from %d to %d", name, began[name], version)
		}
	}

	// A restart knows the new key, though the key file still holds the old one.
	e := peers[4]
	e.stop()
	cfg := e.cfg
	cfg.Registry = prometheus.NewRegistry()
	again := start(t, cfg)
	again.sees("a", "b", "c", "d", "e")
	stored := filepath.Join(cfg.StoragePath, keyringFile)
	if info, err := os.Stat(stored); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the stored keyring: %v, %v", info, err)
	}

	// Who was away and comes with the old key stays out; with the new one
	// first in its file it is in.
	late := testConfig(t, "late")
	late.TLS, late.Join = ca.issue(t, "late"), []string{a.GossipAddr()}
	late.GossipKeys = [][]byte{first}
	out := start(t, late)
	a.refuses(reasonGossipKey)
	out.sees("late")
	out.stop()
	late.GossipKeys, late.Registry = [][]byte{second, first}, prometheus.NewRegistry()
	in := start(t, late)
	in.sees("a", "b", "c", "d", "e", "late")
	for _, p := range peers {
		for _, key := range [][]byte{first, second} {
			if strings.Contains(p.logs.String(), base64.StdEncoding.EncodeToString(key)) {
				t.Errorf("the log of %s shows a key", p.cfg.Node)
			}
		}
	}
}
