package mesh

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
	"github.com/hashicorp/memberlist"
)

// maxKeys bounds the keyring: each key more is tried on every packet that
// nobody of ours has sent.
const maxKeys = 8

// keyring is what the gossip is encrypted with: the first key is used to
// send, all are accepted. It outlives a restart once it has been changed.
type keyring struct {
	storage *storage
	logger  log.Logger
	cluster string
	refused func(reason string, err error)

	now atomic.Pointer[[][]byte] // the keys in force; never changed in place

	mu    sync.Mutex          // guards all below: one change at a time
	given string              // fingerprint of the keys of --mesh.key-file
	ring  *memberlist.Keyring // memberlist's copy; nil: the gossip is not encrypted
}

// keyringFile is where the keys outlive a restart.
const (
	keyringFile   = "keyring.json"
	keyringFormat = 1
)

// storedKeyring is the form of keyringFile. The keys count for as long as
// --mesh.key-file holds what it held when they were stored: who changes that
// file means it.
type storedKeyring struct {
	Format  int      `json:"format"`
	Cluster string   `json:"cluster"`
	Given   string   `json:"given"` // fingerprint of the keys of --mesh.key-file
	Keys    [][]byte `json:"keys"`
}

// ReasonKeyring counts what is refused about the keys of the gossip.
const reasonKeyring = "keyring"

// newKeyring takes the keys of an earlier run, or else given. No keys mean
// that the gossip is not encrypted.
func newKeyring(cluster string, given [][]byte, st *storage, logger log.Logger, refused func(string, error)) (*keyring, error) {
	k := &keyring{storage: st, logger: logger, cluster: cluster, refused: refused, given: fingerprintOfKeys(given)}
	keys := given
	k.now.Store(&keys)
	if len(given) == 0 {
		return k, nil
	}
	stored, err := k.recall()
	if err != nil {
		return nil, err
	}
	if stored != nil {
		keys = stored
	}
	k.ring, err = memberlist.NewKeyring(keys, keys[0])
	return k, err
}

