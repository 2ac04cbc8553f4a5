// Command promparse reads metrics as Prometheus itself does when it scrapes,
// for tests that compare what it takes from them with what was meant.
//
// On its input are any number of answers to a scrape: the length of the content
// type as four bytes, most significant first, the content type, the length of
// the body, the body. For each answer it prints what the parser says as one
// Entry a line, in JSON, and then {"kind":"end"}, with an error where Prometheus
// would take nothing of the answer.
package main

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
)

// Entry is one thing that an answer says.
type Entry struct {
	Kind      string            `json:"kind"`           // help, type, sample, histogram or end
	Name      string            `json:"name,omitempty"` // of help and type: the family's
	Text      string            `json:"text,omitempty"` // of help and type
	Labels    map[string]string `json:"labels,omitempty"`
	Millis    *int64            `json:"millis,omitempty"` // timestamp
	Bits      uint64            `json:"bits,omitempty"`   // value of a sample, sum of a histogram
	Histogram *Histogram        `json:"histogram,omitempty"`
	Error     string            `json:"error,omitempty"` // of end
}

// Histogram is a native histogram. Its buckets are those that are not empty.
type Histogram struct {
	Schema        int32             `json:"schema"`
	ZeroThreshold float64           `json:"zero_threshold"`
	Count         float64           `json:"count"`
	Zeros         float64           `json:"zeros"`
	Negative      map[int32]float64 `json:"negative,omitempty"` // by index
	Positive      map[int32]float64 `json:"positive,omitempty"`
}

func main() {
	if err := run(bufio.NewReader(os.Stdin), bufio.NewWriter(os.Stdout)); err != nil {
		fmt.Fprintln(os.Stderr, "promparse:", err)
		os.Exit(1)
	}
}

func run(in io.Reader, w *bufio.Writer) error {
	out := json.NewEncoder(w)
	for {
		contentType, err := field(in)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading a content type: %w", err)
		}
		body, err := field(in)
		if err != nil {
			return fmt.Errorf("reading a body: %w", err)
		}
		end := Entry{Kind: "end"}
		if err := answer(body, string(contentType), out); err != nil {
			end.Error = err.Error()
		}
		if err := errors.Join(out.Encode(end), w.Flush()); err != nil {
			return fmt.Errorf("writing: %w", err)
		}
	}
}

func field(in io.Reader) ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(in, length[:]); err != nil {
		return nil, err
	}
	p := make([]byte, binary.BigEndian.Uint32(length[:]))
	_, err := io.ReadFull(in, p)
	return p, err
}

// ways are what a scrape_config may ask of the parser. What the first of them
// gives is printed; the others must not fail.
var ways = []textparse.ParserOptions{
	{KeepClassicOnClassicAndNativeHistograms: true},
	{},
	{IgnoreNativeHistograms: true},
	{ConvertClassicHistogramsToNHCB: true},
	{ConvertClassicHistogramsToNHCB: true, KeepClassicOnClassicAndNativeHistograms: true},
	{ConvertClassicHistogramsToNHCB: true, IgnoreNativeHistograms: true},
	{EnableTypeAndUnitLabels: true, OpenMetricsSkipSTSeries: true},
}

func answer(body []byte, contentType string, out *json.Encoder) error {
	for i, way := range ways {
		err := parse(body, contentType, way, func(e Entry) error {
			if i > 0 {
				return nil
			}
			return out.Encode(e)
		})
		if err != nil {
			return fmt.Errorf("%+v: %w", way, err)
		}
	}
	return nil
}

// parse does to each entry what the scrape loop and the storage do before they
// take it.
func parse(body []byte, contentType string, way textparse.ParserOptions, take func(Entry) error) error {
	p, err := textparse.New(body, contentType, labels.NewSymbolTable(), way)
	if err != nil {
		return err
	}
	for {
		kind, err := p.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		var e Entry
		switch kind {
		case textparse.EntryHelp:
			name, help := p.Help()
			e = Entry{Kind: "help", Name: string(name), Text: string(help)}
		case textparse.EntryType:
			name, word := p.Type()
			e = Entry{Kind: "type", Name: string(name), Text: string(word)}
		case textparse.EntrySeries:
			_, millis, v := p.Series()
			e = Entry{Kind: "sample", Millis: millis, Bits: math.Float64bits(v)}
			e.Labels, err = labelsOf(p)
		case textparse.EntryHistogram:
			_, millis, h, f := p.Histogram()
			if h != nil {
				if err := h.Validate(); err != nil {
					return err
				}
				f = h.ToFloat(nil)
			} else if err := f.Validate(); err != nil {
				return err
			}
			e = Entry{Kind: "histogram", Millis: millis, Bits: math.Float64bits(f.Sum), Histogram: histogramOf(f)}
			e.Labels, err = labelsOf(p)
		default:
			return fmt.Errorf("an entry of kind %d", kind)
		}
		if err != nil {
			return err
		}
		if err := take(e); err != nil {
			return err
		}
	}
}

func labelsOf(p textparse.Parser) (map[string]string, error) {
	var all labels.Labels
	p.Labels(&all)
	if !all.IsValid(model.LegacyValidation) {
		return nil, fmt.Errorf("invalid metric name or label names: %v", all)
	}
	if name, twice := all.HasDuplicateLabelNames(); twice {
		return nil, fmt.Errorf("label %s twice: %v", name, all)
	}
	return all.Map(), nil
}

func histogramOf(f *histogram.FloatHistogram) *Histogram {
	h := &Histogram{Schema: f.Schema, ZeroThreshold: f.ZeroThreshold, Count: f.Count, Zeros: f.ZeroCount}
	h.Negative = filled(f.NegativeSpans, f.NegativeBuckets)
	h.Positive = filled(f.PositiveSpans, f.PositiveBuckets)
	return h
}

func filled(spans []histogram.Span, counts []float64) map[int32]float64 {
	buckets := map[int32]float64{}
	index := int32(0)
	for _, s := range spans {
		index += s.Offset
		for range s.Length {
			if counts[0] != 0 {
				buckets[index] = counts[0]
			}
			counts, index = counts[1:], index+1
		}
	}
	return buckets
}
