package collectors

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"golang.org/x/sys/unix"

	"github.com/grapevine-mesh/grapevine/health"
)

// textfilesAt returns the check of a folder, and what one run of it came to.
func textfilesAt(t *testing.T, dir string, change func(*textfileSettings)) (seen, map[string]*dto.MetricFamily) {
	t.Helper()
	s := textfileSpec().Settings().(*textfileSettings)
	s.Directory = dir
	if change != nil {
		change(s)
	}
	must(t, s.Validate())
	c, err := s.New(envAt("/"))
	must(t, err)
	got := run(t, c, s.Timeout)
	r := NewReport(time.Now)
	must(t, c.Collect(t.Context(), r))
	families := make(map[string]*dto.MetricFamily)
	for _, mf := range r.Families() {
		if families[mf.GetName()] != nil {
			t.Errorf("family %s twice", mf.GetName())
		}
		families[mf.GetName()] = mf
	}
	return got, families
}

func textfiles(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644))
	}
	return dir
}

// goodTextfile has every type.
const goodTextfile = `# HELP backup_last_success_timestamp_seconds When the last backup ended well.
# TYPE backup_last_success_timestamp_seconds gauge
backup_last_success_timestamp_seconds{target="s3"} 1.7e9
# TYPE backup_runs_total counter
backup_runs_total 17
raid_odd{a="1",b="x y"} NaN
# TYPE backup_seconds histogram
backup_seconds_bucket{le="1"} 2
backup_seconds_bucket{le="+Inf"} 3
backup_seconds_sum 12.5
backup_seconds_count 3
# TYPE backup_bytes summary
backup_bytes{quantile="0.5"} 10
backup_bytes_sum 100
backup_bytes_count 4
`

func TestTextfileTakesEveryType(t *testing.T) {
	t.Parallel()
	dir := textfiles(t, map[string]string{"backup.prom": goodTextfile, "empty.prom": "", "raid.txt": "not read", "backup.prom.tmp": "half a fi"})
	s, families := textfilesAt(t, dir, nil)
	s.expect(t, "backup.prom", health.OK)
	s.expect(t, "directory", health.OK)
	if len(s.results) != 3 || len(families) != 5 {
		t.Errorf("%d verdicts, %d families", len(s.results), len(families))
	}
	for name, want := range map[string]dto.MetricType{
		"backup_last_success_timestamp_seconds": dto.MetricType_GAUGE, "backup_runs_total": dto.MetricType_COUNTER, "raid_odd": dto.MetricType_UNTYPED,
		"backup_seconds": dto.MetricType_HISTOGRAM, "backup_bytes": dto.MetricType_SUMMARY,
	} {
		if families[name].GetType() != want || len(families[name].GetMetric()) != 1 {
			t.Errorf("%s: %v", name, families[name])
		}
	}
	info, err := os.Stat(filepath.Join(dir, "backup.prom"))
	must(t, err)
	if got := s.value(t, &textfileMtime, "backup.prom"); got != float64(info.ModTime().UnixMilli())/1000 {
		t.Errorf("written at %v", got)
	}
	if s.value(t, &textfileSuccess, "backup.prom") != 1 || s.value(t, &textfileSeries, "backup.prom") != 8 || s.value(t, &textfileSeries, "empty.prom") != 0 {
		t.Errorf("samples %+v", s.samples)
	}
}

