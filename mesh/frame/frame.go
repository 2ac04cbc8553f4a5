// Package frame is the form in which a node's snapshot travels: an immutable,
// signed frame of verdicts and values, beside the content-addressed schema and
// identity it refers to. Fields are numbered as in protocol buffers, and
// unknown ones are skipped, so that neighbouring versions understand each
// other.
package frame

import (
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// Format is the version of the form that this program writes. It grows with
// every field that is added. A field never changes its meaning: what must be
// said in another way gets another number, so that older readers miss it
// instead of misreading it.
const Format = 1

// Limits bound what a frame or schema from a peer may make this node hold.
type Limits struct {
	FrameBytes  int // encoded frame
	SchemaBytes int // schema, encoded, and ten times that when it is not
	Series      int // series of one node
	Results     int // results of one node
	TextBytes   int // any single string: label value, help, reason
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
//
// A frame may be bare: a relay has left its values out, and put their hash in
// their place. The signature covers that hash in either case, so a bare frame
// still proves whose word its verdicts are.
type Frame struct {
	Raw []byte

	Format   uint64 // as its writer counts them
	Node     string
	Version  Version
	Interval time.Duration // the node's promise: the next frame comes within this
	Uptime   time.Duration // of the node when it made the frame; see state.Held
	Schema   Hash
	Identity Hash
	Bare     bool // without its values

	body, signature, values []byte
	valuesHash              Hash

	verdicts []byte   // see verdicts.go
	counts   []byte   // see counts.go
	texts    [][]byte // those that the verdicts refer to
}

const (
	// What a frame is made of. values or its hash: one of them.
	fieldBody       protowire.Number = 1
	fieldSignature  protowire.Number = 2
	fieldValues     protowire.Number = 3 // see values.go
	fieldValuesHash protowire.Number = 4

	// What a body is made of.
	fieldFormat   protowire.Number = 1
	fieldNode     protowire.Number = 2
	fieldEpoch    protowire.Number = 3
	fieldNumber   protowire.Number = 4
	fieldInterval protowire.Number = 5 // milliseconds
	fieldSchema   protowire.Number = 6
	fieldIdentity protowire.Number = 7  // the first bytes of its hash
	fieldUptime   protowire.Number = 8  // milliseconds
	fieldVerdicts protowire.Number = 9  // see verdicts.go
	fieldText     protowire.Number = 10 // each as the verdicts call for it
	fieldCounts   protowire.Number = 11 // in native buckets: see counts.go
)

// maxInterval bounds the pace a node may promise, so that a liar cannot have
// itself counted as up for ever.
const maxInterval = 5 * time.Minute

// Sign fills f.Raw from the fields of f and content. cluster is signed too,
// so that a frame means nothing in another cluster that trusts the same keys.
func (f *Frame) Sign(cluster string, content Content, key ed25519.PrivateKey) {
	f.Format = Format
	b := AppendUint(make([]byte, 0, 64+len(f.Node)+content.size()), fieldFormat, f.Format)
	b = AppendString(b, fieldNode, f.Node)
	b = AppendUint(b, fieldEpoch, f.Version.Epoch)
	b = AppendUint(b, fieldNumber, f.Version.Number)
	b = AppendUint(b, fieldInterval, uint64(f.Interval.Milliseconds()))
	b = AppendBytes(b, fieldSchema, f.Schema[:])
	b = AppendBytes(b, fieldIdentity, f.Identity[:identityBytes])
	b = AppendUint(b, fieldUptime, uint64(max(0, f.Uptime.Milliseconds())))
	b = AppendBytes(b, fieldVerdicts, content.verdicts)
	for _, text := range content.texts {
		b = AppendString(b, fieldText, text)
	}
	if len(content.counts) > 0 {
		b = AppendBytes(b, fieldCounts, content.counts)
	}
	f.seal(cluster, b, content.values, key)
}

func (f *Frame) seal(cluster string, body, values []byte, key ed25519.PrivateKey) {
	f.body, f.values, f.valuesHash = body, values, Sum(values)
	f.signature = ed25519.Sign(key, f.signed(cluster))
	f.Raw = make([]byte, 0, len(body)+len(values)+ed25519.SignatureSize+12)
	f.Raw = AppendBytes(f.Raw, fieldBody, body)
	f.Raw = AppendBytes(f.Raw, fieldSignature, f.signature)
	f.Raw = AppendBytes(f.Raw, fieldValues, values)
}

// WithoutValues returns f as a bare frame.
func (f *Frame) WithoutValues() *Frame {
	if f.Bare {
		return f
	}
	bare := *f
	bare.Bare, bare.values = true, nil
	bare.Raw = AppendBytes(nil, fieldBody, f.body)
	bare.Raw = AppendBytes(bare.Raw, fieldSignature, f.signature)
	bare.Raw = AppendBytes(bare.Raw, fieldValuesHash, f.valuesHash[:])
	return &bare
}

// Parse reads the head of a frame. It checks form and bounds, not the
// signature and not the content.
func Parse(raw []byte, limits Limits) (*Frame, error) {
	if len(raw) > limits.FrameBytes {
		return nil, fmt.Errorf("frame of %d bytes, allowed are %d", len(raw), limits.FrameBytes)
	}
	f := &Frame{Raw: raw, Bare: true}
	hashed := false
	if err := Fields(raw, func(n protowire.Number, v Value) error {
		switch n {
		case fieldBody:
			f.body = v.Bytes
		case fieldSignature:
			f.signature = v.Bytes
		case fieldValues:
			f.values, f.Bare = v.Bytes, false
		case fieldValuesHash:
			hashed = true
			return v.hash(&f.valuesHash)
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
	case f.Bare != hashed:
		return nil, errors.New("frame with neither values nor their hash, or with both")
	}
	if !f.Bare {
		f.valuesHash = Sum(f.values)
	}
	return f, nil
}

func (f *Frame) field(n protowire.Number, v Value) error {
	switch n {
	case fieldFormat:
		f.Format = v.Uint
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
		if len(v.Bytes) != identityBytes {
			return fmt.Errorf("identity of %d bytes", len(v.Bytes))
		}
		copy(f.Identity[:], v.Bytes)
	case fieldUptime:
		f.Uptime = time.Duration(min(v.Uint, uint64(MaxAge.Milliseconds()))) * time.Millisecond
	case fieldVerdicts:
		f.verdicts = v.Bytes
	case fieldText:
		f.texts = append(f.texts, v.Bytes)
	case fieldCounts:
		f.counts = v.Bytes
	}
	return nil
}

// Verify checks the signature against the key of the frame's identity.
func (f *Frame) Verify(cluster string, key ed25519.PublicKey) error {
	if !ed25519.Verify(key, f.signed(cluster), f.signature) {
		return errors.New("the signature does not fit the frame")
	}
	return nil
}

// signed is what the signature covers: a purpose, so that the key cannot be
// tricked into signing something else, the cluster, the values' hash and the
// body.
func (f *Frame) signed(cluster string) []byte {
	b := append(make([]byte, 0, 64+len(cluster)+len(f.body)), "grapevine frame\x00"...)
	b = append(append(b, cluster...), 0)
	b = append(b, f.valuesHash[:]...)
	return append(b, f.body...)
}

// Hash addresses a schema or an identity by its content.
type Hash [16]byte

// Sum returns the hash of bytes.
func Sum(b []byte) Hash {
	sum := sha256.Sum256(b)
	return Hash(sum[:16])
}

// identityBytes is how much of an identity's hash a frame says; the rest is
// zero. It is less than of a schema, since every frame pays for it and a
// signature decides in the end: who finds another identity with these 80 bits,
// 2^70 tries against a thousand nodes, has silenced one node, not spoken for it.
const identityBytes = 10

// IdentityHash is the hash by which frames refer to an identity.
func IdentityHash(identity []byte) (h Hash) {
	sum := Sum(identity)
	copy(h[:identityBytes], sum[:])
	return h
}

// BlobHash is the hash by which frames refer to a blob: that which a schema
// claims, else that of an identity.
func BlobHash(raw []byte) Hash {
	if b, err := ParseBlob(raw); err == nil {
		return b.Hash
	}
	return IdentityHash(raw)
}
