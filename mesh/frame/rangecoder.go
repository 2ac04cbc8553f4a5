package frame

// A binary range coder: each bit costs what an adaptive estimate of it says,
// so that the nearly certain costs nearly nothing. Compared with zstd it is
// slower by the byte, and better and lighter for the few hundred bytes of a
// frame: it has no tables to send and keeps no memory between frames.

// chance estimates how likely a bit is 0, in 1/65536. The zero value has seen
// nothing and takes either for as likely.
type chance struct{ zero, seen uint16 }

// settled is after how many bits a chance follows with the slowest step.
const settled = 22

// steps are how far a chance moves towards the bit it sees, in 1/65536: far
// at first, since a frame has few bits to learn from.
var steps = func() (s [settled + 1]uint32) {
	for n := range s {
		s[n] = uint32(655360 / (10*n + 16))
	}
	return s
}()

func (c *chance) estimate() uint32 {
	if c.seen == 0 {
		return 1 << 15
	}
	return uint32(c.zero)
}

// split is the part of width that belongs to 0: never all and never nothing.
func (c *chance) split(width uint32) uint32 {
	return width >> 16 * min(max(c.estimate(), 64), 65536-64)
}

func (c *chance) learn(bit int) {
	p, step := c.estimate(), steps[c.seen]
	if bit == 0 {
		p += (65535 - p) * step >> 16
	} else {
		p -= p * step >> 16
	}
	c.zero = uint16(p)
	if c.seen < settled {
		c.seen++
	}
}

const (
	// narrowest is the width below which a byte is shifted out.
	narrowest = 1 << 24
	// chunk is how many raw bits are coded at once.
	chunk = 16
)

// rangeEncoder writes bits: all that is written so far is a number in
// [low, low+width), whose upper bytes are in out.
type rangeEncoder struct {
	out   []byte
	low   uint64 // 32 bits, and a carry
	width uint32
}

func newRangeEncoder() *rangeEncoder { return &rangeEncoder{width: 1<<32 - 1} }

func (e *rangeEncoder) bit(c *chance, bit int) {
	at := c.split(e.width)
	if bit == 0 {
		e.width = at
	} else {
		e.low += uint64(at)
		e.width -= at
	}
	c.learn(bit)
	e.shift()
}

// raw writes the low n bits of v, each as likely 0 as 1, highest first.
func (e *rangeEncoder) raw(v uint64, n int) {
	for n > 0 {
		k := min(n, chunk)
		n -= k
		e.width >>= k
		e.low += (v >> n & (1<<k - 1)) * uint64(e.width)
		e.shift()
	}
}

func (e *rangeEncoder) shift() {
	if e.low>>32 != 0 {
		for i := len(e.out) - 1; ; i-- {
			if e.out[i]++; e.out[i] != 0 {
				break
			}
		}
		e.low &= 1<<32 - 1
	}
	for e.width < narrowest {
		e.out = append(e.out, byte(e.low>>24))
		e.low = e.low << 8 & (1<<32 - 1)
		e.width <<= 8
	}
}

// finish returns the shortest bytes that mean what was written, to a decoder
// that reads zeros past the end.
func (e *rangeEncoder) finish() []byte {
	for zeros := 24; zeros >= 0; zeros -= 8 {
		mask := uint64(1)<<zeros - 1
		if v := (e.low + mask) &^ mask; v < e.low+uint64(e.width) {
			e.low = v
			break
		}
	}
	out := e.flush()
	n := len(out)
	for n > 0 && out[n-1] == 0 {
		n--
	}
	return out[:n]
}

// flush returns all bytes that the decoder will look at.
func (e *rangeEncoder) flush() []byte {
	for range 4 {
		e.width = narrowest - 1
		e.shift()
	}
	return e.out
}

// rangeDecoder reads what a rangeEncoder wrote. It takes any bytes: what was
// not written by one gives other bits, never an error.
type rangeDecoder struct {
	in    []byte
	at    int // bytes taken, those past the end too
	value uint32
	width uint32
}

func newRangeDecoder(in []byte) *rangeDecoder {
	d := &rangeDecoder{in: in, width: 1<<32 - 1}
	for range 4 {
		d.take()
	}
	return d
}

func (d *rangeDecoder) take() {
	d.value <<= 8
	if d.at < len(d.in) {
		d.value |= uint32(d.in[d.at])
	}
	d.at++
}

func (d *rangeDecoder) bit(c *chance) int {
	at, bit := c.split(d.width), 0
	if d.value < at {
		d.width = at
	} else {
		d.value -= at
		d.width -= at
		bit = 1
	}
	c.learn(bit)
	d.shift()
	return bit
}

func (d *rangeDecoder) raw(n int) (v uint64) {
	for n > 0 {
		k := min(n, chunk)
		n -= k
		d.width >>= k
		part := min(d.value/d.width, 1<<k-1)
		d.value -= part * d.width
		v = v<<k | uint64(part)
		d.shift()
	}
	return v
}

func (d *rangeDecoder) shift() {
	for d.width < narrowest {
		d.take()
		d.width <<= 8
	}
}
