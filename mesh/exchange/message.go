// Package exchange carries state between two nodes over one TCP connection:
// who asks sends a digest and gets what it lacks, then sends what the other
// lacks. Every message, wait and answer is bounded.
package exchange

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/grapevine-mesh/grapevine/mesh/frame"
	"github.com/grapevine-mesh/grapevine/mesh/state"
)

// kind tells what a message is. Requests and answers alternate, but for casts,
// which nobody answers.
type kind byte

const (
	kindHello   kind = 1 // both ways, first: who I am
	kindSync    kind = 2 // request: my digest, by places or by names
	kindNews    kind = 3 // answer: frames you lack, names I want
	kindGet     kind = 4 // request: schemas and identities by hash
	kindBlobs   kind = 5 // answer to get
	kindOffer   kind = 6 // request: hashes that what I am about to push refers to
	kindMissing kind = 7 // answer to offer: those I do not hold
	kindPush    kind = 8 // request: frames and blobs
	kindDone    kind = 9 // answer to push
	kindRefused kind = 10
	kindNames   kind = 11 // answer to sync by places: tell me by names
	kindCast    kind = 12 // frames and blobs on the fast path
	kindPing    kind = 13 // request: are you there
	kindPong    kind = 14 // answer to ping
	kindInquire kind = 15 // request: sums of the verdicts I hold, and my own version
	kindTold    kind = 16 // answer to inquire: ages, and whose verdicts differ; your name if you are to push
	kindBare    kind = 17 // request: frames without values, by name; the answer is news
	kindPipe    kind = 18 // request: from here on this connection belongs to somebody else
)

// message is the union of all kinds; each uses some of the fields.
type message struct {
	kind    kind
	cluster string
	node    string
	reason  string
	have    []state.Have
	places  *state.Places
	groups  int
	frames  []state.Relayed
	blobs   [][]byte
	hashes  []frame.Hash
	names   []string

	sums     []uint64
	chapters []state.Chapter
	size     int // mean bytes of a frame
}

const (
	// maxMessage bounds a message on the wire and inflated. deltaBudget is
	// what fills one, with room for the heads: what does not fit goes with
	// the next round.
	maxMessage  = 8 << 20
	deltaBudget = 4 << 20
	// maxItems bounds the entries of any list in a message.
	maxItems = 100_000
	// compressFrom is the size below which compressing costs more than it saves.
	compressFrom = 512
)

// A message on the wire: length of the rest (4 bytes, big endian), kind,
// 1 if compressed with zstd, body.
const headerBytes = 6

var (
	encoder, _ = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true), zstd.WithWindowSize(256<<10))
	decoder, _ = zstd.NewReader(nil, zstd.WithDecoderConcurrency(2), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxMemory(maxMessage))
)

var errTooLarge = errors.New("message too large")

func writeMessage(w io.Writer, m message) error {
	b, err := m.marshal()
	if err != nil {
		return err
	}
	_, err = w.Write(b)
	return err
}

// marshal returns m as it is on the wire.
func (m *message) marshal() ([]byte, error) {
	body := m.encode()
	header := make([]byte, headerBytes, headerBytes+len(body))
	header[4] = byte(m.kind)
	if len(body) >= compressFrom {
		if small := encoder.EncodeAll(body, nil); len(small) < len(body) {
			body, header[5] = small, 1
		}
	}
	if len(body) > maxMessage {
		return nil, fmt.Errorf("%d bytes: %w", len(body), errTooLarge)
	}
	binary.BigEndian.PutUint32(header, uint32(len(body)+headerBytes-4))
	return append(header, body...), nil
}

func readMessage(r io.Reader) (message, error) {
	var header [headerBytes]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return message{}, err
	}
	size := int64(binary.BigEndian.Uint32(header[:])) - (headerBytes - 4)
	if size < 0 || size > maxMessage {
		return message{}, fmt.Errorf("%d bytes announced: %w", size, errTooLarge)
	}
	// Grow with what arrives, not with what was announced.
	body, err := io.ReadAll(io.LimitReader(r, size))
	if err != nil {
		return message{}, err
	}
	if int64(len(body)) != size {
		return message{}, io.ErrUnexpectedEOF
	}
	if header[5] == 1 {
		if body, err = decoder.DecodeAll(body, nil); err != nil {
			return message{}, garbage(fmt.Errorf("inflating a message: %w", err))
		}
	}
	m := message{kind: kind(header[4])}
	if err := m.decode(body); err != nil {
		return message{}, garbage(err)
	}
	return m, nil
}

func garbage(err error) error {
	return &state.Refusal{Reason: state.ReasonGarbage, Hostile: true, Err: err}
}

