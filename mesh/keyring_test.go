package mesh

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-kit/log"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/grapevine-mesh/grapevine/mesh/frame"
)

func gossipKey(n byte) []byte { return bytes.Repeat([]byte{n}, 32) }

// keyed is a mesh of nodes with certificates and gossip keys.
func keyed(t *bubble, keys [][]byte, names ...string) (*authority, []*peer) {
	t.Helper()
	ca := newAuthority(t)
	var peers []*peer
	for _, name := range names {
		cfg := t.config(name)
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

// watchLosses notes whoever is seen failed or silent until stop is called, or
// the test ends.
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
	stop = sync.OnceValue(func() []string { cancel(); <-done; return slices.Compact(lost) })
	peers[0].t.Cleanup(func() { stop() })
	return stop
}

// all of the members answered, and hold these keys, the first of which they send with.
func wantKeys(t testing.TB, k Keyring, err error, members int, keys ...[]byte) {
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
	virtually(t, func(t *bubble) {
		first, second := gossipKey(1), gossipKey(2)
		ca, peers := keyed(t, [][]byte{first}, "a", "b", "c", "d", "e")
		a, b, c := peers[0], peers[1], peers[2]
		stop := watchLosses(peers)
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
		late := t.config("late")
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
	})
}

// A key of the gossip alone changes no keys: that may be the one that leaked.
func TestKeysChangeByCertificateOnly(t *testing.T) {
	virtually(t, func(t *bubble) {
		key, rogue := gossipKey(1), gossipKey(6)
		_, peers := keyed(t, [][]byte{key}, "a", "b")
		a, b := peers[0], peers[1]
		refusals := func() float64 { return b.count("grapevine_mesh_refused_total", reasonKeyring) }
		intact := func() (string, bool) {
			b.keyring.mu.Lock()
			defer b.keyring.mu.Unlock()
			return fmt.Sprintf("%d keys", len(b.keyring.ring.GetKeys())), b.keyring.intact() && len(b.GossipKeys()) == 1 && refusals() > 0
		}

		// Serf answers requests of its own, which take the key of the gossip only.
		serfs := a.gossip.serf.KeyManager()
		for i := range byte(20) {
			_, _ = serfs.InstallKey(base64.StdEncoding.EncodeToString(gossipKey(100 + i)))
		}
		_, _ = serfs.UseKey(base64.StdEncoding.EncodeToString(gossipKey(101)))
		b.eventually("has undone what serf was asked for", intact)

		// A request of ours needs the signature of the node that it names, and counts once.
		var sent [][]byte
		ask := func(r keyRequest, signer *peer) {
			t.Helper()
			before := refusals()
			r.version = a.store.Version("a")
			payload := r.signed("test", signer.frameKey())
			for _, again := range append(sent, payload) {
				if _, err := a.gossip.ask(keyQuery, again); err != nil {
					t.Fatal(err)
				}
			}
			b.eventually("refuses the request", func() (string, bool) { return "", refusals() > before })
		}
		ask(keyRequest{deed: keyAdd, key: rogue, node: "a", number: 1 << 20}, b)
		k, err := a.AddKey(t.Context(), rogue)
		wantKeys(t, k, err, 2, key, rogue)
		version := a.store.Version("a")
		old := keyRequest{deed: keyAdd, key: rogue, node: "a", version: version, number: a.asked}
		sent = [][]byte{old.signed("test", a.frameKey())}
		k, err = a.RemoveKey(t.Context(), Fingerprint(rogue), false)
		wantKeys(t, k, err, 2, key)
		ask(keyRequest{deed: keyAdd, key: rogue, node: "a", number: 1 << 20}, b)
		if _, ok := intact(); !ok {
			t.Error("a forged or repeated request was done")
		}
		if n := strings.Count(b.logs.String(), "reason="+reasonKeyring); n != 1 {
			t.Errorf("it was logged %d times within a minute", n)
		}
	})
}

// A node that has just started does not know what it did before: it goes by
// how far the asker has come since.
func TestOldKeyRequests(t *testing.T) {
	t.Parallel()
	_, frameKey, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	id := &identity{}
	tr := newTrust("test", id, func(string) (Member, bool) { return Member{State: MemberAlive}, true })
	tr.judged[judgement{"a", frame.Sum([]byte("a's")), "", id}] = verdict{key: frameKey.Public().(ed25519.PublicKey), until: time.Now().Add(time.Hour)}
	newest := frame.Version{Epoch: 3, Number: 100}
	for name, c := range map[string]struct {
		version frame.Version
		number  uint64
		want    string
	}{
		"now":             {frame.Version{Epoch: 3, Number: 100}, 1, ""},
		"ahead":           {frame.Version{Epoch: 4, Number: 1}, 1, ""},
		"a moment ago":    {frame.Version{Epoch: 3, Number: 50}, 2, ""},
		"minutes ago":     {frame.Version{Epoch: 3, Number: 30}, 3, "old"},
		"an earlier life": {frame.Version{Epoch: 2, Number: 1000}, 4, "old"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newKeyService("test", "b", nil, tr, func(string) ([]byte, frame.Version) { return []byte("a's"), newest })
			r := keyRequest{deed: keyList, node: "a", version: c.version, number: c.number}
			read, err := parseKeyRequest(r.signed("test", frameKey))
			if err != nil {
				t.Fatal(err)
			}
			err = s.authorize(read)
			if got := fmt.Sprint(err); err == nil != (c.want == "") || !strings.Contains(got, c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if err == nil && s.authorize(read) == nil {
				t.Error("it passes twice")
			}
			if other, _ := parseKeyRequest(r.signed("prod", frameKey)); s.authorize(other) == nil {
				t.Error("a request of another cluster passes")
			}
		})
	}
}

func TestStoredKeyring(t *testing.T) {
	t.Parallel()
	one, two := base64.StdEncoding.EncodeToString(gossipKey(1)), base64.StdEncoding.EncodeToString(gossipKey(2))
	given := [][]byte{gossipKey(1)}
	good := fmt.Sprintf(`{"format":1,"cluster":"test","given":%q,"keys":[%q,%q]}`, fingerprintOfKeys(given), two, one)
	for name, c := range map[string]struct {
		content string
		want    [][]byte
		aside   bool
	}{
		"rotated":        {good, [][]byte{gossipKey(2), gossipKey(1)}, false},
		"torn":           {good[:len(good)-9], given, true},
		"not JSON":       {"\x00", given, true},
		"no keys":        {strings.Replace(good, fmt.Sprintf("%q,%q", two, one), "", 1), given, true},
		"short key":      {strings.Replace(good, two, "AAAA", 1), given, true},
		"key twice":      {strings.Replace(good, two, one, 1), given, true},
		"newer":          {strings.Replace(good, `"format":1`, `"format":2`, 1), given, true},
		"other cluster":  {strings.Replace(good, `"test"`, `"prod"`, 1), given, false},
		"other key file": {strings.Replace(good, fingerprintOfKeys(given), "0", 1), given, false},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig(t, "a")
			cfg.GossipKeys = given
			logs := &logBuffer{}
			cfg.Logger = log.NewLogfmtLogger(logs)
			file := filepath.Join(cfg.StoragePath, keyringFile)
			if err := os.WriteFile(file, []byte(c.content), 0o600); err != nil {
				t.Fatal(err)
			}
			m, err := New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			if got := m.GossipKeys(); !slices.EqualFunc(got, c.want, bytes.Equal) {
				t.Errorf("its keys are %x", got)
			}
			aside, _ := filepath.Glob(file + ".corrupt-*")
			if len(aside) == 1 != c.aside {
				t.Errorf("set aside: %v", aside)
			}
			if _, err := os.Stat(file); err == nil != (name == "rotated") {
				t.Errorf("the file that does not count is still there: %v", err)
			}
			if strings.Contains(logs.String(), one) || strings.Contains(logs.String(), two) {
				t.Errorf("the log shows a key: %s", logs)
			}
		})
	}
}

