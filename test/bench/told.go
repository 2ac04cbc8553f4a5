package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/test/bench/fleet"
)

// told is what an answer says of the nodes of a fleet: how many samples, and a
// sum over their values that does not depend on the order. What the program
// that answers says of itself does not count.
type told struct {
	samples int
	sum     uint64
}

func (t *told) add(v float64) {
	t.samples++
	t.sum += math.Float64bits(v)
}

// expected is what a whole and fresh answer tells.
func expected(f *fleet.Fleet) told {
	var t told
	for _, n := range f.View().Nodes {
		values := n.Snapshot.Values
		for _, family := range n.Snapshot.Schema.Families {
			for _, s := range family.Series {
				width := s.Width(family.Type)
				for _, v := range values[:width] {
					t.add(v)
				}
				if family.Type == health.Histogram {
					t.add(values[width-1]) // the bucket +Inf
				}
				values = values[width:]
			}
		}
	}
	return t
}

// check scrapes once and reports an answer that does not tell all that f holds
// now, and no more.
func (s *scraper) check(ctx context.Context, url string, asked form, f *fleet.Fleet) error {
	resp, err := s.ask(ctx, url, asked)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := decoders[asked.encoding](resp.Body)
	if err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	got, err := read(body, asked.format, f.Has)
	if err != nil {
		return fmt.Errorf("parsing the answer: %w", err)
	}
	if want := expected(f); got.samples != want.samples {
		return fmt.Errorf("the answer has %d samples of the nodes, want %d", got.samples, want.samples)
	} else if got != want {
		return errors.New("the answer has other values than the nodes")
	}
	return nil
}

// read parses an answer and counts the samples whose name has admits.
func read(r io.Reader, format string, has func(name string) bool) (told, error) {
	var t told
	if format == "openmetrics" {
		return t, t.readOpenMetrics(r, has)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	if format == "text" {
		families, err := parser.TextToMetricFamilies(r)
		for _, mf := range families {
			t.family(mf, has)
		}
		return t, err
	}
	for dec := expfmt.NewDecoder(r, expfmt.NewFormat(expfmt.TypeProtoDelim)); ; {
		var mf dto.MetricFamily
		switch err := dec.Decode(&mf); {
		case errors.Is(err, io.EOF):
			return t, nil
		case err != nil:
			return t, err
		}
		t.family(&mf, has)
	}
}

// family counts the lines of text that mf stands for.
func (t *told) family(mf *dto.MetricFamily, has func(string) bool) {
	name := mf.GetName()
	if mf.GetType() != dto.MetricType_HISTOGRAM {
		if has(name) {
			for _, m := range mf.GetMetric() {
				// All but one are nil, and tell 0.
				t.add(m.GetGauge().GetValue() + m.GetCounter().GetValue() + m.GetUntyped().GetValue())
			}
		}
		return
	}
	if !has(name + "_bucket") {
		return
	}
	for _, m := range mf.GetMetric() {
		h := m.GetHistogram()
		for _, b := range h.GetBucket() {
			if !math.IsInf(b.GetUpperBound(), +1) { // which not every format says
				t.add(float64(b.GetCumulativeCount()))
			}
		}
		t.add(float64(h.GetSampleCount()))
		t.add(h.GetSampleSum())
		t.add(float64(h.GetSampleCount()))
	}
}

// readOpenMetrics reads what expfmt writes and does not read: lines with a name,
// labels, a value, and the last line.
func (t *told) readOpenMetrics(r io.Reader, has func(string) bool) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	var last string
	for lines.Scan() {
		line := lines.Bytes()
		if len(line) == 0 || line[0] == '#' {
			last = string(line)
			continue
		}
		last = ""
		name, _, _ := bytes.Cut(line, []byte{'{'})
		if !has(string(name)) {
			continue
		}
		v, err := strconv.ParseFloat(string(line[bytes.LastIndexByte(line, ' ')+1:]), 64)
		if err != nil {
			return fmt.Errorf("%q: %w", line, err)
		}
		t.add(v)
	}
	if lines.Err() == nil && last != "# EOF" {
		return errors.New("it does not end with # EOF")
	}
	return lines.Err()
}
