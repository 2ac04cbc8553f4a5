package health

// Snapshot is everything one node knows of itself at one moment. It is
// immutable once it has been handed on: readers share it without locks.
type Snapshot struct {
	Node    string  // name of the node whose facts these are
	Schema  *Schema // shared by every snapshot that has the same series
	Values  []float64
	Results []Result
}

// Schema names the series whose values a Snapshot holds. It changes rarely
// and is shared, so that the values alone travel and stay in memory.
type Schema struct {
	Version  string // version of the program that wrote it, "1.2.3"
	Families []Family
}

// Width is the length of the Values that go with the schema.
func (s *Schema) Width() int {
	n := 0
	for i := range s.Families {
		n += s.Families[i].Width()
	}
	return n
}

// Series is the number of label sets in the schema.
func (s *Schema) Series() int {
	n := 0
	for i := range s.Families {
		n += len(s.Families[i].Series)
	}
	return n
}

// Type is the type of a metric family.
type Type uint8

// The metric types, in the order of their wire numbers.
const (
	Untyped Type = iota
	Counter
	Gauge
	Summary
	Histogram
)

var typeNames = [...]string{"untyped", "counter", "gauge", "summary", "histogram"}

// String returns the word of the text exposition format.
func (t Type) String() string {
	if int(t) < len(typeNames) {
		return typeNames[t]
	}
	return "untyped"
}

// Family is one metric name with its help, type and series.
// Families of a schema are sorted by name, series by their labels.
type Family struct {
	Name   string
	Help   string
	Type   Type
	Series []Series
}

// Width is the number of values the family's series take together.
func (f *Family) Width() int {
	n := 0
	for i := range f.Series {
		n += f.Series[i].Width(f.Type)
	}
	return n
}

// Series is one label set. It never carries the label "node": that is
// added when the snapshot is shown, so that nodes can share a schema.
type Series struct {
	Labels []Label // sorted by name

	// Bounds holds the quantiles of a summary, or the finite upper bounds
	// of a histogram's buckets; nil for the other types.
	Bounds []float64

	// Native is the shape of a histogram's native buckets, which it may have
	// beside those of Bounds or instead of them; nil if it has none.
	Native *Native
}

// Label is a name and its value.
type Label struct{ Name, Value string }

// Width is the number of values the series takes:
//
//	counter, gauge, untyped: value
//	summary:   one value for each quantile, sum, count
//	histogram: one cumulative count for each bound, sum, count; then, if it is
//	           native, the count of zeros and of each native bucket: negative
//	           ones first, in the order of spans, not cumulative
func (s *Series) Width(t Type) int {
	switch t {
	case Summary:
		return len(s.Bounds) + 2
	case Histogram:
		return len(s.Bounds) + 2 + s.Native.Width()
	default:
		return 1
	}
}
