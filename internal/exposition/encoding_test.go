package exposition

import (
	"bytes"
	"compress/gzip"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"github.com/grapevine-mesh/grapevine/mesh"
)

// decoded undoes an encoding.
func decoded(t testing.TB, e Encoding, p string) string {
	t.Helper()
	r := io.Reader(bytes.NewReader([]byte(p)))
	switch e {
	case Gzip:
		z, err := gzip.NewReader(r)
		if err != nil {
			t.Fatal(err)
		}
		z.Multistream(false) // some clients stop after the first member
		r = z
	case Zstd:
		z, err := zstd.NewReader(r)
		if err != nil {
			t.Fatal(err)
		}
		defer z.Close()
		r = z
	}
	plain, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("%v: %v", e, err)
	}
	return string(plain)
}

// Whatever is asked for, and whether or not it was rendered before, says the
// same when it is unpacked.
func TestEncodingsSayTheSame(t *testing.T) {
	large := largeView(100, 200)
	foreign := largeView(40, 20)
	for i := range foreign.Nodes { // a family behind those of the answering node
		s := *foreign.Nodes[i].Snapshot
		schema := *s.Schema
		schema.Families = append(slices.Clone(schema.Families), gauge("zone_temperature_celsius", "", series()))
		s.Schema, s.Values = &schema, append(slices.Clone(s.Values), 20)
		foreign.Nodes[i].Snapshot = &s
	}
	for _, tc := range []struct {
		name string
		view mesh.View
		opts Options
	}{
		{"nobody", mesh.View{}, Options{}},
		{"small", clusterView(), Options{}},
		{"large", large, Options{}},
		{"foreign families", foreign, Options{}},
		{"one node", large, Options{Nodes: []string{"node-0007"}}},
		{"one check", large, Options{Checks: []string{"bench-003"}}},
		{"shard", large, Options{Shard: Shard{Index: 1, Of: 3}}},
	} {
		for f := range Format(len(formats)) {
			r, o := newRenderer(), tc.opts
			o.Format = f
			next := changed(tc.view)
			if text := render(t, newRenderer(), tc.view, o); f == OpenMetrics && !strings.HasSuffix(text, "\n# EOF\n") && text != "# EOF\n" {
				t.Errorf("%s: OpenMetrics does not end with # EOF", tc.name)
			}
			first, second := render(t, newRenderer(), tc.view, o), render(t, newRenderer(), next, o)
			for e := range Encoding(len(encodings)) {
				o.Encoding = e
				for i, v := range []mesh.View{tc.view, tc.view, next, tc.view} {
					want := first
					if i == 2 {
						want = second
					}
					if diff := cmp.Diff(want, decoded(t, e, render(t, r, v, o))); diff != "" {
						t.Fatalf("%s, %v, %v, rendering %d (-plain +unpacked):\n%.2000s", tc.name, f.ContentType(), e, i, diff)
					}
				}
			}
		}
	}
}

func TestChecksumOfParts(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	whole := make([]byte, 300_000)
	for i := range whole {
		whole[i] = byte(rng.Uint32())
	}
	for range 200 {
		at := rng.IntN(len(whole))
		got := checksumOf(whole[:at]).then(checksumOf(whole[at:]))
		if want := (checksum{crc32.ChecksumIEEE(whole), uint64(len(whole))}); got != want {
			t.Fatalf("split at %d: %x, want %x", at, got, want)
		}
	}
	// Five gigabytes, as the length in bits is more than 32 bits can say.
	zeros := checksumOf(make([]byte, 1<<20))
	long, want := checksum{}, crc32.NewIEEE()
	for range 5 << 10 {
		long = long.then(zeros)
	}
	if !testing.Short() {
		block := make([]byte, 1<<20)
		for range 5 << 10 {
			_, _ = want.Write(block)
		}
		half := checksum{}
		for range 5 << 9 {
			half = half.then(zeros)
		}
		if long.crc != want.Sum32() || half.then(half) != long {
			t.Errorf("five gigabytes: %x, in two halves %x, want %x", long.crc, half.then(half).crc, want.Sum32())
		}
	}
}

func TestNegotiateEncoding(t *testing.T) {
	for accept, want := range map[string]Encoding{
		"":                              Identity,
		"gzip":                          Gzip,
		"GZIP":                          Gzip,
		"gzip, deflate, br, zstd":       Gzip,
		"deflate, br":                   Identity,
		"zstd":                          Zstd,
		"zstd;q=1.0, gzip;q=0.9":        Zstd,
		"gzip;q=0":                      Identity,
		"gzip;q=0, zstd;q=0.1":          Zstd,
		"gzip;q=0.5, identity":          Identity,
		"gzip;q=0.5, identity;q=0.5":    Gzip,
		"*":                             Gzip,
		"*;q=0":                         Identity,
		"identity, *;q=0.1":             Identity,
		"gzip;q=x, zstd;q=-1, *;q=NaN":  Identity,
		"gzip ; Q=0.8 , identity;q=0.1": Gzip,
		", ,;;q,gzip;q=1;x=y":           Gzip,
	} {
		if got := NegotiateEncoding(accept); got != want {
			t.Errorf("%q: %v, want %v", accept, got, want)
		}
	}
}
