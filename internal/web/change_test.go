package web

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

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

// answered is one scrape's answer, with what the nodes had said when it was
// asked for and when it was there.
type answered struct {
	families      map[string]*dto.MetricFamily
	before, after []*word
	asked, done   time.Time
}

func (c *changing) held() []*word {
	words := make([]*word, len(c.words))
	for i := range words {
		words[i] = c.words[i].Load()
	}
	return words
}

// told collects what an answer says of one node: every number, by the series
// it stands in.
type told struct {
	numbers map[string]float64
	age     float64
	ages    int
	up      int
}

// byNode takes the answer apart. What stands there twice is an error.
func (a *answered) byNode() (map[string]*told, error) {
	nodes := map[string]*told{}
	for name, f := range a.families {
		for _, m := range f.Metric {
			node, others := "", ""
			for _, l := range m.Label {
				if l.GetName() == "node" {
					node = l.GetValue()
				} else {
					others += l.GetName() + "=" + l.GetValue()
				}
			}
			n := nodes[node]
			if n == nil {
				n = &told{numbers: map[string]float64{}}
				nodes[node] = n
			}
			switch name {
			case "grapevine_node_up":
				n.up++
			case "grapevine_node_snapshot_age_seconds":
				n.age, n.ages = m.GetGauge().GetValue(), n.ages+1
			case "grapevine_mesh_scrape_complete", "grapevine_mesh_cluster_scraped_nodes":
			default:
				for part, value := range numbersOf(m) {
					series := name + "{" + others + "}" + part
					if _, twice := n.numbers[series]; twice {
						return nil, fmt.Errorf("%s of %s is there twice", series, node)
					}
					n.numbers[series] = value
				}
			}
		}
	}
	return nodes, nil
}

// numbersOf lists what one metric tells, by part.
func numbersOf(m *dto.Metric) map[string]float64 {
	out := map[string]float64{}
	switch {
	case m.Gauge != nil:
		out[""] = m.Gauge.GetValue()
	case m.Counter != nil:
		out[""] = m.Counter.GetValue()
	case m.Untyped != nil:
		out[""] = m.Untyped.GetValue()
	case m.Summary != nil:
		out["sum"], out["count"] = m.Summary.GetSampleSum(), float64(m.Summary.GetSampleCount())
		for _, q := range m.Summary.Quantile {
			out[fmt.Sprint("quantile ", q.GetQuantile())] = q.GetValue()
		}
	case m.Histogram != nil:
		out["sum"], out["count"] = m.Histogram.GetSampleSum(), float64(m.Histogram.GetSampleCount())
		for _, b := range m.Histogram.Bucket {
			if b.GetUpperBound() < 10 { // +Inf is the count again, which some formats spell out
				out[fmt.Sprint("le ", b.GetUpperBound())] = float64(b.GetCumulativeCount())
			}
		}
	}
	return out
}

// check holds the answer against what was there when it was given.
func (a *answered) check() error {
	nodes, err := a.byNode()
	if err != nil {
		return err
	}
	for i := range a.before {
		name := changingName(i)
		n, before, after := nodes[name], a.before[i], a.after[i]
		delete(nodes, name)
		if n == nil {
			if before != nil && after != nil && before.number == after.number {
				return fmt.Errorf("%s is missing", name)
			}
			if i != 7 {
				return fmt.Errorf("%s is missing, and never was away", name)
			}
			continue
		}
		number := n.numbers["grapevine_z_number{}"]
		want := changingValues
		if i%10 == 0 && int(number)%2 == 1 {
			want++
		}
		if len(n.numbers) != want || n.up != 1 || n.ages != 1 {
			return fmt.Errorf("%s has %d numbers, %d times up, %d ages; want %d, 1, 1", name, len(n.numbers), n.up, n.ages, want)
		}
		for series, value := range n.numbers {
			if value != number {
				return fmt.Errorf("%s mixes snapshots: %s is of number %v, others of %v", name, series, value, number)
			}
		}
		if before != nil && int(number) < before.number || after != nil && int(number) > after.number {
			return fmt.Errorf("%s shows number %v; when it was asked there was %+v, then %+v", name, number, before, after)
		}
		if err := a.checkAge(n.age, int(number), before, after); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if len(nodes) > 0 {
		return fmt.Errorf("who are %v", nodes)
	}
	return nil
}

// checkAge holds the age shown against the true one, for snapshots of which
// the test knows when they were taken.
func (a *answered) checkAge(shown float64, number int, known ...*word) error {
	const rounding = 2 * time.Microsecond
	for _, w := range known {
		if w == nil || w.number != number {
			continue
		}
		age := time.Duration(shown * float64(time.Second))
		if youngest := a.asked.Sub(w.taken); age < youngest-rounding {
			return fmt.Errorf("an age of %v is shown, but it was %v old when it was asked for", age, youngest)
		}
		if oldest := a.done.Sub(w.taken); age > oldest+rounding {
			return fmt.Errorf("an age of %v is shown, but it was %v old at the end", age, oldest)
		}
	}
	return nil
}

// parseAnswer reads an answer as its headers say it is to be read.
func parseAnswer(answer *http.Response) (map[string]*dto.MetricFamily, error) {
	var body io.Reader = answer.Body
	switch encoding := answer.Header.Get("Content-Encoding"); encoding {
	case "":
	case "gzip":
		z, err := gzip.NewReader(body)
		if err != nil {
			return nil, err
		}
		body = z
	case "zstd":
		z, err := zstd.NewReader(body, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, err
		}
		defer z.Close()
		body = z
	default:
		return nil, fmt.Errorf("encoding %q", encoding)
	}
	all, err := io.ReadAll(body)
	if err != nil {
		return nil, err
	}
	kind, _, err := mime.ParseMediaType(answer.Header.Get("Content-Type"))
	if err != nil {
		return nil, err
	}
	if kind == "application/openmetrics-text" {
		text, whole := strings.CutSuffix(string(all), "# EOF\n")
		if !whole {
			return nil, fmt.Errorf("no end mark")
		}
		// Only counters are told in another way than in the older format.
		all = []byte(strings.ReplaceAll(text, " grapevine_b_runs ", " grapevine_b_runs_total "))
		all = bytes.ReplaceAll(all, []byte(" unknown\n"), []byte(" untyped\n"))
	}
	if kind != "application/vnd.google.protobuf" {
		parser := expfmt.NewTextParser(model.LegacyValidation)
		return parser.TextToMetricFamilies(bytes.NewReader(all))
	}
	families := map[string]*dto.MetricFamily{}
	for decoder := expfmt.NewDecoder(bytes.NewReader(all), expfmt.ResponseFormat(answer.Header)); ; {
		f := &dto.MetricFamily{}
		switch err := decoder.Decode(f); {
		case errors.Is(err, io.EOF):
			return families, nil
		case err != nil:
			return nil, err
		case families[f.GetName()] != nil:
			return nil, fmt.Errorf("family %s is there twice", f.GetName())
		}
		families[f.GetName()] = f
	}
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
