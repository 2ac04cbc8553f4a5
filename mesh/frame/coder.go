package frame

import "math/bits"

// coder writes or reads bits. What codes a thing is written once, takes the
// thing and returns it: as it is when writing, as it was when reading.
type coder struct {
	enc *rangeEncoder // nil when reading
	dec *rangeDecoder
}

func newWriter() *coder          { return &coder{enc: newRangeEncoder()} }
func newReader(in []byte) *coder { return &coder{dec: newRangeDecoder(in)} }

func (c *coder) reading() bool { return c.enc == nil }
func (c *coder) bytes() []byte { return c.enc.finish() }

// readAll reports whether nothing is left to read. What is left is for
// somebody who expects more of it: a sign that the two ends disagree.
func (c *coder) readAll() bool { return c.dec.at >= len(c.dec.in) }

func (c *coder) bit(p *chance, bit int) int {
	if c.enc == nil {
		return c.dec.bit(p)
	}
	c.enc.bit(p, bit)
	return bit
}

func (c *coder) flag(p *chance, v bool) bool {
	bit := 0
	if v {
		bit = 1
	}
	return c.bit(p, bit) == 1
}

// raw codes the low n bits of v, each as likely 0 as 1.
func (c *coder) raw(v uint64, n int) uint64 {
	if c.enc == nil {
		return c.dec.raw(n)
	}
	c.enc.raw(v, n)
	return v
}

// tree codes v < len(p), a power of two, bit by bit, highest first.
func (c *coder) tree(p []chance, v int) int {
	node := 1
	for i := bits.Len(uint(len(p))) - 2; i >= 0; i-- {
		node = node<<1 | c.bit(&p[node], v>>i&1)
	}
	return node - len(p)
}

// sizes is what has been learnt of the sizes of some kind of whole number.
type sizes [64]chance

// size codes v < 1<<63 as its length in bits and what follows its first bit.
func (c *coder) size(p *sizes, v uint64) uint64 {
	n := c.tree(p[:], bits.Len64(v))
	if n < 2 {
		return uint64(n)
	}
	return 1<<(n-1) | c.raw(v&(1<<(n-1)-1), n-1)
}