// A file with a mistake costs that file, and says where the mistake is.
func TestTextfileMistakes(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ text, words string }{
		"no value":            {"a 1\nb\n", "line 2: "},
		"no number":           {"a 1\n\n# comment\nb x\n", "line 4: "},
		"half a line":         {"a 1\nb{x=\"1", "line 2: "},
		"no end":              {"a 1\nb 2", "line 2: "},
		"two types":           {"# TYPE a gauge\na 1\n# TYPE a counter\n", "line 3: "},
		"an unknown type":     {"# TYPE a stateset\na 1\n", "line 1: "},
		"a bad name":          {"9a 1\n", "line 1: "},
		"a timestamp":         {"a 1\nb 2 1700000000000\n", "line 2: b: it has a timestamp"},
		"our own name":        {"a 1\ngrapevine_etcd_up 1\n", "line 2: grapevine_etcd_up: names that begin with grapevine_"},
		"a name of Go's":      {"go_goroutines 1\n", "line 1: go_goroutines: names"},
		"the label node":      {"# HELP a b\n# TYPE a gauge\na 1\na{node=\"n1\"} 1\n", "line 4: a: the label node"},
		"a series twice":      {"a{x=\"1\",y=\"2\"} 1\na{y=\"2\",x=\"1\"} 1\n", `line 2: a: the series {x="1",y="2"} is there twice`},
		"a label twice":       {"a{x=\"1\",x=\"2\"} 1\n", "line 1: "},
		"a sample's name":     {"# TYPE h histogram\nh_sum 1\nh_count 1\nh_bucket{le=\"+Inf\"} 1\n# TYPE h_count gauge\nh_count{x=\"1\"} 2\n", "line "},
		"a gauge histogram":   {"# TYPE h gauge_histogram\nh 1\n", "line 1: "},
		"buckets in disorder": {"# TYPE h histogram\nh_bucket{le=\"2\"} 1\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n", "line 1: h: its bucket 1 is out of order"},
		"a long value":        {"a{x=\"" + strings.Repeat("v", 2000) + "\"} 1\n", "line 1: a: the label x or its value is longer"},
		"a long help":         {"# HELP a " + strings.Repeat("v", 2000) + "\na 1\n", "line 1: a: the help"},
		"a long name":         {strings.Repeat("a", 300) + " 1\n", "the name is longer"},
		"braces alone":        {"# HELP a b\n{}", "the parser gives up"},
		"HTML":                {"<html><body>404</body></html>\n", "line 1: "},
		"zeros":               {strings.Repeat("\x00", 1<<16), "line 1: "},
		"too large":           {strings.Repeat("# x\n", 300_000), "larger than 1 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := textfiles(t, map[string]string{"a-good.prom": "good 1\n", "bad.prom": tc.text, "c-good.prom": "better 1\n"})
			s, families := textfilesAt(t, dir, nil)
			s.expect(t, "bad.prom", health.Warning, "file "+dir+"/bad.prom was not taken: ", tc.words)
			s.expect(t, "a-good.prom", health.OK)
			s.expect(t, "c-good.prom", health.OK)
			if len(families) != 2 || s.value(t, &textfileSuccess, "bad.prom") != 0 || s.value(t, &textfileMtime, "bad.prom") == 0 {
				t.Errorf("families %v, samples %+v", families, s.samples)
			}
		})
	}
}

// Of files that contradict each other the first by name holds.
func TestTextfilesThatContradict(t *testing.T) {
	t.Parallel()
	dir := textfiles(t, map[string]string{
		"1.prom": "# HELP a The help that holds.\n# TYPE a gauge\na{x=\"1\"} 1\n# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n",
		"2.prom": "# HELP a Another help.\n# TYPE a gauge\na{x=\"2\"} 2\n",
		"3.prom": "fine 1\n# TYPE a gauge\na{x=\"2\"} 3\n",
		"4.prom": "# TYPE a counter\na{x=\"4\"} 3\n",
		"5.prom": "h_count 3\n",
		"6.prom": "z_sum 3\n",
		"7.prom": "# TYPE z summary\nz_sum 3\nz_count 1\n",
	})
	s, families := textfilesAt(t, dir, nil)
	s.expect(t, "1.prom", health.OK)
	s.expect(t, "2.prom", health.OK)
	s.expect(t, "3.prom", health.Warning, `line 3: a: the series {x="2"} is in 2.prom too`)
	s.expect(t, "4.prom", health.Warning, "line 1: a: it is a counter here, and a gauge in a file before")
	s.expect(t, "5.prom", health.Warning, "line 1: h_count: it is the name of a sample of the histogram h")
	s.expect(t, "7.prom", health.Warning, "its sample z_sum is a family of its own too")
	if a := families["a"]; len(a.GetMetric()) != 2 || a.GetHelp() != "The help that holds." || families["fine"] != nil || len(families) != 3 {
		t.Errorf("families %v", families)
	}
}

func TestTextfileBounds(t *testing.T) {
	t.Parallel()
	files := make(map[string]string)
	for i := range maxTextfiles + 3 {
		files[fmt.Sprintf("f%03d.prom", i)] = fmt.Sprintf("m%d 1\n", i)
	}
	s, families := textfilesAt(t, textfiles(t, files), nil)
	s.expect(t, "directory", health.Warning, "67 files *.prom; only the first 64 are read")
	if len(families) != maxTextfiles {
		t.Errorf("%d families", len(families))
	}

	dir := textfiles(t, map[string]string{"1.prom": goodTextfile, "2.prom": "a 1\nb 1\nc 1\n", "3.prom": "d 1\n"})
	s, families = textfilesAt(t, dir, func(s *textfileSettings) { s.MaxSeries = 10 })
	s.expect(t, "2.prom", health.Warning, "its 3 series are more than the 2 that are left of max_series 10")
	s.expect(t, "3.prom", health.OK)
	if families["d"] == nil || families["b"] != nil {
		t.Errorf("families %v", families)
	}
}

