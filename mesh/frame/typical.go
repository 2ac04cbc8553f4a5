package frame

import (
	_ "embed"
	"strconv"
	"strings"
)

// typical is what a node may say: a family a line, its kind and its values.
// Encoder and decoder begin each frame with what this teaches, so that the
// first numbers of a frame are not paid for as if nobody had ever seen one. It
// is part of the format: another text would be another format.
//
//go:embed typical.txt
var typical string

// taught is the estimates of a frame's values before the first.
var taught = teach()

// remembered is how much of the learning stays: a node may not be typical.
const remembered = 8

func teach() (v valueCoder) {
	names := map[string]kind{
		"gauge": kindGauge, "counter": kindCounter, "bytes": kindBytes, "seconds": kindSeconds, "timestamp": kindTimestamp,
	}
	v.coder = newWriter()
	for line := range strings.Lines(typical) {
		words := strings.Fields(line)
		values := make([]float64, len(words)-1)
		for i, word := range words[1:] {
			values[i], _ = strconv.ParseFloat(word, 64) // they are numbers: a test holds it
		}
		if words[0] == "histogram" {
			v.histogram(values)
		} else {
			v.family(names[words[0]], values)
		}
	}
	v.eachChance(func(c *chance) { c.seen = min(c.seen, remembered) })
	v.coder, v.latest = nil, 0
	return v
}

func newValueCoder(c *coder) *valueCoder {
	v := taught
	v.coder = c
	return &v
}

func (v *valueCoder) eachChance(do func(*chance)) {
	for k := range v.of {
		for _, some := range v.of[k].chances() {
			for i := range some {
				do(&some[i])
			}
		}
		for i := range v.repeated[k] {
			do(&v.repeated[k][i])
		}
	}
}
