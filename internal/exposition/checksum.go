package exposition

import "hash/crc32"

// checksum is the CRC-32 that gzip has, of so many bytes.
type checksum struct {
	crc  uint32
	size uint64
}

func checksumOf(p []byte) checksum { return checksum{crc32.ChecksumIEEE(p), uint64(len(p))} }

// then returns the checksum of what c is of followed by what d is of, without
// having either. A CRC is a polynomial modulo that of crc32.IEEE: what is
// followed by n bytes is multiplied by x^8n.
func (c checksum) then(d checksum) checksum {
	shift := uint32(1) << 31 // x^0: the bits stand in reverse
	for i, n := 0, d.size; n > 0; i, n = i+1, n>>1 {
		if n&1 != 0 {
			shift = multiplied(shift, powers[i%len(powers)])
		}
	}
	return checksum{multiplied(c.crc, shift) ^ d.crc, c.size + d.size}
}

// powers[i] is x^(8*2^i); x^(2^32) is x again, and so they repeat.
var powers = func() (p [32]uint32) {
	p[0] = 1 << (31 - 8)
	for i := 1; i < len(p); i++ {
		p[i] = multiplied(p[i-1], p[i-1])
	}
	return p
}()

// multiplied is the product of two polynomials modulo that of crc32.IEEE.
func multiplied(a, b uint32) uint32 {
	product := uint32(0)
	for ; a != 0; a <<= 1 {
		if a&(1<<31) != 0 {
			product ^= b
		}
		if b&1 != 0 {
			b = b>>1 ^ crc32.IEEE
		} else {
			b >>= 1
		}
	}
	return product
}
