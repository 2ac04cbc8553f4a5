package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/grapevine-mesh/grapevine/collectors"
)

type limits struct {
	Warning  float64 `yaml:"warning"`
	Critical float64 `yaml:"critical"`
}

type settings struct {
	collectors.Timing `yaml:",inline"`

	Endpoints []string          `yaml:"endpoints"`
	Secure    bool              `yaml:"secure"`
	Name      string            `yaml:"name"`
	Grace     *time.Duration    `yaml:"grace"`
	Limits    map[string]limits `yaml:"limits"`
	Latency   limits            `yaml:"latency"`
	Small     int8              `yaml:"small"`
	Items     []settingsItem    `yaml:"items"`
}

// settingsItem is of a list, with a block that may be left out.
type settingsItem struct {
	collectors.Timing `yaml:",inline"`

	Title string  `yaml:"title"`
	Inner *limits `yaml:"inner"`
}

func (s *settings) New(collectors.Env) (collectors.Collector, error) { return nil, nil }

func (s *settings) Validate() error {
	if err := s.Timing.Validate(); err != nil {
		return err
	}
	if s.Latency.Warning > s.Latency.Critical {
		return errText("latency: warning: above critical")
	}
	for i, item := range s.Items {
		if item.Inner != nil && item.Inner.Warning < 0 {
			return fmt.Errorf("items: %d: inner: warning: below zero", i+1)
		}
		if item.Title == "" {
			return fmt.Errorf("items: %d: title: missing", i+1)
		}
	}
	return nil
}

type errText string

func (e errText) Error() string { return string(e) }

func specs() []collectors.Spec {
	defaults := func() collectors.Settings {
		return &settings{
			Timing:    collectors.Timing{Interval: 10 * time.Second, Timeout: 2 * time.Second, FailureThreshold: 3, SuccessThreshold: 2},
			Endpoints: []string{"a"},
			Latency:   limits{1, 2},
		}
	}
	return []collectors.Spec{{Name: "disk", Settings: defaults}, {Name: "etcd", Settings: defaults}}
}

