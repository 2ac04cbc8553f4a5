package exposition

import (
	"math"
	"strconv"
	"strings"

	dto "github.com/prometheus/client_model/go"
)

// expected is what Prometheus should take from families in a format.
type expected struct {
	facts
	format Format
	family *dto.MetricFamily
	metric *dto.Metric
}

func expect(f Format, families []*dto.MetricFamily) facts {
	x := expected{facts: facts{}, format: f}
	for _, mf := range families {
		x.family = mf
		x.describe()
		for _, m := range mf.Metric {
			x.metric = m
			x.samples()
		}
	}
	return x.facts
}

func (x *expected) describe() {
	name, word := x.family.GetName(), strings.ToLower(x.family.GetType().String())
	if word == "untyped" {
		word = "unknown"
	}
	if base, suffixed := strings.CutSuffix(name, "_total"); word == "counter" && x.format == OpenMetrics {
		if name = base; !suffixed {
			word = "unknown" // OpenMetrics has no such counters
		}
	}
	x.facts["type "+name] = word
	if x.family.GetHelp() != "" {
		x.facts["help "+name] = x.family.GetHelp()
	}
}

func (x *expected) samples() {
	m := x.metric
	switch x.family.GetType() {
	case dto.MetricType_COUNTER:
		x.sample("", "", 0, m.Counter.GetValue())
	case dto.MetricType_GAUGE:
		x.sample("", "", 0, m.Gauge.GetValue())
	case dto.MetricType_UNTYPED:
		x.sample("", "", 0, m.Untyped.GetValue())
	case dto.MetricType_SUMMARY:
		for _, q := range m.Summary.Quantile {
			x.sample("", "quantile", q.GetQuantile(), q.GetValue())
		}
		x.sample("_sum", "", 0, m.Summary.GetSampleSum())
		x.sample("_count", "", 0, float64(m.Summary.GetSampleCount()))
	case dto.MetricType_HISTOGRAM:
		x.histogram(m.Histogram)
	}
}

func (x *expected) histogram(h *dto.Histogram) {
	total := float64(h.GetSampleCount())
	if h.Schema != nil && x.format == Protobuf {
		x.facts["histogram "+x.subject("", "", 0)] = native(value(x.metric.TimestampMs, math.Float64bits(h.GetSampleSum())),
			h.GetSchema(), h.GetZeroThreshold(), total, float64(h.GetZeroCount()),
			buckets(h.NegativeSpan, h.NegativeDelta), buckets(h.PositiveSpan, h.PositiveDelta))
		if len(h.Bucket) == 0 {
			return // then it is a native histogram and no other
		}
	}
	for _, b := range h.Bucket {
		x.sample("_bucket", "le", b.GetUpperBound(), float64(b.GetCumulativeCount()))
	}
	x.sample("_bucket", "le", math.Inf(1), total)
	x.sample("_sum", "", 0, h.GetSampleSum())
	x.sample("_count", "", 0, total)
}

// buckets lists the counts of buckets that are not empty, by index.
func buckets(spans []*dto.BucketSpan, deltas []int64) map[int32]float64 {
	all := map[int32]float64{}
	index, count := int32(0), int64(0)
	for _, s := range spans {
		index += s.GetOffset()
		for range s.GetLength() {
			if count += deltas[0]; count != 0 {
				all[index] = float64(count)
			}
			deltas, index = deltas[1:], index+1
		}
	}
	return all
}

func (x *expected) sample(suffix, extra string, bound, v float64) {
	x.facts["sample "+x.subject(suffix, extra, bound)] = value(x.metric.TimestampMs, math.Float64bits(v))
}

func (x *expected) subject(suffix, extra string, bound float64) string {
	labels := map[string]string{"__name__": x.family.GetName() + suffix}
	for _, l := range x.metric.Label {
		labels[l.GetName()] = l.GetValue()
	}
	if extra != "" { // Prometheus makes the bounds of all formats look alike
		labels[extra] = strconv.FormatFloat(bound, 'g', -1, 64)
		if !strings.ContainsAny(labels[extra], ".eI") {
			labels[extra] += ".0"
		}
	}
	return subjectOf(labels)
}
