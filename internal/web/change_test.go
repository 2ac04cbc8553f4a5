package web

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/internal/exposition"
	"github.com/grapevine-mesh/grapevine/mesh"
)

// changing is a cluster in which every node publishes all the time. All that
// a node says in one snapshot is that snapshot's number, over and over, so that
// an answer tells whether it shows one snapshot, and which.
type changing struct {
	words []atomic.Pointer[word] // by node; nil while it is not there
}

// word is what one node said last.
type word struct {
	number   int
	taken    time.Time
	snapshot *health.Snapshot
}

func changingName(node int) string { return fmt.Sprintf("node-%03d", node) }

// changingSchema has every type. Odd numbers have one series more.
func changingSchema(more bool) *health.Schema {
	series := func(label string) health.Series {
		return health.Series{Labels: []health.Label{{Name: "zone", Value: label}}}
	}
	s := &health.Schema{Version: "1.0.0", Families: []health.Family{
		{Name: "grapevine_a_number", Help: "Which snapshot.", Type: health.Gauge, Series: []health.Series{series("x"), series("y")}},
		{Name: "grapevine_b_runs_total", Help: "Runs.", Type: health.Counter, Series: []health.Series{series("x"), series("y")}},
		{Name: "grapevine_c_seconds", Help: "Times.", Type: health.Histogram, Series: []health.Series{{Bounds: []float64{1, 2}}}},
		{Name: "grapevine_d_seconds", Help: "Times.", Type: health.Summary, Series: []health.Series{{Bounds: []float64{0.5}}}},
		{Name: "grapevine_z_number", Help: "Which snapshot.", Type: health.Untyped, Series: []health.Series{{}}},
	}}
	if more {
		s.Families[0].Series = append(s.Families[0].Series, series("z"))
	}
	return s
}

// changingValues is how many numbers changingSchema's snapshots tell.
const changingValues = 2 + 2 + 4 + 3 + 1

// publish makes every node say something new each interval until done. A tenth
// of them take another schema each time, and one comes and goes.
func (c *changing) publish(interval time.Duration, done <-chan struct{}) {
	schemas := [2]*health.Schema{changingSchema(false), changingSchema(true)}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for number := 1; ; number++ {
		for i := range c.words {
			if i == 7 && number%3 == 0 {
				c.words[i].Store(nil)
				continue
			}
			schema := schemas[0]
			if i%10 == 0 {
				schema = schemas[number%2]
			}
			values := make([]float64, schema.Width())
			for j := range values {
				values[j] = float64(number)
			}
			c.words[i].Store(&word{number, time.Now(), &health.Snapshot{Node: changingName(i), Schema: schema, Values: values}})
		}
		select {
		case <-done:
			return
		case <-tick.C:
		}
	}
}

func (c *changing) view() mesh.View {
	v := mesh.View{Self: changingName(0)}
	for i := range c.words {
		if w := c.words[i].Load(); w != nil {
			v.Nodes = append(v.Nodes, mesh.Node{
				Name: changingName(i), Up: true, Snapshot: w.snapshot, Age: time.Since(w.taken), Epoch: 1, Version: uint64(w.number),
			})
		}
	}
	return v
}

// narrow gives connections little room, so that the server waits for a client
// that reads slowly.
type narrow struct{ net.Listener }

const narrowBytes = 16 << 10

func (n narrow) Accept() (net.Conn, error) {
	c, err := n.Listener.Accept()
	if err == nil {
		err = c.(*net.TCPConn).SetWriteBuffer(narrowBytes)
	}
	return c, err
}

func dialNarrow(ctx context.Context, network, addr string) (net.Conn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, network, addr)
	if err == nil {
		err = c.(*net.TCPConn).SetReadBuffer(narrowBytes)
	}
	return c, err
}

// slowly is an answer that is read with pauses.
type slowly struct {
	io.ReadCloser
	pause time.Duration
}

func (s slowly) Read(p []byte) (int, error) {
	time.Sleep(s.pause)
	return s.ReadCloser.Read(p[:min(len(p), 2<<10)])
}

// Every answer is one consistent picture, in whatever form it is asked for,
// while all nodes change all the time and several scrape at once: each node as
// of one of its snapshots, none twice, none that is older than what was there
// when it was asked for, with its true age.
func TestScrapesUnderChange(t *testing.T) {
	t.Parallel()
	const (
		nodes    = 100
		scrapes  = 216
		at       = 6 // once
		interval = 50 * time.Millisecond
	)
	c := &changing{words: make([]atomic.Pointer[word], nodes)}
	done := make(chan struct{})
	var publishing sync.WaitGroup
	publishing.Go(func() { c.publish(interval, done) })
	defer publishing.Wait()
	defer close(done)
	for c.words[nodes-1].Load() == nil {
		time.Sleep(time.Millisecond)
	}

	cfg, _ := config()
	cfg.Node, cfg.View, cfg.MaxRequests = changingName(0), c.view, at
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr, stop := serveOn(t, narrow{l}, New(cfg), "")
	transport := &http.Transport{DisableCompression: true, DialContext: dialNarrow}
	accepts := []string{
		"text/plain;version=0.0.4",
		"application/openmetrics-text;version=1.0.0",
		"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited",
	}
	encodings := []string{"identity", "gzip", "zstd"}

	scrape := func(accept, encoding string, pause time.Duration) (*answered, error) {
		request, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+addr+"/metrics", http.NoBody)
		if err != nil {
			return nil, err
		}
		request.Header.Set("Accept", accept)
		request.Header.Set("Accept-Encoding", encoding)
		a := &answered{before: c.held(), asked: time.Now()}
		answer, err := transport.RoundTrip(request)
		if err != nil {
			return nil, err
		}
		defer answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("%s", answer.Status)
		}
		if got, want := answer.Header.Get("Content-Type"), exposition.Negotiate(accept).ContentType(); got != want {
			return nil, fmt.Errorf("answered as %s, not %s", got, want)
		}
		if got := answer.Header.Get("Content-Encoding"); got != strings.TrimPrefix(encoding, "identity") {
			return nil, fmt.Errorf("answered in %q", got)
		}
		answer.Body = slowly{answer.Body, pause}
		a.families, err = parseAnswer(answer)
		a.done, a.after = time.Now(), c.held()
		return a, err
	}

	var next atomic.Int32
	var scraping sync.WaitGroup
	seen := [scrapes]float64{}
	for range at {
		scraping.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= scrapes {
					return
				}
				accept, encoding := accepts[i%3], encodings[i/3%3]
				a, err := scrape(accept, encoding, time.Duration(i%2)*time.Millisecond)
				if err == nil {
					err = a.check()
				}
				if err != nil {
					t.Errorf("scrape %d as %s in %s: %v", i, accept, encoding, err)
					continue
				}
				for _, m := range a.families["grapevine_z_number"].Metric {
					seen[i] = max(seen[i], m.GetUntyped().GetValue())
				}
			}
		})
	}
	scraping.Wait()
	distinct := map[float64]bool{}
	for _, number := range seen {
		distinct[number] = true
	}
	if len(distinct) < 10 {
		t.Errorf("only %d states of the cluster were seen in %d scrapes: too few to tell", len(distinct), scrapes)
	}
	transport.CloseIdleConnections()
	if err := stop(); err != nil {
		t.Error(err)
	}
}
