package exposition

import (
	"bufio"
	"encoding/binary"
	"io"
	"sync"
)

// stream puts pieces together to one answer: plain ones, which it encodes, and
// such as are encoded already.
type stream struct {
	w        *bufio.Writer
	encoding Encoding
	sum      checksum // of all before it was encoded; gzip alone needs it
	desk     *desk    // its plain is what is not yet encoded
}

// writeBytes is the least that is handed on at once, as far as there is as much,
// and plainBytes of what is rendered for this answer alone: each time wakes up
// who reads, which costs more than to copy some pages.
const writeBytes, plainBytes = 32 << 10, 256 << 10

var writers = sync.Pool{New: func() any { return bufio.NewWriterSize(io.Discard, writeBytes) }}

// gzipHeader says deflate and nothing else.
var gzipHeader = []byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff}

// open begins an answer.
func (s *stream) open(w io.Writer, e Encoding) {
	s.w, s.encoding, s.sum = writers.Get().(*bufio.Writer), e, checksum{}
	s.desk = desks.take()
	s.w.Reset(w)
	if e == Gzip {
		_, _ = s.w.Write(gzipHeader) // into the buffer
	}
}

// spill encodes what is plain and hands it on.
func (s *stream) spill() error {
	d := s.desk
	if len(d.plain) == 0 {
		return nil
	}
	piece := d.plain
	if s.encoding != Identity {
		d.out = d.encoder.encode(d.out[:0], d.plain, s.encoding)
		piece = d.out
	}
	if s.encoding == Gzip {
		s.sum = s.sum.then(checksumOf(d.plain))
	}
	d.plain = d.plain[:0]
	_, err := s.w.Write(piece)
	return err
}

// add hands on a piece that is encoded already.
func (s *stream) add(p *piece) error {
	if err := s.spill(); err != nil {
		return err
	}
	if s.encoding == Gzip {
		s.sum = s.sum.then(p.sum)
	}
	_, err := s.w.Write(p.data)
	return err
}

// end completes the answer.
func (s *stream) end() error {
	if err := s.spill(); err != nil {
		return err
	}
	if s.encoding == Gzip {
		trailer := []byte{3, 0} // an empty block, the last
		trailer = binary.LittleEndian.AppendUint32(trailer, s.sum.crc)
		trailer = binary.LittleEndian.AppendUint32(trailer, uint32(s.sum.size))
		if _, err := s.w.Write(trailer); err != nil {
			return err
		}
	}
	return s.w.Flush()
}

// close gives back what the stream holds, whether or not it came to its end.
func (s *stream) close() {
	s.w.Reset(io.Discard) // or the pool would keep a connection alive
	writers.Put(s.w)
	desks.giveBack(s.desk)
	s.w, s.desk = nil, nil
}
