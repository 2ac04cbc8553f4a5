package frame

import (
	"errors"
	"fmt"
)

// Schemas are long texts that repeat themselves, and each other: they are
// coded as copies from a base and from what came before, and as letters. With
// the old schema as base, a new one takes little more than what is new in it.

// textCoder codes a text as copies and letters.
type textCoder struct {
	*coder
	copied  [2]chance // whether a copy comes next, by whether one came before
	source  [4]chance // where from
	far     sizes     // how far back, when from anywhere
	length  sizes
	letters [256][256]chance // by the letter before

	end   int // where the last copy ended in its source
	since int // letters since
}

// The sources of a copy.
const (
	aligned = iota // as many letters after the last copy as were written since
	resumed        // where the last copy ended: what was written since is new
	anywhere
)

// minCopy is the shortest copy from anywhere that is cheaper than letters.
const minCopy = 4

// writeText codes text against base, which the reader has.
func writeText(base, text []byte) []byte {
	t := &textCoder{coder: newWriter()}
	t.size(&t.length, uint64(len(text)))
	t.length = sizes{}
	all := append(append(make([]byte, 0, len(base)+len(text)), base...), text...)
	seen := newOccurrences(all)
	seen.upTo(len(base))
	after := 0
	for at := len(base); at < len(all); {
		kind, from, length := t.longest(seen, all, at)
		if length == 0 {
			t.flag(&t.copied[after], false)
			t.letter(all[:at], int(all[at]))
			at, after = at+1, 0
		} else {
			t.flag(&t.copied[after], true)
			t.tree(t.source[:], kind)
			if kind == anywhere {
				t.size(&t.far, uint64(at-from))
			}
			t.size(&t.length, uint64(length))
			at, after = at+length, 1
			t.end, t.since = from+length, 0
		}
		seen.upTo(at)
	}
	return t.enc.flush()
}

// longest finds the copy to make at a place; length is 0 if none pays.
func (t *textCoder) longest(seen *occurrences, all []byte, at int) (kind, from, length int) {
	kind = anywhere
	if from, length = seen.longest(at); length < minCopy {
		length = 0
	}
	for k, src := range t.near() {
		if src >= at {
			continue
		}
		// A distance costs about two letters.
		if n := common(all, src, at); n >= 2 && n+2 >= length {
			kind, from, length = k, src, n
		}
	}
	return kind, from, length
}

// near gives the sources that need no distance.
func (t *textCoder) near() [2]int { return [...]int{aligned: t.end + t.since, resumed: t.end} }

func (t *textCoder) letter(before []byte, letter int) byte {
	last := byte(0)
	if len(before) > 0 {
		last = before[len(before)-1]
	}
	t.since++
	return byte(t.tree(t.letters[last][:], letter))
}

var errText = errors.New("a copy from nowhere in a compressed text")

// readText reads what writeText wrote against the same base.
func readText(base, coded []byte, limit int) ([]byte, error) {
	t := &textCoder{coder: newReader(coded)}
	size := t.size(&t.length, 0)
	if size > uint64(limit) {
		return nil, fmt.Errorf("text of %d bytes, allowed are %d", size, limit)
	}
	t.length = sizes{}
	all := append([]byte(nil), base...)
	end := len(base) + int(size)
	after := 0
	for len(all) < end {
		if t.dec.at > len(coded) { // else a few bytes would keep a reader busy for long
			return nil, errors.New("a compressed text ends early")
		}
		if !t.flag(&t.copied[after], false) {
			all, after = append(all, t.letter(all, 0)), 0
			continue
		}
		var from uint64
		if kind := t.tree(t.source[:], 0); kind < anywhere {
			from = uint64(t.near()[kind])
		} else {
			from = uint64(len(all)) - t.size(&t.far, 0) // past zero it wraps to far too large
		}
		length := t.size(&t.length, 0)
		if from >= uint64(len(all)) || length == 0 || length > uint64(end-len(all)) {
			return nil, errText
		}
		for i := range int(length) { // a copy may run into itself
			all = append(all, all[int(from)+i])
		}
		t.end, t.since, after = int(from)+int(length), 0, 1
	}
	if !t.readAll() {
		return nil, errors.New("more follows the end of a compressed text")
	}
	return all[len(base):], nil
}

// occurrences finds earlier places of a text that begin like a later one.
type occurrences struct {
	all    []byte
	newest map[uint32]int32 // by the first four bytes
	before []int32          // the next older place with the same four bytes, or -1
}

func newOccurrences(all []byte) *occurrences {
	return &occurrences{all: all, newest: map[uint32]int32{}, before: make([]int32, 0, len(all))}
}

// upTo enters all places before end.
func (o *occurrences) upTo(end int) {
	for i := len(o.before); i < end; i++ {
		o.before = append(o.before, -1)
		if i+4 > len(o.all) {
			continue
		}
		key := four(o.all[i:])
		if older, ok := o.newest[key]; ok {
			o.before[i] = older
		}
		o.newest[key] = int32(i)
	}
}

func four(b []byte) uint32 {
	return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24
}

// longest looks through the newest places that begin as at does.
func (o *occurrences) longest(at int) (from, length int) {
	if at+4 > len(o.all) {
		return 0, 0
	}
	src, ok := o.newest[four(o.all[at:])]
	for tries := 64; ok && src >= 0 && tries > 0; tries-- {
		if n := common(o.all, int(src), at); n > length {
			from, length = int(src), n
		}
		src = o.before[src]
	}
	return from, length
}

// common is for how long the text at two places is the same.
func common(all []byte, a, b int) int {
	n := 0
	for b+n < len(all) && all[a+n] == all[b+n] {
		n++
	}
	return n
}
