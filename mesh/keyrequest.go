package mesh

import (
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/grapevine-mesh/grapevine/mesh/frame"
)

// keyDeed is what a request about the keyring asks for.
type keyDeed uint64

const (
	keyList keyDeed = 1
	keyAdd  keyDeed = 2
	keyUse  keyDeed = 3
	keyDrop keyDeed = 4
)

// keyRequest asks every node to change its keyring. It is signed with the key
// of the asker's frames, so that a key of the gossip alone, which may be the
// one that has leaked, changes nothing.
type keyRequest struct {
	deed        keyDeed
	key         []byte // for keyAdd
	fingerprint string // for keyUse and keyDrop
	node        string // who asks
	version     frame.Version
	number      uint64 // of the requests of one epoch of node, counting from 1

	body, signature []byte
}

const (
	fieldRequest          protowire.Number = 1
	fieldRequestSignature protowire.Number = 2

	fieldDeed        protowire.Number = 1
	fieldKey         protowire.Number = 2
	fieldFingerprint protowire.Number = 3
	fieldAsker       protowire.Number = 4
	fieldAskerEpoch  protowire.Number = 5
	fieldAskerFrame  protowire.Number = 6
	fieldNumber      protowire.Number = 7
)

// signed returns the request as it travels.
func (r *keyRequest) signed(cluster string, key ed25519.PrivateKey) []byte {
	b := frame.AppendUint(nil, fieldDeed, uint64(r.deed))
	b = frame.AppendBytes(b, fieldKey, r.key)
	b = frame.AppendBytes(b, fieldFingerprint, []byte(r.fingerprint))
	b = frame.AppendBytes(b, fieldAsker, []byte(r.node))
	b = frame.AppendUint(b, fieldAskerEpoch, r.version.Epoch)
	b = frame.AppendUint(b, fieldAskerFrame, r.version.Number)
	b = frame.AppendUint(b, fieldNumber, r.number)
	signature := ed25519.Sign(key, keyRequestMessage(cluster, b))
	return frame.AppendBytes(frame.AppendBytes(nil, fieldRequest, b), fieldRequestSignature, signature)
}

// parseKeyRequest reads the form of a request, and checks nothing else.
func parseKeyRequest(b []byte) (*keyRequest, error) {
	r := &keyRequest{}
	if err := frame.Fields(b, func(n protowire.Number, v frame.Value) error {
		switch n {
		case fieldRequest:
			r.body = v.Bytes
		case fieldRequestSignature:
			r.signature = v.Bytes
		}
		return nil
	}); err != nil {
		return nil, err
	}
	err := frame.Fields(r.body, func(n protowire.Number, v frame.Value) error {
		switch n {
		case fieldDeed:
			r.deed = keyDeed(v.Uint)
		case fieldKey:
			r.key = slices.Clone(v.Bytes)
		case fieldFingerprint:
			r.fingerprint = string(v.Bytes)
		case fieldAsker:
			r.node = string(v.Bytes)
		case fieldAskerEpoch:
			r.version.Epoch = v.Uint
		case fieldAskerFrame:
			r.version.Number = v.Uint
		case fieldNumber:
			r.number = v.Uint
		}
		return nil
	})
	return r, err
}

func (r *keyRequest) verify(cluster string, key ed25519.PublicKey) error {
	if !ed25519.Verify(key, keyRequestMessage(cluster, r.body), r.signature) {
		return errors.New("its signature is not that of the node it names")
	}
	return nil
}

func keyRequestMessage(cluster string, body []byte) []byte {
	b := append([]byte("grapevine keyring\x00"), cluster...)
	return append(append(b, 0), body...)
}

// keyAnswer is what a node answers: its keys, the one it sends with first, and
// what went wrong.
type keyAnswer struct {
	fingerprints []string
	trouble      string
}

const (
	fieldHeld    protowire.Number = 1
	fieldTrouble protowire.Number = 2

	maxTrouble = 200 // bytes
)

func (a keyAnswer) encode() []byte {
	var b []byte
	for _, fingerprint := range a.fingerprints {
		raw, _ := hex.DecodeString(fingerprint) // our own
		b = frame.AppendBytes(b, fieldHeld, raw)
	}
	return frame.AppendBytes(b, fieldTrouble, []byte(a.trouble[:min(len(a.trouble), maxTrouble)]))
}

func parseKeyAnswer(b []byte) (a keyAnswer, err error) {
	err = frame.Fields(b, func(n protowire.Number, v frame.Value) error {
		switch n {
		case fieldHeld:
			if len(a.fingerprints) == maxKeys || len(v.Bytes) != 8 {
				return fmt.Errorf("a keyring that no node has")
			}
			a.fingerprints = append(a.fingerprints, hex.EncodeToString(v.Bytes))
		case fieldTrouble:
			a.trouble = string(v.Bytes[:min(len(v.Bytes), maxTrouble)])
		}
		return nil
	})
	return a, err
}
