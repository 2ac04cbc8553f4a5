package exposition

import (
	"strconv"
	"strings"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zstd"
)

// Encoding is what an answer is compressed with.
type Encoding uint8

// The encodings, by their HTTP names.
const (
	Identity Encoding = iota
	Gzip
	Zstd
)

var encodings = [...]string{Identity: "identity", Gzip: "gzip", Zstd: "zstd"}

// String is the value of the HTTP header Content-Encoding; identity needs none.
func (e Encoding) String() string { return encodings[e] }

// NegotiateEncoding picks what an HTTP Accept-Encoding header likes best.
// Of those it likes as well gzip comes first, because every scraper takes it
// and scrapers alike share the work. Identity is for who wants nothing else.
func NegotiateEncoding(accept string) Encoding {
	weights := map[string]float64{}
	for _, item := range strings.Split(accept, ",") {
		name, parameters, _ := strings.Cut(item, ";")
		weights[strings.ToLower(strings.TrimSpace(name))] = weightOf(parameters)
	}
	best, most := Identity, weights["identity"]
	for _, e := range []Encoding{Gzip, Zstd} {
		weight, named := weights[e.String()]
		if !named {
			weight = weights["*"]
		}
		if weight > 0 && (weight > most || best == Identity && weight == most) {
			best, most = e, weight
		}
	}
	return best
}

// weightOf reads the parameters of an item, q=0 to q=1; 1 when it says nothing
// and 0 when that makes no sense.
func weightOf(parameters string) float64 {
	for _, p := range strings.Split(parameters, ";") {
		if name, value, _ := strings.Cut(p, "="); strings.EqualFold(strings.TrimSpace(name), "q") {
			q, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil || !(q >= 0 && q <= 1) {
				return 0
			}
			return q
		}
	}
	return 1
}

// encoder compresses pieces so that they can be put one after the other, in
// any order. It is used by one goroutine at a time.
type encoder struct {
	deflate *flate.Writer // nil until it is needed, as it takes a megabyte
	zstd    *zstd.Encoder // the same
	out     appender
}

// appender is a slice to write to.
type appender []byte

// Write implements io.Writer.
func (a *appender) Write(p []byte) (int, error) {
	*a = append(*a, p...)
	return len(p), nil
}

// short is up to where deflate would make a piece hardly smaller.
const short = 256

// encode appends a piece to dst.
func (e *encoder) encode(dst, piece []byte, encoding Encoding) []byte {
	switch {
	case encoding == Gzip && len(piece) <= short:
		return appendStored(dst, piece)
	case encoding == Gzip:
		return e.deflated(dst, piece)
	case encoding == Zstd:
		if e.zstd == nil {
			e.zstd = newZstd()
		}
		return e.zstd.EncodeAll(piece, dst)
	default:
		return append(dst, piece...)
	}
}

// deflated appends a deflate block that neither looks back at what was before
// it nor ends the stream, and ends on a byte.
func (e *encoder) deflated(dst, piece []byte) []byte {
	e.out = dst
	if e.deflate == nil {
		e.deflate = newDeflate()
	}
	e.deflate.Reset(&e.out)
	_, _ = e.deflate.Write(piece) // an appender takes everything
	_ = e.deflate.Flush()
	dst, e.out = e.out, nil
	return dst
}

// appendStored is deflated for what is not worth compressing.
func appendStored(dst, piece []byte) []byte {
	n := len(piece)
	dst = append(dst, 0, byte(n), byte(n>>8), ^byte(n), ^byte(n>>8))
	return append(dst, piece...)
}

func newDeflate() *flate.Writer {
	w, err := flate.NewWriter(nil, flate.BestSpeed)
	if err != nil {
		panic(err) // the level is a constant
	}
	return w
}

func newZstd() *zstd.Encoder {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
		zstd.WithWindowSize(2*sectionBytes), zstd.WithLowerEncoderMem(true))
	if err != nil {
		panic(err) // the options are constants
	}
	return e
}
