package collectors

import (
	"bytes"
	"math"
	"regexp"
	"strconv"
	"strings"
)

// Bounds of what is kept of a script's output, in bytes, and of its
// performance data.
const (
	maxScriptOutput = 64 << 10
	maxScriptErrors = 4 << 10
	maxPerfdata     = 64
)

// boundedOutput keeps the beginning of what is written to it, and counts the
// rest.
type boundedOutput struct {
	text      bytes.Buffer
	limit     int
	discarded int64
}

// Write never fails: a script that is not read from would hang.
func (o *boundedOutput) Write(p []byte) (int, error) {
	kept := min(len(p), o.limit-o.text.Len())
	o.text.Write(p[:kept])
	o.discarded += int64(len(p) - kept)
	return len(p), nil
}

// scriptWords is what a script has to say: its first line, else what it wrote
// to stderr.
func scriptWords(first, errors string) string {
	if text := clip(first, 250); text != "" {
		return text
	}
	line, _, _ := strings.Cut(strings.TrimSpace(errors), "\n")
	if text := clip(line, 200); text != "" {
		return "on stderr: " + text
	}
	return "nothing"
}

// perfdatum is one value that a script measured, in base units.
type perfdatum struct {
	label, unit string
	value       float64
}

// pluginOutput takes apart what a monitoring plugin writes: a first line
// "text | performance data", then lines of long text, of which the first that
// has a bar begins more performance data, up to the end.
func pluginOutput(output string) (first string, data []perfdatum) {
	first, rest, _ := strings.Cut(output, "\n")
	first, perf, _ := strings.Cut(first, "|")
	if _, more, found := strings.Cut(rest, "|"); found {
		perf += " " + more
	}
	had := make(map[[2]string]bool)
	for len(data) < maxPerfdata {
		d, left, ok := nextPerfdatum(perf)
		if left == "" && !ok {
			break
		}
		perf = left
		if key := [2]string{d.label, d.unit}; ok && !had[key] {
			had[key] = true
			data = append(data, d)
		}
	}
	return strings.TrimSpace(first), data
}

var perfNumber = regexp.MustCompile(`^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?`)

// nextPerfdatum reads 'label'=value[unit];warn;crit;min;max. ok is false for
// what is none, which is skipped.
func nextPerfdatum(s string) (d perfdatum, rest string, ok bool) {
	s = strings.TrimSpace(s)
	label, s := perfLabel(s)
	label = clip(label, 100)
	field, rest := s, ""
	if end := strings.IndexFunc(s, isBlank); end >= 0 {
		field, rest = s[:end], s[end:]
	}
	measured, found := strings.CutPrefix(field, "=")
	if !found || label == "" {
		return d, rest, false
	}
	measured, _, _ = strings.Cut(measured, ";")
	digits := perfNumber.FindString(measured)
	value, err := strconv.ParseFloat(digits, 64)
	if err != nil { // U stands for a value that could not be told
		return d, rest, false
	}
	unit, factor := baseUnit(measured[len(digits):])
	if value *= factor; math.IsInf(value, 0) {
		return d, rest, false
	}
	return perfdatum{label, unit, value}, rest, true
}

func isBlank(c rune) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

// perfLabel reads a label, in quotes when it has blanks, and returns what
// follows it: "=..." in all that is well formed.
func perfLabel(s string) (label, rest string) {
	if !strings.HasPrefix(s, "'") {
		end := strings.IndexFunc(s, func(c rune) bool { return c == '=' || isBlank(c) })
		if end < 0 {
			return "", ""
		}
		return s[:end], s[end:]
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] != '\'':
			b.WriteByte(s[i])
		case i+1 < len(s) && s[i+1] == '\'': // a quote within
			b.WriteByte('\'')
			i++
		default:
			return b.String(), s[i+1:]
		}
	}
	return "", ""
}

// baseUnit turns a plugin's unit into a base unit and what to multiply by.
// Plugins count a KB as 1024 bytes.
func baseUnit(unit string) (base string, factor float64) {
	switch unit {
	case "":
		return "", 1
	case "s":
		return "seconds", 1
	case "ms":
		return "seconds", 1e-3
	case "us", "µs":
		return "seconds", 1e-6
	case "ns":
		return "seconds", 1e-9
	case "%":
		return "ratio", 0.01
	case "c":
		return "count", 1
	}
	if prefix, isBytes := strings.CutSuffix(strings.ToUpper(unit), "B"); isBytes {
		if i := strings.Index("KMGTPE", strings.TrimSuffix(prefix, "I")); i >= 0 && len(prefix) <= 2 {
			if prefix == "" {
				return "bytes", 1
			}
			return "bytes", math.Pow(1024, float64(i+1))
		}
	}
	return clip(unit, 20), 1
}
