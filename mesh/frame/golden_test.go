package frame

import (
	"bytes"
	"crypto/ed25519"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/grapevine-mesh/grapevine/health"
)

var update = flag.Bool("update", false, "write the golden files of the format in force")

// golden is what each format has written. Files of a format that has been
// released are never written again: what was sent once must be read for ever.
var golden = []struct {
	dir    string
	format uint64
}{
	{"testdata/format1", 1},
}

// goldenFile returns what the format has written; that of the format in force
// must be what is written now.
func goldenFile(t *testing.T, dir string, format uint64, name string, written []byte) []byte {
	t.Helper()
	path := filepath.Join(dir, name+".golden")
	if format == Format && *update {
		if err := os.MkdirAll(dir, 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, written, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	held, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if format == Format && !bytes.Equal(held, written) {
		t.Errorf("%s: this program writes other bytes", path)
	}
	return held
}

// TestGolden reads what was written by this format and earlier ones, and
// writes the same bytes in this one.
func TestGolden(t *testing.T) {
	want := testSnapshot()
	next := testSnapshot()
	next.Schema.Families[0].Series = append(next.Schema.Families[0].Series, health.Series{Labels: []health.Label{{Name: "x", Value: "ö"}}})
	base, changed := testSchema(t, want), testSchema(t, next)
	patch, err := changed.Patch(base)
	if err != nil {
		t.Fatal(err)
	}
	sent := Frame{
		Node: want.Node, Version: Version{3, 70_000}, Interval: 5 * time.Second, Uptime: time.Hour + time.Millisecond,
		Schema: base.Hash, Identity: IdentityHash([]byte("identity")),
	}
	sent.Sign("grapevine", testContent(t, want, base), testKey)

	for _, g := range golden {
		file := func(name string, written []byte) []byte { return goldenFile(t, g.dir, g.format, name, written) }
		schema, err := ParseSchema(file("schema", base.Raw), nil, testLimits)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want.Schema, schema.Series); diff != "" {
			t.Errorf("%s: schema (-want +got):\n%s", g.dir, diff)
		}
		after, err := ParseSchema(file("patch", patch), schema, testLimits)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(next.Schema, after.Series); diff != "" {
			t.Errorf("%s: changed schema (-want +got):\n%s", g.dir, diff)
		}
		for name, written := range map[string][]byte{"frame": sent.Raw, "bare": sent.WithoutValues().Raw} {
			f := parse(t, file(name, written))
			if err := f.Verify("grapevine", testKey.Public().(ed25519.PublicKey)); err != nil {
				t.Errorf("%s/%s: %v", g.dir, name, err)
			}
			if f.Format != g.format || f.Version != sent.Version || f.Interval != sent.Interval || f.Uptime != sent.Uptime ||
				f.Schema != sent.Schema || f.Identity != sent.Identity {
				t.Errorf("%s/%s: the head is %+v", g.dir, name, f)
			}
			got, err := f.Snapshot(schema, testLimits, now)
			if err != nil {
				t.Fatal(err)
			}
			said := want
			if f.Bare {
				said.Schema, said.Values = nil, nil
			}
			if diff := cmp.Diff(&said, got); diff != "" {
				t.Errorf("%s/%s: (-want +got):\n%s", g.dir, name, diff)
			}
		}
	}
}

// TestGoldenNative does the same with native histograms, which have files of
// their own: without them the bytes are what they were before there were any.
func TestGoldenNative(t *testing.T) {
	want := nativeSnapshot()
	base := testSchema(t, want)
	sent := signed(t, want, base)
	for _, g := range golden {
		schema, err := ParseSchema(goldenFile(t, g.dir, g.format, "native-schema", base.Raw), nil, testLimits)
		if err != nil {
			t.Fatal(err)
		}
		got, err := parse(t, goldenFile(t, g.dir, g.format, "native-frame", sent.Raw)).Snapshot(schema, testLimits, now)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(&want, got); diff != "" {
			t.Errorf("%s: (-want +got):\n%s", g.dir, diff)
		}
	}
}