// What is no file is not waited for, and a link does not lead out.
func TestTextfileOddities(t *testing.T) {
	t.Parallel()
	secret := filepath.Join(t.TempDir(), "secret")
	must(t, os.WriteFile(secret, []byte("password hunter2\n"), 0o600))
	dir := textfiles(t, map[string]string{"real": "linked 1\n"})
	must(t, os.Symlink("real", filepath.Join(dir, "link.prom")))
	must(t, os.Symlink(secret, filepath.Join(dir, "out.prom")))
	must(t, os.Symlink("gone", filepath.Join(dir, "broken.prom")))
	must(t, os.Mkdir(filepath.Join(dir, "dir.prom"), 0o755))
	must(t, unix.Mkfifo(filepath.Join(dir, "pipe.prom"), 0o644))
	s, families := textfilesAt(t, dir, nil)
	s.expect(t, "link.prom", health.OK)
	s.expect(t, "out.prom", health.Warning, "escapes")
	s.expect(t, "broken.prom", health.Warning, "no such file")
	s.expect(t, "dir.prom", health.Warning, "not a regular file")
	s.expect(t, "pipe.prom", health.Warning, "not a regular file")
	if len(families) != 1 || families["linked"] == nil {
		t.Errorf("families %v", families)
	}
	for _, r := range s.results {
		if strings.Contains(r.Reason, "hunter2") {
			t.Errorf("told a secret: %s", r.Reason)
		}
	}
}

func TestTextfileAge(t *testing.T) {
	t.Parallel()
	dir := textfiles(t, map[string]string{"old.prom": "a 1\n", "older.prom": "b 1\n", "new.prom": "c 1\n"})
	must(t, os.Chtimes(filepath.Join(dir, "old.prom"), time.Time{}, time.Now().Add(-2*time.Hour)))
	must(t, os.Chtimes(filepath.Join(dir, "older.prom"), time.Time{}, time.Now().Add(-30*time.Hour)))
	must(t, os.Chtimes(filepath.Join(dir, "new.prom"), time.Time{}, time.Now().Add(time.Hour))) // of a clock ahead
	s, families := textfilesAt(t, dir, func(s *textfileSettings) {
		s.Thresholds.Age = DurationLimits{Warning: time.Hour, Critical: 24 * time.Hour}
	})
	s.expect(t, "old.prom", health.Warning, "old.prom was last written 2h0m", "ago")
	s.expect(t, "older.prom", health.Critical, "30h0m")
	s.expect(t, "new.prom", health.OK)
	if len(families) != 3 {
		t.Errorf("families %v", families)
	}
	if e := s.results["old.prom"].Evidence; e.Threshold != 3600 || e.Unit != "seconds" || e.Value < 7200 {
		t.Errorf("evidence %+v", e)
	}
}

func TestTextfileDirectory(t *testing.T) {
	t.Parallel()
	s := textfileSpec().Settings().(*textfileSettings)
	if _, err := s.New(testEnv()); !errors.Is(err, ErrAbsent) {
		t.Errorf("without a folder: %v", err)
	}
	gone := filepath.Join(t.TempDir(), "gone")
	got, _ := textfilesAt(t, gone, nil)
	got.expect(t, "directory", health.Unknown, gone, "no such file or directory")
	for want, change := range map[string]func(*textfileSettings){
		"directory: ":       func(s *textfileSettings) { s.Directory = "relative" },
		"max_series: ":      func(s *textfileSettings) { s.MaxSeries = 0 },
		"thresholds: age: ": func(s *textfileSettings) { s.Thresholds.Age.Warning = -1 },
	} {
		s := textfileSpec().Settings().(*textfileSettings)
		change(s)
		if err := s.Validate(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// FuzzTextfile holds that what is taken can be exported: a registry takes it.
func FuzzTextfile(f *testing.F) {
	f.Add(goodTextfile)
	f.Add("# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_sum 1\nh_count 1\n")
	f.Add("# HELP a b\n{}")
	f.Add("a{b=\"c\"} 1\na{b=\"d\"} 2\n")
	f.Fuzz(func(t *testing.T, text string) {
		merged := newTextFamilies(100)
		if _, err := merged.take("f", []byte(text)); err != nil {
			return
		}
		gatherer := prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) { return sortedFamilies(merged.families), nil })
		if _, err := (prometheus.Gatherers{gatherer}).Gather(); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	})
}
