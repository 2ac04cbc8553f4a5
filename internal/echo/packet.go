// Package echo is how two nodes measure the way between them: a tiny
// responder that runs on every node, UDP and TCP on one port, and a prober
// that the checks ask it with. It imports nothing of ours.
package echo

import (
	"encoding/binary"
	"math"
)

// A packet is a header of fixed size, padding, and a signature over both:
//
//	0  magic "gve", version
//	4  kind
//	5  length of the name
//	6  sequence number in the session
//	8  session
//	16 when the request arrived, by the responder's clock: Unix ns; answers only
//	24 when the answer left, likewise
//	32 how many requests of the session have arrived; answers only
//	36 name of the node that sent this packet, and zeros
//
// The name has its full room in each packet, so that an answer is never
// larger than the request: nobody can use a responder to amplify a flood.
const (
	magic         = "gve\x01"
	nameOffset    = 36
	maxName       = math.MaxUint8
	headerSize    = nameOffset + maxName
	signatureSize = 16
	smallest      = headerSize + signatureSize
	largest       = math.MaxUint16
)

// MaxBurst is the most requests that one session can have.
const MaxBurst = 256

// kind is what a packet is for.
type kind byte

const (
	askSmall kind = 1 + iota // answer as small as can be
	askFull                  // answer as large as this
	answered
	askCount // how many requests of this session have arrived
	counted
)

// header is what a packet says.
type header struct {
	kind    kind
	seq     uint16
	session uint64
	arrived int64 // Unix ns, by the responder's clock
	left    int64
	count   uint32
	name    []byte // part of the packet
}

// parse reads the header of packet. False: it is none of ours.
func parse(packet []byte) (header, bool) {
	if len(packet) < smallest || len(packet) > largest || string(packet[:len(magic)]) != magic {
		return header{}, false
	}
	h := header{
		kind:    kind(packet[4]),
		seq:     binary.BigEndian.Uint16(packet[6:]),
		session: binary.BigEndian.Uint64(packet[8:]),
		arrived: int64(binary.BigEndian.Uint64(packet[16:])),
		left:    int64(binary.BigEndian.Uint64(packet[24:])),
		count:   binary.BigEndian.Uint32(packet[32:]),
		name:    packet[nameOffset:][:packet[5]],
	}
	return h, h.kind >= askSmall && h.kind <= counted && h.seq < MaxBurst
}

// put writes h into packet, which has room for it, and leaves the padding.
// A name that is too long loses its end.
func (h header) put(packet []byte) {
	name := h.name[:min(len(h.name), maxName)]
	copy(packet, magic)
	packet[4] = byte(h.kind)
	packet[5] = byte(len(name))
	binary.BigEndian.PutUint16(packet[6:], h.seq)
	binary.BigEndian.PutUint64(packet[8:], h.session)
	binary.BigEndian.PutUint64(packet[16:], uint64(h.arrived))
	binary.BigEndian.PutUint64(packet[24:], uint64(h.left))
	binary.BigEndian.PutUint32(packet[32:], h.count)
	clear(packet[nameOffset+copy(packet[nameOffset:], name) : headerSize])
}
