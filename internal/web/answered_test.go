package web

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

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
