package fleet

import (
	"math"
	"math/rand/v2"
)

// began is when every fleet began, in seconds since 1970: values must not
// depend on when a program was started.
const began = 1_795_000_000

// first makes the values of a node that has been up for a while.
func (l *layout) first(rng *rand.Rand) []float64 {
	var values []float64
	for i := range l.families {
		f := &l.families[i]
		for range f.series {
			switch f.behaviour {
			case flag:
				values = append(values, 1)
			case limit:
				values = append(values, math.Ldexp(1, 11+rng.IntN(30)))
			case level:
				values = append(values, float64(rng.Int64N(1<<36)))
			case duration:
				values = append(values, someDuration(rng))
			case stamp:
				values = append(values, began+float64(rng.IntN(15_000))/1e3)
			case count:
				values = append(values, float64(rng.IntN(1<<(4+rng.IntN(24)))))
			case busy:
				values = append(values, math.Round(rng.ExpFloat64()*1e6)/1e3)
			case latencies:
				at := len(values)
				values = append(values, make([]float64, len(latencyBounds)+2)...)
				for range rng.IntN(300) {
					observe(values[at:], someDuration(rng))
				}
			}
		}
	}
	return values
}

// next makes the values that follow on old, some 15 s later, about half of
// them other ones. It leaves old alone.
func (l *layout) next(old []float64, rng *rand.Rand) []float64 {
	values := make([]float64, len(old))
	copy(values, old)
	at := 0
	for i := range l.families {
		f := &l.families[i]
		for range f.series {
			v := &values[at]
			at++
			switch f.behaviour {
			case flag:
				*v = 1
				if rng.IntN(200) == 0 {
					*v = 0
				}
			case limit:
			case level:
				*v = max(0, *v+float64((rng.IntN(2001)-1000)*4096))
			case duration:
				*v = someDuration(rng)
			case stamp:
				*v = math.Round((*v+15)*1e3+float64(rng.IntN(21)-10)) / 1e3
			case count:
				*v += float64(rng.IntN(50))
			case busy:
				*v = math.Round(*v*1e3+float64(rng.IntN(2000))) / 1e3
			case latencies:
				at += len(latencyBounds) + 1
				observe(values[at-len(latencyBounds)-2:at], someDuration(rng))
			}
		}
	}
	return values
}

// someDuration is in seconds, most of them some milliseconds.
func someDuration(rng *rand.Rand) float64 {
	return math.Round(2e4*math.Exp(rng.Float64()*10.8)) / 1e9
}

// observe counts x in a histogram: cumulative buckets, sum, count.
func observe(h []float64, x float64) {
	n := len(latencyBounds)
	for i, bound := range latencyBounds {
		if x <= bound {
			h[i]++
		}
	}
	h[n] += x
	h[n+1]++
}
