package exposition

import (
	"math"
	"math/rand/v2"
	"strconv"
	"testing"
)

// Values are written as strconv writes the shortest that is read as the same,
// with an exponent or without, whatever way they take.
func TestValuesAreTheShortest(t *testing.T) {
	t.Parallel()
	check := func(v float64) {
		t.Helper()
		got := string(appendValue(nil, v))
		if got != strconv.FormatFloat(v, 'g', -1, 64) && got != strconv.FormatFloat(v, 'f', -1, 64) {
			t.Errorf("%x is written as %s", v, got)
		}
	}
	for _, v := range []float64{
		0, 1, 0.1, 0.3, 0.1 + 0.2, 1e-4, 0.00012, 0.000123456789, 0.0001234567891, 9.9e-5, 1e-9, 123.456, 999_999.999_999_999, 999_999.999_999_999_9,
		1e6, 1_000_000.5, 1_000_000.0005, 1_763_740_800.123, 1_763_740_800.1234, 999_999_999_999.999, 1e12, 1e12 + 0.5, 1e15 + 0.5, 1e21, 1e300,
		math.SmallestNonzeroFloat64, math.MaxFloat64,
	} {
		for _, near := range []float64{v, math.Nextafter(v, math.Inf(+1)), math.Nextafter(v, 0)} {
			check(near)
			check(-near)
		}
	}
	check(math.Copysign(0, -1))
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200_000 {
		check(math.Float64frombits(rng.Uint64()&^(0x7ff<<52) | uint64(990+rng.IntN(80))<<52)) // from 1e-10 to 1e14
		check(float64(rng.Int64N(1<<rng.IntN(60)+1)) / 1e9)
		check(float64(rng.Int64N(1<<rng.IntN(60)+1)) / 1e3)
	}
}
