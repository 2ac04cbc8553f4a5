package frame

import (
	"math"
	"math/bits"
	"strconv"
)

// A number is coded as what it most likely was when a person or a program
// wrote it down, a decimal with a small mantissa: counts, milliseconds,
// nanoseconds. What is no such decimal is a fraction in powers of two, or, as
// infinity and what is not a number, its 64 bits. All come back bit by bit.

// form says how a number is coded: as a decimal with this power of ten, or
// one of the others.
type form int8

const (
	minExponent, maxExponent = -18, 9 // of a decimal

	binary form = maxExponent + 1 // mantissa times a power of two
	exact  form = maxExponent + 2 // 64 bits
	forms       = 32              // room for more
)

// split is a float64 taken apart.
type split struct {
	form     form
	mantissa int64 // of a decimal or binary
	power    int   // of two, of a binary
	// ulps is how many float64 lie between the decimal and the number: sums
	// of decimals are off by a few.
	ulps int64
}

// maxMantissa bounds those of decimals: up to it they are floats themselves,
// so that a division or a product by a power of ten rounds once.
const maxMantissa = 1 << 53

func splitNumber(f float64) split {
	switch {
	case f == 0 && !math.Signbit(f):
		return split{}
	case f == 0 || math.IsNaN(f) || math.IsInf(f, 0):
		return split{form: exact}
	case f == math.Trunc(f) && math.Abs(f) < maxMantissa:
		return shorten(split{mantissa: int64(f)})
	}
	var buf [32]byte
	mantissa, exponent := parseScientific(strconv.AppendFloat(buf[:0], f, 'e', -1, 64))
	decimal := split{form: form(exponent), mantissa: mantissa}
	fits := magnitude(mantissa) < maxMantissa && exponent >= minExponent && exponent <= maxExponent
	if fits && decimal.bits() < longDecimal {
		return decimal
	}
	if s, ok := nearDecimal(f, mantissa, exponent); ok {
		return s
	}
	if s := splitBinary(f); !fits || s.bits()+powerBits < decimal.bits() {
		return s // a ratio of two counts, perhaps of a power of two
	}
	return decimal
}

const (
	longDecimal = 40 // bits of a mantissa from which another form may be shorter
	powerBits   = 10 // about what a power of two costs
)

func (s split) bits() int { return bits.Len64(magnitude(s.mantissa)) }

// shorten takes three and more zeros off a whole number: fewer are cheaper
// than another exponent.
func shorten(s split) split {
	short := s
	for short.mantissa%10 == 0 && short.form < maxExponent {
		short.mantissa /= 10
		short.form++
	}
	if short.form >= 3 {
		return short
	}
	return s
}

// nearDecimal looks for a short decimal of which f is off by a rounding
// error, as the sum of measurements is.
func nearDecimal(f float64, mantissa int64, exponent int) (split, bool) {
	const maxUlps = 1 << 12
	for unit := int64(100); unit <= 1_000_000; unit *= 10 {
		rounded := (mantissa + sign(mantissa)*unit/2) / unit
		s := split{mantissa: rounded, form: 0}
		e := exponent + digits(unit)
		for s.mantissa%10 == 0 && s.mantissa != 0 {
			s.mantissa, e = s.mantissa/10, e+1
		}
		if s.mantissa == 0 || e < minExponent || e > maxExponent || s.bits() > longDecimal {
			continue
		}
		s.form = form(e)
		s.ulps = int64(math.Float64bits(f) - math.Float64bits(s.join()))
		if s.ulps > -maxUlps && s.ulps < maxUlps {
			return s, true
		}
	}
	return split{}, false
}

func sign(m int64) int64 {
	if m < 0 {
		return -1
	}
	return 1
}

func magnitude(m int64) uint64 { return uint64(max(m, -m)) }

func digits(unit int64) (n int) {
	for ; unit > 1; unit /= 10 {
		n++
	}
	return n
}

func splitBinary(f float64) split {
	fraction, power := math.Frexp(f)
	mantissa := int64(math.Ldexp(fraction, 53))
	zeros := bits.TrailingZeros64(uint64(mantissa))
	return split{form: binary, mantissa: mantissa >> zeros, power: power - 53 + zeros}
}

