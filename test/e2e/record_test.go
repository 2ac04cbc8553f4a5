package e2e

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/go-kit/log"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/mesh"
	"github.com/grapevine-mesh/grapevine/test/real"
)

var (
	recordTo      = flag.String("record", "", "file to which TestRecord writes what an agent says")
	recordWithout = flag.String("record.without", "$^", "families that are left out, as a regular expression")
)

// recording is what one node said, oldest first: the schema of all its
// snapshots, and of each the values, as text, and the verdicts.
type recording struct {
	Schema    *health.Schema
	Snapshots []recorded
}

type recorded struct {
	Made    time.Time
	Values  []string
	Results []health.Result
}

// TestRecord writes what a living agent beside a real etcd says, 15 s apart,
// for the measurements of package frame. That package's own is of 144 series,
// of which 56 % change: what an agent says of itself, its mesh and its disk,
// with the verdicts of six checks.
//
//	go test ./test/e2e -run TestRecord -record=$PWD/mesh/frame/testdata/recorded.json.gz \
//	    -record.without='^grapevine_(build|check_enabled|clock|config|dns|echo|etcd|exposition|host|node|system|web|mesh_(epoch|partition|peer|shed))'
func TestRecord(t *testing.T) {
	if *recordTo == "" {
		t.Skip("-record does not say where to")
	}
	without, err := regexp.Compile(*recordWithout)
	if err != nil {
		t.Fatal(err)
	}
	etcd := real.NeedEtcd(t, real.EtcdOptions{})
	m := etcd.Members[0]
	config := fmt.Sprintf("checks:\n  etcd: {endpoints: [%q]}\n  disk: {paths: [%q]}\n", m.ClientURL, m.DataDir)
	agents := []*real.Agent{}
	var join []string
	for i := range 3 {
		a := real.NeedAgent(t, real.AgentOptions{
			Name: fmt.Sprintf("node-%d", i+1), Config: config, Join: join, Checks: []string{"clock", "disk", "dns", "etcd", "host-network", "system"},
		})
		agents, join = append(agents, a), []string{a.Gossip}
	}
	listener := listen(t, join)

	var r recording
	last := uint64(0)
	for deadline := time.Now().Add(5 * time.Minute); len(r.Snapshots) < 5; time.Sleep(500 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d snapshots of one schema within 5 minutes", len(r.Snapshots))
		}
		view := listener.View()
		n, ok := view.Node(agents[0].Name)
		if !ok || n.Snapshot == nil || n.Version < last+3 { // a frame each 5 s
			continue
		}
		if n.Snapshot.Schema != r.Schema {
			r = recording{Schema: n.Snapshot.Schema} // it has not settled yet
		}
		last = n.Version
		at := recorded{Made: time.Now().Add(-n.Age).Round(0), Results: n.Snapshot.Results}
		values := n.Snapshot.Values
		for _, f := range r.Schema.Families {
			if !without.MatchString(f.Name) {
				for _, v := range values[:f.Width()] {
					at.Values = append(at.Values, strconv.FormatFloat(v, 'g', -1, 64))
				}
			}
			values = values[f.Width():]
		}
		r.Snapshots = append(r.Snapshots, at)
	}
	schema := *r.Schema
	r.Schema = &schema
	r.Schema.Families = slices.DeleteFunc(slices.Clone(r.Schema.Families), func(f health.Family) bool { return without.MatchString(f.Name) })
	var b bytes.Buffer
	z, _ := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err = json.NewEncoder(z).Encode(r); err != nil {
		t.Fatal(err)
	}
	if err = z.Close(); err != nil {
		t.Fatal(err)
	}
	if err = os.WriteFile(*recordTo, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d snapshots, %d series, %d values, %d verdicts, %d bytes", len(r.Snapshots), r.Schema.Series(), r.Schema.Width(), len(r.Snapshots[0].Results), b.Len())
}

// listen joins the mesh without a word of its own.
func listen(t *testing.T, join []string) *mesh.Mesh {
	t.Helper()
	m, err := mesh.New(mesh.Config{
		Node: "listener", Cluster: "grapevine", Bind: "127.0.0.1:0", Exchange: "127.0.0.1:0", Join: join,
		StoragePath: t.TempDir(), PublishInterval: 5 * time.Second, ExchangeInterval: 500 * time.Millisecond,
		StaleAfter: time.Minute, ForgetAfter: time.Hour, Limits: mesh.DefaultLimits(),
		Logger: log.NewNopLogger(), Registry: prometheus.NewRegistry(),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Listen(""); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return m
}