// A changed key file counts at once on a reload, and what was rotated before
// does not come back.
func TestReplaceGossipKeys(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t, "a")
	cfg.GossipKeys = [][]byte{gossipKey(1)}
	m, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.keyring.add(gossipKey(2)); err != nil {
		t.Fatal(err)
	}
	if err := m.ReplaceGossipKeys(cfg.GossipKeys); err != nil || len(m.GossipKeys()) != 2 {
		t.Errorf("the same key file: %v, %d keys", err, len(m.GossipKeys()))
	}
	if err := m.ReplaceGossipKeys([][]byte{gossipKey(3), gossipKey(1)}); err != nil || !m.keyring.intact() || Fingerprint(m.GossipKeys()[0]) != Fingerprint(gossipKey(3)) {
		t.Errorf("another key file: %v, %x", err, m.GossipKeys())
	}
	for _, bad := range [][][]byte{nil, {gossipKey(1)[:5]}, {gossipKey(1), gossipKey(1)}} {
		if err := m.ReplaceGossipKeys(bad); err == nil || len(m.GossipKeys()) != 2 {
			t.Errorf("%x: %v", bad, err)
		}
	}
	cfg.Registry = prometheus.NewRegistry()
	if m, err = New(cfg); err != nil || len(m.GossipKeys()) != 1 {
		t.Errorf("what was rotated before the key file changed is back: %v", err)
	}
	for i := range byte(maxKeys) {
		err = m.keyring.add(gossipKey(10 + i))
	}
	if err == nil || len(m.GossipKeys()) != maxKeys {
		t.Errorf("%d keys are held: %v", len(m.GossipKeys()), err)
	}
}
