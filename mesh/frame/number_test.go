package frame

import (
	"math"
	"math/rand/v2"
	"testing"
)

func codeNumber(t testing.TB, f, expected float64) (got float64, bytes int) {
	w := newWriter()
	new(numbers).number(w, f, expected)
	b := w.bytes()
	r := newReader(b)
	got = new(numbers).number(r, 0, expected)
	if !r.readAll() {
		t.Errorf("%v leaves %d of %d bytes", f, len(b)-r.dec.at, len(b))
	}
	return got, len(b)
}

func TestNumbersRoundTrip(t *testing.T) {
	for _, f := range []float64{
		0, math.Copysign(0, -1), 1, -1, 100, 1000, 65000, 0.1, 0.005, math.MaxFloat64, math.SmallestNonzeroFloat64, 2.2250738585072014e-308,
		-2.5e-7, 1e15, 1e22, 1e23, 123456789012345678, 1<<53 - 1, 1 << 53, 1<<53 + 2, 1 << 63, 1 << 64, -1 << 63,
		1763696752.123, math.Inf(1), math.Inf(-1), math.NaN(), math.Float64frombits(0xfff8000000000123), math.Pi, 1.0 / 3,
		0.1 + 0.2, 0.0016035669999999998, 0.001728057861328125, 1.7952553643795195e+09,
	} {
		for _, expected := range []float64{0, 1, f, -f, 1.795e9, math.Inf(1), math.NaN()} {
			if got, _ := codeNumber(t, f, expected); math.Float64bits(got) != math.Float64bits(f) {
				t.Errorf("%v came back as %v where %v was expected", f, got, expected)
			}
		}
	}
}

func TestNumbersAreShort(t *testing.T) {
	for f, want := range map[float64]int{
		0: 1, 7: 2, 1000: 3, 0.5: 2, 1e9: 2, 0.000446: 4, 1 << 64: 4,
		0.0016035669999999998: 6, // 1603567 nanoseconds, and a rounding error
		0.001728057861328125:  4, // 453/262144
	} {
		if _, got := codeNumber(t, f, 0); got > want {
			t.Errorf("%v takes %d bytes, want at most %d", f, got, want)
		}
	}
	if _, got := codeNumber(t, 1.795255345761e+09, 1.795255345e+09); got > 4 {
		t.Errorf("a timestamp beside another takes %d bytes", got)
	}
}

func TestAnyNumberRoundTrips(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		f := math.Float64frombits(random.Uint64())
		if random.IntN(2) == 0 {
			f = float64(random.Int64N(1e6)) * math.Pow10(random.IntN(30)-20) * (1 + float64(random.IntN(3)-1)*1e-16)
		}
		expected := math.Float64frombits(random.Uint64())
		if got, _ := codeNumber(t, f, expected); math.Float64bits(got) != math.Float64bits(f) {
			t.Fatalf("%x came back as %x where %v was expected", math.Float64bits(f), math.Float64bits(got), expected)
		}
	}
}

func FuzzNumbers(f *testing.F) {
	for _, v := range []float64{0, 1.5, -1e-9, math.Inf(1), 1e300, 0.0016035669999999998} {
		f.Add(math.Float64bits(v), uint64(0))
	}
	f.Fuzz(func(t *testing.T, bits, expected uint64) {
		if got, _ := codeNumber(t, math.Float64frombits(bits), math.Float64frombits(expected)); math.Float64bits(got) != bits {
			t.Errorf("%x came back as %x", bits, math.Float64bits(got))
		}
	})
}