// join is the number that was split, unless its form is exact.
func (s split) join() float64 {
	if s.form == binary {
		return math.Ldexp(float64(s.mantissa), s.power)
	}
	f := float64(s.mantissa)
	if s.form < 0 {
		f /= powersOfTen[-s.form]
	} else {
		f *= powersOfTen[s.form]
	}
	if s.ulps != 0 {
		f = math.Float64frombits(math.Float64bits(f) + uint64(s.ulps))
	}
	return f
}

var powersOfTen = [...]float64{1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18}

// parseScientific reads strconv's form d.dddde±dd: at most 17 digits.
func parseScientific(s []byte) (mantissa int64, exponent int) {
	negative, point, afterPoint := false, false, 0
	for i, c := range s {
		switch c {
		case '-':
			negative = true
		case '.':
			point = true
		case 'e':
			exponent, _ = strconv.Atoi(string(s[i+1:]))
			if negative {
				mantissa = -mantissa
			}
			return mantissa, exponent - afterPoint
		default:
			mantissa = mantissa*10 + int64(c-'0')
			if point {
				afterPoint++
			}
		}
	}
	return mantissa, exponent
}

// numbers is what has been learnt of some kind of number.
type numbers struct {
	usual  form // of the last one
	flags  [5]chance
	form   [forms]chance
	ulps   sizes
	length sizes
	zeros  [64]chance // by their count: one more low bit of the mantissa is 0
	power  sizes
}

// The flags of a number.
const (
	unusual = iota // it has not the form of the last one
	near           // it is some ulps off its decimal
	negative
	negativeUlps
	negativePower
)

// chances lists all that is learnt.
func (n *numbers) chances() [][]chance {
	return [][]chance{n.flags[:], n.form[:], n.ulps[:], n.length[:], n.zeros[:], n.power[:]}
}

// number codes f. expected is what it is likely to be close to; 0 if nothing
// is known.
func (n *numbers) number(c *coder, f, expected float64) float64 {
	var s split
	if !c.reading() {
		s = splitNumber(f)
	}
	if c.flag(&n.flags[unusual], s.form != n.usual) {
		n.usual = form(c.tree(n.form[:], int(s.form)-minExponent)) + minExponent
	}
	s.form = n.usual
	switch {
	case s.form == exact || s.form > exact: // a form that only later versions know reads as these bits
		high := c.raw(math.Float64bits(f)>>32, 32)
		return math.Float64frombits(high<<32 | c.raw(math.Float64bits(f)&(1<<32-1), 32))
	case s.form == binary:
		s.mantissa = n.signed(c, s.mantissa)
		s.power = int(clampSigned(c, &n.flags[negativePower], &n.power, int64(s.power)))
		return s.join()
	}
	offset := s.offset(expected)
	s.mantissa = n.signed(c, s.mantissa-offset) + offset
	if c.flag(&n.flags[near], s.ulps != 0) {
		s.ulps = clampSigned(c, &n.flags[negativeUlps], &n.ulps, s.ulps)
	}
	return s.join()
}

// offset is expected as a mantissa of the same form as s.
func (s split) offset(expected float64) int64 {
	if expected == 0 {
		return 0
	}
	if s.form < 0 {
		expected *= powersOfTen[-s.form]
	} else {
		expected /= powersOfTen[s.form]
	}
	if expected != expected || math.Abs(expected) >= maxMantissa {
		return 0
	}
	return int64(expected)
}

// signed codes a mantissa: its length, its low bits up to the lowest 1, and
// what lies between. Sizes of memory end in many zeros.
func (n *numbers) signed(c *coder, m int64) int64 {
	a := magnitude(m)
	length := c.tree(n.length[:], bits.Len64(a))
	if length == 0 {
		return 0
	}
	zeros := 0
	for zeros < length-1 && c.flag(&n.zeros[zeros], a>>zeros&1 == 0) {
		zeros++
	}
	if between := length - zeros - 2; between < 0 {
		a = 1 << zeros
	} else {
		a = 1<<(length-1) | c.raw(a>>(zeros+1)&(1<<between-1), between)<<(zeros+1) | 1<<zeros
	}
	if c.flag(&n.flags[negative], m < 0) {
		return -int64(a)
	}
	return int64(a)
}

func clampSigned(c *coder, negative *chance, p *sizes, v int64) int64 {
	a := int64(c.size(p, magnitude(v)))
	if c.flag(negative, v < 0) {
		return -a
	}
	return a
}