// recall reads what an earlier run stored; nil: nothing that counts.
func (k *keyring) recall() ([][]byte, error) {
	b, err := k.storage.read(keyringFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	stored, err := parseKeyring(b)
	if err != nil {
		return nil, k.storage.setAside(keyringFile, err)
	}
	if stored.Cluster != k.cluster || stored.Given != k.given {
		level.Info(k.logger).Log("msg", "--mesh.key-file has changed since the keys were rotated: it counts, and the stored keyring is dropped")
		return nil, k.storage.remove(keyringFile)
	}
	return stored.Keys, nil
}

// parseKeyring reads the form of keyringFile. Its errors show no key.
func parseKeyring(b []byte) (stored storedKeyring, err error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	switch err := d.Decode(&stored); {
	case err != nil:
		return stored, errors.New("it cannot be read")
	case d.More():
		return stored, errors.New("something follows its end")
	case stored.Format != keyringFormat:
		return stored, fmt.Errorf("its format is %d, this program reads %d", stored.Format, keyringFormat)
	case len(stored.Keys) == 0:
		return stored, errors.New("it holds no key")
	}
	return stored, checkKeys(stored.Keys)
}

// checkKeys names the first key that cannot be used, by its place.
func checkKeys(keys [][]byte) error {
	if len(keys) > maxKeys {
		return fmt.Errorf("%d keys; %d are allowed", len(keys), maxKeys)
	}
	for i, key := range keys {
		if n := len(key); n != 16 && n != 24 && n != 32 {
			return fmt.Errorf("key number %d has %d bytes; 16, 24 or 32 are wanted", i+1, n)
		}
		if index(keys, Fingerprint(key)) != i {
			return fmt.Errorf("key number %d is there twice", i+1)
		}
	}
	return nil
}

// Fingerprint tells gossip keys apart without showing them: 16 hexadecimal
// digits.
func Fingerprint(key []byte) string {
	sum := sha256.Sum256(append([]byte("grapevine gossip key\x00"), key...))
	return hex.EncodeToString(sum[:8])
}

func fingerprintOfKeys(keys [][]byte) string {
	var b []byte
	for _, key := range keys {
		b = append(b, Fingerprint(key)...)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// keys are those in force, the one to send with first. The slice is the same
// until they change.
func (k *keyring) keys() [][]byte { return *k.now.Load() }

func (k *keyring) fingerprints() []string {
	var all []string
	for _, key := range k.keys() {
		all = append(all, Fingerprint(key))
	}
	return all
}

func index(keys [][]byte, fingerprint string) int {
	return slices.IndexFunc(keys, func(key []byte) bool { return Fingerprint(key) == fingerprint })
}

var errNotEncrypted = errors.New("the gossip is not encrypted: the agent has no --mesh.key-file")

// add accepts one more key.
func (k *keyring) add(key []byte) error {
	return k.change(func(keys [][]byte) ([][]byte, error) {
		if index(keys, Fingerprint(key)) >= 0 {
			return keys, nil
		}
		keys = append(keys, key)
		return keys, checkKeys(keys)
	})
}

// use sends with a key that is accepted already.
func (k *keyring) use(fingerprint string) error {
	return k.change(func(keys [][]byte) ([][]byte, error) {
		i := index(keys, fingerprint)
		if i < 0 {
			return nil, fmt.Errorf("does not hold key %s: add it first", fingerprint)
		}
		key := keys[i]
		return slices.Insert(slices.Delete(keys, i, i+1), 0, key), nil
	})
}

// drop accepts a key no more.
func (k *keyring) drop(fingerprint string) error {
	return k.change(func(keys [][]byte) ([][]byte, error) {
		i := index(keys, fingerprint)
		if i == 0 {
			return nil, fmt.Errorf("sends with key %s: use another first", fingerprint)
		}
		if i < 0 {
			return keys, nil
		}
		return slices.Delete(keys, i, i+1), nil
	})
}

// change puts into force what edit makes of a copy of the keys, and stores it.
// When it cannot be stored it is in force all the same, until a restart.
func (k *keyring) change(edit func([][]byte) ([][]byte, error)) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.ring == nil {
		return errNotEncrypted
	}
	keys, err := edit(slices.Clone(k.keys()))
	if err != nil {
		return err
	}
	if !slices.EqualFunc(keys, k.keys(), bytes.Equal) {
		k.now.Store(&keys)
		k.apply()
		level.Info(k.logger).Log("msg", "the gossip's keys have changed", "sends_with", Fingerprint(keys[0]), "accepts", len(keys))
	}
	b, err := json.Marshal(storedKeyring{keyringFormat, k.cluster, k.given, keys})
	if err != nil {
		return err
	}
	if err := k.storage.write(keyringFile, append(b, '\n')); err != nil {
		return fmt.Errorf("done, but lost at the next start: %w", err)
	}
	return nil
}

// replace puts the keys of a new --mesh.key-file into force, if it has
// changed, and forgets what was rotated before.
func (k *keyring) replace(given [][]byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	fingerprint := fingerprintOfKeys(given)
	switch {
	case fingerprint == k.given:
		return nil
	case k.ring == nil || len(given) == 0:
		return errors.New("--mesh.key-file: encrypting the gossip begins and ends with a restart only")
	}
	if err := k.storage.remove(keyringFile); err != nil {
		return err
	}
	k.given = fingerprint
	k.now.Store(&given)
	k.apply()
	level.Info(k.logger).Log("msg", "the gossip's keys are those of the new --mesh.key-file", "sends_with", Fingerprint(given[0]), "accepts", len(given))
	return nil
}

// apply makes memberlist's copy what ours is. It needs k.mu.
func (k *keyring) apply() {
	keys := k.keys()
	for _, key := range keys {
		_ = k.ring.AddKey(key) // checked before: no other error is possible
	}
	for _, key := range k.ring.GetKeys() {
		if index(keys, Fingerprint(key)) < 0 {
			k.forget(key, keys)
		}
	}
	_ = k.ring.UseKey(keys[0])
}

// forget removes key from memberlist's copy. RemoveKey moves what follows the
// key within the slice that is being read while packets are decrypted; so
// nothing may follow it: whatever is used moves to the front.
func (k *keyring) forget(key []byte, keep [][]byte) {
	for _, other := range k.ring.GetKeys() {
		if !bytes.Equal(other, key) {
			_ = k.ring.UseKey(other)
		}
	}
	_ = k.ring.UseKey(keep[0])
	_ = k.ring.RemoveKey(key)
}

// guard undoes what somebody has changed behind our back. Serf answers
// requests of its own to change keys, by whoever holds a key of the gossip;
// ours take a certificate, too.
func (k *keyring) guard() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.ring == nil || k.intact() {
		return
	}
	k.apply()
	k.refused(reasonKeyring, errors.New("somebody has changed this node's gossip keys by a way that takes no certificate; it is undone"))
}

// intact tells whether memberlist's copy is what ours is. The order after the
// first means nothing.
func (k *keyring) intact() bool {
	ring, keys := k.ring.GetKeys(), k.keys()
	return len(ring) == len(keys) && bytes.Equal(ring[0], keys[0]) &&
		!slices.ContainsFunc(ring, func(key []byte) bool { return index(keys, Fingerprint(key)) < 0 })
}
