package frame

import (
	"math"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"
)

// Numbers travel as the shortest decimal that reads back the same: a mantissa
// and, if it is not zero, a power of ten. Most samples are counts and short
// decimals, so this takes two to four bytes where a float64 takes eight.
//
//	uvarint: zigzag(mantissa)<<1 | has exponent
//	uvarint: zigzag(exponent), if there is one
//
// A zero mantissa with an exponent stands for what has no decimal.
const (
	codeNegativeZero = 1 + iota
	codeNaN
	codePositiveInf
	codeNegativeInf
)

func appendNumber(b []byte, f float64) []byte {
	mantissa, exponent := decimal(f)
	u := protowire.EncodeZigZag(mantissa) << 1
	if exponent == 0 {
		return protowire.AppendVarint(b, u)
	}
	return protowire.AppendVarint(protowire.AppendVarint(b, u|1), protowire.EncodeZigZag(int64(exponent)))
}

func decimal(f float64) (mantissa int64, exponent int) {
	switch {
	case f == 0:
		if math.Signbit(f) {
			return 0, codeNegativeZero
		}
		return 0, 0
	case f != f:
		return 0, codeNaN
	case math.IsInf(f, 1):
		return 0, codePositiveInf
	case math.IsInf(f, -1):
		return 0, codeNegativeInf
	case f == math.Trunc(f) && math.Abs(f) < 1e15:
		mantissa = int64(f)
	default:
		var buf [32]byte
		mantissa, exponent = parseScientific(strconv.AppendFloat(buf[:0], f, 'e', -1, 64))
	}
	for mantissa%10 == 0 {
		mantissa, exponent = mantissa/10, exponent+1
	}
	// A short run of zeros is cheaper inside the mantissa than as an exponent.
	if exponent > 0 && exponent <= 2 && math.Abs(float64(mantissa)) < 1e14 {
		for ; exponent > 0; exponent-- {
			mantissa *= 10
		}
	}
	return mantissa, exponent
}

// parseScientific reads strconv's form d.dddde±dd.
func parseScientific(s []byte) (mantissa int64, exponent int) {
	negative, afterPoint := false, 0
	point := false
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

// consumeNumber reads one number and returns how many bytes it took.
func consumeNumber(b []byte) (float64, int, error) {
	u, n := protowire.ConsumeVarint(b)
	if n < 0 {
		return 0, 0, errTruncated
	}
	mantissa := protowire.DecodeZigZag(u >> 1)
	if u&1 == 0 {
		return float64(mantissa), n, nil
	}
	z, m := protowire.ConsumeVarint(b[n:])
	if m < 0 {
		return 0, 0, errTruncated
	}
	return compose(mantissa, protowire.DecodeZigZag(z)), n + m, nil
}

func compose(mantissa, exponent int64) float64 {
	if mantissa == 0 {
		switch exponent {
		case codeNegativeZero:
			return math.Copysign(0, -1)
		case codePositiveInf:
			return math.Inf(1)
		case codeNegativeInf:
			return math.Inf(-1)
		default:
			return math.NaN()
		}
	}
	// Both factors are exact here, so one rounding gives the nearest float.
	if -22 <= exponent && exponent <= 22 && -1<<53 < mantissa && mantissa < 1<<53 {
		if exponent < 0 {
			return float64(mantissa) / powersOfTen[-exponent]
		}
		return float64(mantissa) * powersOfTen[exponent]
	}
	exponent = max(-400, min(exponent, 400))
	var buf [40]byte
	s := strconv.AppendInt(buf[:0], mantissa, 10)
	s = strconv.AppendInt(append(s, 'e'), exponent, 10)
	f, _ := strconv.ParseFloat(string(s), 64) // out of range reads as infinity, which is what it is
	return f
}

var powersOfTen = func() (p [23]float64) {
	p[0] = 1
	for i := 1; i < len(p); i++ {
		p[i] = p[i-1] * 10
	}
	return p
}()