func write(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "grapevine.yml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestLoad(t *testing.T) {
	file := write(t, `# a comment
checks:
  disk: &shared
    interval: 1m
    grace: 3s
    endpoints: [https://b:1, "c"]
    secure: true
    name: 17
    small: -3
    limits:
      sda: {warning: 0.5, critical: 1e3}
    latency: {critical: 5}
    items:
      - title: one
        interval: 3s
      - {title: two, inner: {critical: 7}}
  etcd: *shared
`)
	cfg, err := Load(file, specs())
	if err != nil {
		t.Fatal(err)
	}
	grace := 3 * time.Second
	want := &settings{
		Timing:    collectors.Timing{Interval: time.Minute, Timeout: 2 * time.Second, FailureThreshold: 3, SuccessThreshold: 2},
		Endpoints: []string{"https://b:1", "c"}, Secure: true, Name: "17", Grace: &grace, Small: -3,
		Limits:  map[string]limits{"sda": {0.5, 1000}},
		Latency: limits{1, 5},
		Items: []settingsItem{
			{Timing: collectors.Timing{Interval: 3 * time.Second}, Title: "one"},
			{Title: "two", Inner: &limits{0, 7}},
		},
	}
	for _, name := range []string{"disk", "etcd"} {
		if diff := cmp.Diff(want, cfg.Checks[name]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestDefaults(t *testing.T) {
	for name, file := range map[string]string{
		"no file":       "",
		"an empty file": write(t, ""),
		"only comments": write(t, "# nothing\n---\n"),
		"no checks":     write(t, "checks:\n"),
		"an empty one":  write(t, "checks:\n  etcd:\n"),
		"curly braces":  write(t, "{}"),
	} {
		t.Run(name, func(t *testing.T) {
			cfg, err := Load(file, specs())
			if err != nil {
				t.Fatal(err)
			}
			for _, spec := range specs() {
				if diff := cmp.Diff(spec.Settings(), cfg.Checks[spec.Name]); diff != "" {
					t.Errorf("%s (-want +got):\n%s", spec.Name, diff)
				}
			}
		})
	}
}

func TestRefused(t *testing.T) {
	const keys = "interval, timeout, failure_threshold, success_threshold, endpoints, secure, name, grace, limits, latency, small, items"
	tests := []struct {
		name, text string
		want       []string // without the file's name
	}{
		{"unknown key", "checks:\n  etcd:\n    timeout: 1s\n    intervall: 1s\n", []string{`4: unknown key "intervall"; known here: ` + keys}},
		{"unknown check", "checks:\n  etdc: {}\n", []string{`2: unknown key "etdc"; known here: disk, etcd`}},
		{"unknown section", "check: {}\n", []string{`1: unknown key "check"; known here: checks`}},
		{"unknown nested key", "checks:\n  etcd:\n    latency:\n      warn: 1\n", []string{`4: unknown key "warn"; known here: warning, critical`}},
		{"unknown key in a mapping's value", "checks:\n  etcd:\n    limits:\n      sda: {warn: 1}\n", []string{`4: unknown key "warn"; known here: warning, critical`}},
		{"merge keys are no keys", "checks:\n  disk: &a {}\n  etcd:\n    <<: *a\n", []string{`4: unknown key "<<"; known here: ` + keys}},
		{"a list as key", "checks:\n  etcd:\n    [a]: 1\n", []string{`3: unknown key ""; known here: ` + keys}},
		{"wrong types", `checks:
  etcd:
    interval: soon
    timeout: 5
    failure_threshold: many
    success_threshold: 1.5
    endpoints: https://one
    secure: perhaps
    name: true
    latency: 3
    limits: [a]
    grace:
    small: 1000
  disk: [a]
`, []string{
			`3: interval: "soon" is not a duration such as 15s or 2m30s`,
			`4: timeout: "5" is not a duration such as 15s or 2m30s`,
			`5: failure_threshold: "many" is not a whole number that fits`,
			`6: success_threshold: "1.5" is not a whole number that fits`,
			`7: endpoints: "https://one", where a list is wanted`,
			`8: secure: "perhaps" is not true or false`,
			`9: name: "true" is not a text`,
			`10: latency: "3", where keys are wanted: warning, critical`,
			`11: limits: a list, where keys are wanted: `,
			`12: grace: no value, where a duration such as 15s or 2m30s is wanted`,
			`13: small: "1000" is not a whole number that fits`,
			`14: disk: a list, where keys are wanted: ` + keys,
		}},
		{"keys where a value is wanted", "checks:\n  etcd:\n    name: {a: b}\n", []string{`3: name: keys, where a text is wanted`}},
		{"a null in a list", "checks:\n  etcd:\n    endpoints: [~]\n", []string{`3: endpoints: no value, where a text is wanted`}},
		{"not a number", "checks:\n  etcd:\n    latency: {warning: .nan}\n", []string{`3: warning: ".nan" is not a number`}},
		{"impossible interval", "checks:\n  etcd:\n    name: x\n    interval: -5s\n", []string{`4: etcd: interval: -5s is not between 1s and 24h`}},
		{"impossible default", "checks:\n  disk:\n  etcd:\n    interval: 2s\n", []string{`3: etcd: timeout: 2s is not above 0 and at most 80% of the interval 2s`}},
		{"impossible nested value", "checks:\n  etcd:\n    latency:\n      warning: 9\n", []string{`4: etcd: latency: warning: above critical`}},
		{"impossible value in a list", "checks:\n  etcd:\n    items:\n      - title: a\n      - title: b\n        inner:\n          critical: 1\n          warning: -1\n", []string{`8: etcd: items: 2: inner: warning: below zero`}},
		{"missing value in a list", "checks:\n  etcd:\n    items:\n      - title: a\n      - interval: 3s\n", []string{`5: etcd: items: 2: title: missing`}},
		{"unknown key in a list", "checks:\n  etcd:\n    items:\n      - title: a\n        inner: {warn: 1}\n", []string{`5: unknown key "warn"; known here: warning, critical`}},
		{"no keys in a list", "checks:\n  etcd:\n    items: [a]\n", []string{`3: items: "a", where keys are wanted: interval, timeout, failure_threshold, success_threshold, title, inner`}},
		{"every block is judged", "checks:\n  etcd:\n    interval: 0s\n  disk:\n    interval: 25h\n", []string{
			`3: etcd: interval: 0s is not between 1s and 24h`,
			`5: disk: interval: 25h0m0s is not between 1s and 24h`,
		}},
		{"a key twice", "checks:\n  etcd:\n    name: a\n    name: b\n", []string{`4: key "name" again; line 3 has it already`}},
		{"a check twice", "checks:\n  etcd: {}\n  etcd: {}\n", []string{`3: key "etcd" again; line 2 has it already`}},
		{"tabs", "checks:\n  etcd:\n\t  interval: 1s\n", []string{`3: a tab; YAML is indented with spaces`}},
		{"two documents", "checks: {}\n---\nchecks: {}\n", []string{`2: a second document; only one is read`}},
		{"not UTF-8", "checks: {}\n# caf\xe9\n", []string{`2: not UTF-8`}},
		{"not YAML", "checks:\n  etcd: {\n", []string{`2: not YAML: did not find expected node content`}},
		{"a scalar", "hello", []string{`1: the document: "hello", where keys are wanted: checks`}},
		{"a list", "- checks", []string{`1: the document: a list, where keys are wanted: checks`}},
		{"an anchor in itself", "checks: &a\n  etcd: *a\n", nil},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			file := write(t, tc.text)
			_, err := Load(file, specs())
			if err == nil {
				t.Fatal("taken")
			}
			if tc.want == nil {
				return
			}
			want := file + ":" + strings.Join(tc.want, "\n"+file+":")
			if diff := cmp.Diff(want, err.Error()); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRefusedFiles(t *testing.T) {
	dir := t.TempDir()
	large := write(t, "# "+strings.Repeat("x", 10<<20))
	for file, want := range map[string]string{
		dir:                          dir + ": is a directory",
		filepath.Join(dir, "absent"): filepath.Join(dir, "absent") + ": no such file or directory",
		large:                        large + ": is longer than 1048576 bytes",
		"/dev/zero":                  "/dev/zero: is longer than 1048576 bytes",
	} {
		_, err := Load(file, specs())
		if err == nil || err.Error() != want {
			t.Errorf("%s: error %v, want %s", file, err, want)
		}
	}
}

// FuzzLoad holds that no text makes Load panic, run for ever, or fail without
// naming the file.
func FuzzLoad(f *testing.F) {
	for _, seed := range []string{"checks:\n  etcd: {interval: 1s}\n", "a: &a [*a]\n", "checks: &a\n  etcd: *a\n", "\t", "---\n---\n", "? [a]\n: b"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		file := write(t, text)
		if _, err := Load(file, specs()); err != nil {
			for line := range strings.SplitSeq(err.Error(), "\n") {
				if !strings.HasPrefix(line, file+":") {
					t.Errorf("error line %q does not name the file", line)
				}
			}
		}
	})
}
