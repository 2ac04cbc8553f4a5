package collectors

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/grapevine-mesh/grapevine/health"
)

// maxTextBytes bounds a help text and a label value: the mesh carries no
// longer ones.
const maxTextBytes = 1000

// textFamilies is what the files read so far hold together.
type textFamilies struct {
	families  map[string]*dto.MetricFamily
	owner     map[string]string // of each series, by seriesKey: the file
	series    int
	maxSeries int
}

func newTextFamilies(maxSeries int) *textFamilies {
	return &textFamilies{families: make(map[string]*dto.MetricFamily), owner: make(map[string]string), maxSeries: maxSeries}
}

// take adds all families of a file, or none when one of them cannot be. It
// returns the number of its series. The error names the line.
func (t *textFamilies) take(file string, text []byte) (int, error) {
	parsed, err := parseFamilies(text)
	if err != nil {
		return 0, err
	}
	count := 0
	keys := make(map[string]bool)
	for _, mf := range sortedFamilies(parsed) {
		at := -1 // the family, then the series
		fail := func(err error) (int, error) {
			return 0, fmt.Errorf("line %d: %s: %w", lineOf(text, mf.GetName(), at), clip(mf.GetName(), 100), err)
		}
		if err := t.fits(mf, parsed); err != nil {
			return fail(err)
		}
		for i, m := range mf.GetMetric() {
			at = i
			if err := checkSeries(mf.GetType(), m); err != nil {
				return fail(err)
			}
			key := seriesKey(mf.GetName(), m)
			if keys[key] {
				return fail(fmt.Errorf("the series %s is there twice", labelWords(m)))
			}
			if other, taken := t.owner[key]; taken {
				return fail(fmt.Errorf("the series %s is in %s too", labelWords(m), other))
			}
			keys[key] = true
			count += 1 + len(m.GetHistogram().GetBucket()) + len(m.GetSummary().GetQuantile())
		}
	}
	if t.series+count > t.maxSeries {
		return 0, fmt.Errorf("its %d series are more than the %d that are left of max_series %d", count, t.maxSeries-t.series, t.maxSeries)
	}
	t.series += count
	for key := range keys {
		t.owner[key] = file
	}
	for name, mf := range parsed {
		if known := t.families[name]; known != nil { // whose help holds
			known.Metric = append(known.Metric, mf.Metric...)
		} else {
			t.families[name] = mf
		}
	}
	return count, nil
}

// parseFamilies reads the text format. The parser panics at some texts that
// are none, such as braces without a name after a comment: that is the file's
// fault, and costs the file.
func parseFamilies(text []byte) (parsed map[string]*dto.MetricFamily, err error) {
	defer func() {
		if v := recover(); v != nil {
			parsed, err = nil, fmt.Errorf("it is not in the text format, so that the parser gives up: %s", clip(fmt.Sprint(v), 100))
		}
	}()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	parsed, err = parser.TextToMetricFamilies(bytes.NewReader(text))
	var at expfmt.ParseError
	switch {
	case errors.As(err, &at):
		return nil, fmt.Errorf("line %d: %s", at.Line, clip(at.Msg, 200))
	case err != nil:
		return nil, errors.New(clip(err.Error(), 200))
	}
	return parsed, nil
}

func sortedFamilies(families map[string]*dto.MetricFamily) []*dto.MetricFamily {
	sorted := make([]*dto.MetricFamily, 0, len(families))
	for _, mf := range families {
		sorted = append(sorted, mf)
	}
	slices.SortFunc(sorted, func(a, b *dto.MetricFamily) int { return cmp.Compare(a.GetName(), b.GetName()) })
	return sorted
}