const (
	fieldCluster protowire.Number = 1
	fieldNode    protowire.Number = 2
	fieldReason  protowire.Number = 3
	fieldHave    protowire.Number = 4 // name, epoch, number, young as nested fields 1, 2, 3, 4
	fieldFrame   protowire.Number = 5 // raw, age in milliseconds as nested fields 1, 2
	fieldBlob    protowire.Number = 6
	fieldHash    protowire.Number = 7
	fieldName    protowire.Number = 8
	fieldGroups  protowire.Number = 9
	fieldRoster  protowire.Number = 10
	fieldNumbers protowire.Number = 11
	fieldSum     protowire.Number = 12 // varint
	fieldChapter protowire.Number = 13 // ages, or name, sum, age in milliseconds in nested fields 1 and 2: 1, 2, 3
	fieldSize    protowire.Number = 14
)

func (m *message) encode() []byte {
	var b []byte
	text := func(n protowire.Number, s string) {
		if s != "" {
			b = frame.AppendString(b, n, s)
		}
	}
	raw := func(n protowire.Number, v []byte) {
		b = frame.AppendBytes(b, n, v)
	}
	text(fieldCluster, m.cluster)
	text(fieldNode, m.node)
	text(fieldReason, m.reason)
	number := func(n protowire.Number, v uint64) {
		if v != 0 {
			b = frame.AppendUint(b, n, v)
		}
	}
	number(fieldGroups, uint64(m.groups))
	number(fieldSize, uint64(m.size))
	for _, sum := range m.sums {
		b = frame.AppendUint(b, fieldSum, sum)
	}
	for _, c := range m.chapters {
		raw(fieldChapter, encodeChapter(c))
	}
	if m.places != nil {
		number(fieldRoster, m.places.Roster)
		raw(fieldNumbers, m.places.Numbers)
	}
	for _, h := range m.have {
		e := frame.AppendString(nil, 1, h.Name)
		e = frame.AppendUint(e, 2, h.Version.Epoch)
		e = frame.AppendUint(e, 3, h.Version.Number)
		if h.Young {
			e = frame.AppendUint(e, 4, 1)
		}
		raw(fieldHave, e)
	}
	for _, f := range m.frames {
		e := frame.AppendBytes(nil, 1, f.Raw)
		e = frame.AppendUint(e, 2, uint64(max(0, f.Age.Milliseconds())))
		raw(fieldFrame, e)
	}
	for _, v := range m.blobs {
		raw(fieldBlob, v)
	}
	for _, h := range m.hashes {
		raw(fieldHash, h[:])
	}
	for _, n := range m.names {
		text(fieldName, n)
	}
	return b
}

func (m *message) decode(b []byte) error {
	items := 0
	var places state.Places
	return frame.Fields(b, func(n protowire.Number, v frame.Value) error {
		if items++; items > maxItems {
			return fmt.Errorf("more than %d entries in a message", maxItems)
		}
		switch n {
		case fieldCluster:
			m.cluster = string(v.Bytes)
		case fieldNode:
			m.node = string(v.Bytes)
		case fieldReason:
			m.reason = string(v.Bytes)
		case fieldGroups:
			m.groups = int(min(v.Uint, maxItems))
		case fieldSize:
			m.size = int(min(v.Uint, maxMessage))
		case fieldSum:
			m.sums = append(m.sums, v.Uint)
		case fieldChapter:
			c, err := decodeChapter(v.Bytes, &items)
			m.chapters = append(m.chapters, c)
			return err
		case fieldRoster:
			places.Roster = v.Uint
		case fieldNumbers:
			places.Numbers, m.places = v.Bytes, &places
		case fieldBlob:
			m.blobs = append(m.blobs, v.Bytes)
		case fieldName:
			m.names = append(m.names, string(v.Bytes))
		case fieldHash:
			var h frame.Hash
			if len(v.Bytes) != len(h) {
				return fmt.Errorf("a hash of %d bytes", len(v.Bytes))
			}
			m.hashes = append(m.hashes, frame.Hash(v.Bytes))
		case fieldHave:
			var h state.Have
			err := frame.Fields(v.Bytes, func(n protowire.Number, v frame.Value) error {
				switch n {
				case 1:
					h.Name = string(v.Bytes)
				case 2:
					h.Version.Epoch = v.Uint
				case 3:
					h.Version.Number = v.Uint
				case 4:
					h.Young = v.Uint == 1
				}
				return nil
			})
			m.have = append(m.have, h)
			return err
		case fieldFrame:
			var f state.Relayed
			err := frame.Fields(v.Bytes, func(n protowire.Number, v frame.Value) error {
				switch n {
				case 1:
					f.Raw = v.Bytes
				case 2:
					f.Age = time.Duration(min(v.Uint, uint64(frame.MaxAge.Milliseconds()))) * time.Millisecond
				}
				return nil
			})
			m.frames = append(m.frames, f)
			return err
		}
		return nil
	})
}
