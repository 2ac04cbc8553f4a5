// Package frame is the form in which a node's snapshot travels: an immutable,
// signed frame of values, beside the content-addressed schema and identity it
// refers to. Fields are numbered as in protocol buffers, and unknown ones are
// skipped, so that neighbouring versions understand each other.
package frame

import (
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// Limits bound what a frame or schema from a peer may make this node hold.
type Limits struct {
	FrameBytes  int // encoded frame
	SchemaBytes int // encoded schema
	Series      int // series of one node
	Results     int // results of one node
	TextBytes   int // any single string: label value, help, reason
}

// Hash addresses a schema or an identity by its content.
type Hash [16]byte

// Sum returns the hash of a schema's or identity's bytes.
func Sum(b []byte) Hash {
	sum := sha256.Sum256(b)
	return Hash(sum[:16])
}

// Version orders the frames of one name: by epoch, which counts the starts
// of the node, then by number, which counts the frames since.
type Version struct{ Epoch, Number uint64 }

// Newer reports whether v comes after w.
func (v Version) Newer(w Version) bool {
	return v.Epoch > w.Epoch || v.Epoch == w.Epoch && v.Number > w.Number
}

// Frame is one snapshot, signed by its node. Raw is what travels; the rest
// is read from it.
type Frame struct {
	Raw []byte // body and signature; never changed by a relay

	Node     string
	Version  Version
	Interval time.Duration // the node's promise: the next frame comes within this
	Uptime   time.Duration // of the node when it made the frame; see state.Held
	Schema   Hash
	Identity Hash

	body, signature, payload []byte
}

const (
	fieldBody      protowire.Number = 1
	fieldSignature protowire.Number = 2

	fieldNode     protowire.Number = 1
	fieldEpoch    protowire.Number = 2
	fieldNumber   protowire.Number = 3
	fieldInterval protowire.Number = 4 // milliseconds
	fieldSchema   protowire.Number = 5
	fieldIdentity protowire.Number = 6
	fieldPayload  protowire.Number = 7 // zstd
	fieldUptime   protowire.Number = 8 // milliseconds
)

// maxInterval bounds the pace a node may promise, so that a liar cannot have
// itself counted as up for ever.
const maxInterval = 5 * time.Minute

// Sign fills f.Raw from the fields of f and payload. cluster is signed too,
// so that a frame means nothing in another cluster that trusts the same keys.
func (f *Frame) Sign(cluster string, payload []byte, key ed25519.PrivateKey) {
	body := appendString(nil, fieldNode, f.Node)
	body = appendUint(body, fieldEpoch, f.Version.Epoch)
	body = appendUint(body, fieldNumber, f.Version.Number)
	body = appendUint(body, fieldInterval, uint64(f.Interval.Milliseconds()))
	body = appendBytes(body, fieldSchema, f.Schema[:])
	body = appendBytes(body, fieldIdentity, f.Identity[:])
	body = appendBytes(body, fieldPayload, compress(payload))
	body = appendUint(body, fieldUptime, uint64(max(0, f.Uptime.Milliseconds())))
	signature := ed25519.Sign(key, signedBytes(cluster, body))
	f.Raw = appendBytes(appendBytes(nil, fieldBody, body), fieldSignature, signature)
}

// Parse reads the head of a frame. It checks form and bounds, not the
// signature and not the payload.
func Parse(raw []byte, limits Limits) (*Frame, error) {
	if len(raw) > limits.FrameBytes {
		return nil, fmt.Errorf("frame of %d bytes, allowed are %d", len(raw), limits.FrameBytes)
	}
	f := &Frame{Raw: raw}
	if err := Fields(raw, func(n protowire.Number, v Value) error {
		switch n {
		case fieldBody:
			f.body = v.Bytes
		case fieldSignature:
			f.signature = v.Bytes
		}
		return nil
	}); err != nil {
		return nil, fmt.Errorf("frame: %w", err)
	}
	if err := Fields(f.body, f.field); err != nil {
		return nil, fmt.Errorf("frame body: %w", err)
	}
	switch {
	case f.Node == "" || len(f.Node) > 255:
		return nil, fmt.Errorf("frame with a node name of %d bytes", len(f.Node))
	case f.Version.Epoch == 0 || f.Version.Number == 0:
		return nil, errors.New("frame without epoch or number")
	case f.Interval <= 0 || f.Interval > maxInterval:
		return nil, fmt.Errorf("frame that promises the next within %v", f.Interval)
	case len(f.signature) == 0:
		return nil, errors.New("frame without signature")
	}
	return f, nil
}

func (f *Frame) field(n protowire.Number, v Value) error {
	switch n {
	case fieldNode:
		f.Node = string(v.Bytes)
	case fieldEpoch:
		f.Version.Epoch = v.Uint
	case fieldNumber:
		f.Version.Number = v.Uint
	case fieldInterval:
		f.Interval = time.Duration(min(v.Uint, uint64(2*maxInterval.Milliseconds()))) * time.Millisecond
	case fieldSchema:
		return v.hash(&f.Schema)
	case fieldIdentity:
		return v.hash(&f.Identity)
	case fieldPayload:
		f.payload = v.Bytes
	case fieldUptime:
		f.Uptime = time.Duration(min(v.Uint, uint64(MaxAge.Milliseconds()))) * time.Millisecond
	}
	return nil
}

// Verify checks the signature against the key of the frame's identity.
func (f *Frame) Verify(cluster string, key ed25519.PublicKey) error {
	if !ed25519.Verify(key, signedBytes(cluster, f.body), f.signature) {
		return errors.New("the signature does not fit the frame")
	}
	return nil
}

// signedBytes is what a signature covers: a purpose, so that the key cannot
// be tricked into signing something else, the cluster, and the body.
func signedBytes(cluster string, body []byte) []byte {
	b := append([]byte("grapevine frame\x00"), cluster...)
	return append(append(b, 0), body...)
}