// fits tells why a family cannot stand beside those of the agent, of its own
// file and of the files before.
func (t *textFamilies) fits(mf *dto.MetricFamily, siblings map[string]*dto.MetricFamily) error {
	name := mf.GetName()
	switch known := t.families[name]; {
	case !health.Foreign(name):
		return errors.New("names that begin with grapevine_, go_ or process_ are the agent's own")
	case len(name) > 200:
		return errors.New("the name is longer than 200 bytes")
	case len(mf.GetHelp()) > maxTextBytes || !utf8.ValidString(mf.GetHelp()):
		return fmt.Errorf("the help is not UTF-8 of at most %d bytes", maxTextBytes)
	case known != nil && known.GetType() != mf.GetType():
		return fmt.Errorf("it is a %s here, and a %s in a file before", typeWord(mf), typeWord(known))
	case mf.GetType() == dto.MetricType_GAUGE_HISTOGRAM:
		return errors.New("gauge histograms are not taken")
	}
	// The samples of a histogram and a family of the same name would be one.
	for _, suffix := range []string{"_bucket", "_count", "_sum"} {
		base, has := strings.CutSuffix(name, suffix)
		for _, families := range []map[string]*dto.MetricFamily{siblings, t.families} {
			if other := families[base]; has && other != nil && hasSamples(other, suffix) {
				return fmt.Errorf("it is the name of a sample of the %s %s", typeWord(other), base)
			}
			if other := families[name+suffix]; other != nil && hasSamples(mf, suffix) {
				return fmt.Errorf("its sample %s is a family of its own too", name+suffix)
			}
		}
	}
	return nil
}

func hasSamples(mf *dto.MetricFamily, suffix string) bool {
	return mf.GetType() == dto.MetricType_HISTOGRAM || mf.GetType() == dto.MetricType_SUMMARY && suffix != "_bucket"
}

func typeWord(mf *dto.MetricFamily) string { return strings.ToLower(mf.GetType().String()) }

// checkSeries tells why one series cannot be taken. It sorts its labels.
func checkSeries(t dto.MetricType, m *dto.Metric) error {
	if m.TimestampMs != nil {
		return errors.New("it has a timestamp; leave it out, the time of the scrape holds")
	}
	slices.SortFunc(m.Label, func(a, b *dto.LabelPair) int { return cmp.Compare(a.GetName(), b.GetName()) })
	for i, l := range m.GetLabel() {
		name := l.GetName()
		switch {
		case name == "node":
			return errors.New("the label node is the agent's own: it says which node the metric is of")
		case i > 0 && m.Label[i-1].GetName() == name:
			return fmt.Errorf("the label %s is there twice", name)
		case t == dto.MetricType_HISTOGRAM && name == "le", t == dto.MetricType_SUMMARY && name == "quantile":
			return fmt.Errorf("the label %s stands where it has no place", name)
		case len(name) > 200 || len(l.GetValue()) > maxTextBytes:
			return fmt.Errorf("the label %s or its value is longer than %d bytes", clip(name, 60), maxTextBytes)
		}
	}
	return checkBounds(m)
}

// checkBounds holds the buckets and quantiles to an order without gaps.
func checkBounds(m *dto.Metric) error {
	last := math.Inf(-1)
	bound := func(v float64, name string) error {
		if math.IsNaN(v) || v <= last && !math.IsInf(v, -1) {
			return fmt.Errorf("its %s %v is out of order", name, v)
		}
		last = v
		return nil
	}
	if m.GetHistogram().GetSampleCountFloat() != 0 {
		return errors.New("it counts fractions")
	}
	for _, b := range m.GetHistogram().GetBucket() {
		if err := bound(b.GetUpperBound(), "bucket"); err != nil {
			return err
		}
	}
	for _, q := range m.GetSummary().GetQuantile() {
		if err := bound(q.GetQuantile(), "quantile"); err != nil {
			return err
		}
	}
	return nil
}

// seriesKey tells a series from all others. The labels are sorted.
func seriesKey(name string, m *dto.Metric) string {
	var b strings.Builder
	b.WriteString(name)
	for _, l := range m.GetLabel() {
		b.WriteString("\xff" + l.GetName() + "\xff" + l.GetValue())
	}
	return b.String()
}

// labelWords is the label set for a reason.
func labelWords(m *dto.Metric) string {
	var labels []string
	for _, l := range m.GetLabel() {
		labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
	}
	return clip("{"+strings.Join(labels, ",")+"}", 120)
}

// lineOf is the line of a family's nth series; for -1, or when it cannot be
// told as of a histogram, the first that speaks of the family.
func lineOf(text []byte, name string, nth int) int {
	number, first, samples := 0, 0, -1
	for line := range bytes.Lines(text) {
		number++
		fields := bytes.Fields(bytes.ReplaceAll(line, []byte("{"), []byte(" ")))
		switch {
		case len(fields) > 0 && string(fields[0]) == name:
			samples++
		case len(fields) < 3 || string(fields[0]) != "#" || string(fields[2]) != name:
			continue
		}
		if first == 0 {
			first = number
		}
		if samples == nth {
			return number
		}
	}
	return max(first, 1)
}
