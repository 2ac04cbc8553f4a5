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
	courier  *courier // of pieces that are not encoded at all; nil before the first
}

// writeBytes is the least that is handed on at once, as far as there is as much.
const writeBytes = 32 << 10

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
	if s.encoding == Identity {
		if s.courier == nil {
			s.courier = newCourier(s.w)
		}
		var err error
		s.desk, err = s.courier.take(d)
		return err
	}
	d.out = d.encoder.encode(d.out[:0], d.plain, s.encoding)
	if s.encoding == Gzip {
		s.sum = s.sum.then(checksumOf(d.plain))
	}
	d.plain = d.plain[:0]
	_, err := s.w.Write(d.out)
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
	if err := s.dismiss(); err != nil {
		return err
	}
	if s.encoding == Identity { // most answers are one piece, which needs no courier
		_, _ = s.w.Write(s.desk.plain)
		return s.w.Flush()
	}
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

// dismiss waits for what the courier has not yet written.
func (s *stream) dismiss() error {
	if s.courier == nil {
		return nil
	}
	c := s.courier
	s.courier = nil
	return c.stop()
}

// close gives back what the stream holds, whether or not it came to its end.
func (s *stream) close() {
	_ = s.dismiss()
	s.w.Reset(io.Discard) // or the pool would keep a connection alive
	writers.Put(s.w)
	desks.giveBack(s.desk)
	s.w, s.desk = nil, nil
}
