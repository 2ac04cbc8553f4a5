package collectors

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
)

// one runs a check of one's own once, as the schedule would.
func one(t *testing.T, entry customEntry) seen {
	t.Helper()
	return oneAt(t, testEnv(), entry)
}

func oneAt(t *testing.T, env Env, entry customEntry) seen {
	t.Helper()
	s := customSpec().Settings().(*customSettings)
	entry.Name = "mine"
	s.Checks = []customEntry{entry}
	must(t, s.Validate())
	c, err := s.New(env)
	must(t, err)
	part := c.(Parted).Parts()[0]
	got := run(t, part.Collector, part.Timing.Timeout)
	if _, ok := got.results["mine"]; !ok || len(got.results) != 1 {
		t.Fatalf("verdicts %+v", got.results)
	}
	kind := entry.kind()
	if ok := got.results["mine"].Status == health.OK; got.value(t, &customSuccess, "mine", kind) != boolean(ok) {
		t.Errorf("success does not go with %+v", got.results["mine"])
	}
	if got.value(t, &customDuration, "mine", kind) <= 0 {
		t.Error("no duration")
	}
	return got
}

func TestCustomSettings(t *testing.T) {
	t.Parallel()
	script := func() *customScript { return &customScript{Path: "/bin/true"} }
	for want, change := range map[string]func(*customSettings){
		"checks: 1: name: \"\" is not":              func(s *customSettings) { s.Checks[0].Name = "" },
		"checks: 1: name: \"a b\" is not":           func(s *customSettings) { s.Checks[0].Name = "a b" },
		"checks: 2: name: a is the name of check 1": func(s *customSettings) { s.Checks = append(s.Checks, customEntry{Name: "a", Script: script()}) },
		"checks: 1: name: a has 0 of the blocks":    func(s *customSettings) { s.Checks[0].Script = nil },
		"checks: 1: name: a has 2 of the blocks":    func(s *customSettings) { s.Checks[0].TCP = &customTCP{} },
		"checks: 1: severity: ":                     func(s *customSettings) { s.Checks[0].Severity = "loud" },
		"checks: 1: interval: ":                     func(s *customSettings) { s.Checks[0].Interval = time.Millisecond },
		"checks: 1: timeout: ":                      func(s *customSettings) { s.Checks[0].Timeout = time.Hour },
		"checks: 1: failure_threshold: ":            func(s *customSettings) { s.Checks[0].FailureThreshold = -1 },
		"checks: 1: script: path: path or shell":    func(s *customSettings) { s.Checks[0].Script = &customScript{} },
		"checks: 1: script: path: \"x\" is not":     func(s *customSettings) { s.Checks[0].Script.Path = "x" },
		"checks: 1: script: args: ":                 func(s *customSettings) { s.Checks[0].Script = &customScript{Shell: "ls", Args: []string{"a"}} },
		"checks: 1: script: directory: ":            func(s *customSettings) { s.Checks[0].Script.Directory = "x" },
		"checks: 1: script: env: ":                  func(s *customSettings) { s.Checks[0].Script.Env = map[string]string{"a=b": ""} },
		"checks: 1: script: thresholds: load: ":     func(s *customSettings) { s.Checks[0].Script.Thresholds = map[string]Limits{"load": {2, 1}} },
		"checks: 1: http: url: ":                    func(s *customSettings) { s.Checks[0] = customEntry{Name: "a", HTTP: &customHTTP{URL: "ftp://a"}} },
		"checks: 1: http: url: names a user":        func(s *customSettings) { s.Checks[0] = customEntry{Name: "a", HTTP: &customHTTP{URL: "http://u:p@a"}} },
		"checks: 1: http: method: \"PUT\"": func(s *customSettings) {
			s.Checks[0] = customEntry{Name: "a", HTTP: &customHTTP{URL: "http://a", Method: "PUT"}}
		},
		"checks: 1: http: method: the answer to HEAD": func(s *customSettings) {
			s.Checks[0] = customEntry{Name: "a", HTTP: &customHTTP{URL: "http://a", Method: "HEAD", Contains: "x"}}
		},
		"checks: 1: http: headers: ": func(s *customSettings) {
			s.Checks[0] = customEntry{Name: "a", HTTP: &customHTTP{URL: "http://a", Headers: map[string]string{"a": "b\nc"}}}
		},
		"checks: 1: http: status: ": func(s *customSettings) {
			s.Checks[0] = customEntry{Name: "a", HTTP: &customHTTP{URL: "http://a", Status: []int{20}}}
		},
		"checks: 1: http: matches: ": func(s *customSettings) {
			s.Checks[0] = customEntry{Name: "a", HTTP: &customHTTP{URL: "http://a", Matches: "("}}
		},
		"checks: 1: http: cert_file: ": func(s *customSettings) {
			s.Checks[0] = customEntry{Name: "a", HTTP: &customHTTP{URL: "http://a", CertFile: "x"}}
		},
		"checks: 1: http: thresholds: certificate_left": func(s *customSettings) {
			s.Checks[0] = customEntry{Name: "a", HTTP: &customHTTP{URL: "http://a", Thresholds: customHTTPThresholds{CertificateLeft: &DurationLimits{1, 2}}}}
		},
		"checks: 1: http: thresholds: latency: ": func(s *customSettings) {
			s.Checks[0] = customEntry{Name: "a", HTTP: &customHTTP{URL: "http://a", Thresholds: customHTTPThresholds{Latency: DurationLimits{2, 1}}}}
		},
		"checks: 1: tcp: address: ":     func(s *customSettings) { s.Checks[0] = customEntry{Name: "a", TCP: &customTCP{Address: "a"}} },
		"checks: 1: process: program: ": func(s *customSettings) { s.Checks[0] = customEntry{Name: "a", Process: &customProcess{}} },
		"checks: 1: process: cmdline: ": func(s *customSettings) { s.Checks[0] = customEntry{Name: "a", Process: &customProcess{Cmdline: "("}} },
		"checks: 1: process: min: 0 without": func(s *customSettings) {
			s.Checks[0] = customEntry{Name: "a", Process: &customProcess{Program: "a", Min: new(int)}}
		},
		"checks: 1: file_age: path: ": func(s *customSettings) { s.Checks[0] = customEntry{Name: "a", FileAge: &customFile{Path: "/a["}} },
		"checks: 1: file_age: absent: ": func(s *customSettings) {
			s.Checks[0] = customEntry{Name: "a", FileAge: &customFile{Path: "/a", Absent: true, MinSize: 1}}
		},
		"checks: 101 are more than 100": func(s *customSettings) { s.Checks = make([]customEntry, 101) },
	} {
		s := customSpec().Settings().(*customSettings)
		s.Checks = []customEntry{{Name: "a", Script: script()}}
		must(t, s.Validate())
		change(s)
		if err := s.Validate(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: error %v", want, err)
		}
	}
}

// Each check has its own Timing, and that of the block where it says nothing.
func TestCustomTimings(t *testing.T) {
	t.Parallel()
	s := customSpec().Settings().(*customSettings)
	if _, err := s.New(testEnv()); !errors.Is(err, ErrAbsent) {
		t.Errorf("without checks: %v", err)
	}
	s.Checks = []customEntry{
		{Name: "plain", Script: &customScript{Path: "/bin/true"}},
		{Name: "own", Script: &customScript{Path: "/bin/true"}, Timing: Timing{Interval: 5 * time.Second, FailureThreshold: 7}},
	}
	must(t, s.Validate())
	c, err := s.New(testEnv())
	must(t, err)
	parts := c.(Parted).Parts()
	if parts[0].Timing != s.Timing || parts[0].Name != "plain" || parts[0].Collector.Name() != "custom" {
		t.Errorf("part %+v", parts[0])
	}
	if want := (Timing{Interval: 5 * time.Second, Timeout: 4 * time.Second, FailureThreshold: 7, SuccessThreshold: 1}); parts[1].Timing != want {
		t.Errorf("part %+v", parts[1])
	}
	all := run(t, c, 20*time.Second)
	all.expect(t, "plain", health.OK)
	all.expect(t, "own", health.OK)
}

func TestCustomProcess(t *testing.T) {
	t.Parallel()
	// A program of a name that nobody else has, too long for the kernel.
	dir := t.TempDir()
	sleep, err := exec.LookPath("sleep")
	must(t, err)
	program := fmt.Sprintf("grapevine-sleeper-%d", os.Getpid())
	text, err := os.ReadFile(sleep)
	must(t, err)
	writeProgram(t, filepath.Join(dir, program), text)
	s := one(t, customEntry{Process: &customProcess{Program: program}})
	s.expect(t, "mine", health.Critical, "mine: 0 processes run of "+program+", at least 1 are wanted")
	one(t, customEntry{Severity: "warning", Process: &customProcess{Program: program}}).expect(t, "mine", health.Warning)

	for range 2 {
		cmd := exec.Command(filepath.Join(dir, program), "1000")
		must(t, cmd.Start())
		t.Cleanup(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		})
	}
	dead := exec.Command(filepath.Join(dir, program), "0") // a zombie, until it is waited for
	must(t, dead.Start())
	t.Cleanup(func() { _ = dead.Wait() })
	until(t, "two sleep", func() bool {
		return one(t, customEntry{Process: &customProcess{Program: program}}).value(t, &customProcesses, "mine") == 2
	})
	zero := 0
	for name, tc := range map[string]struct {
		process customProcess
		status  health.Status
	}{
		"program":           {customProcess{Program: program}, health.OK},
		"cut short":         {customProcess{Program: program[:15]}, health.OK},
		"another":           {customProcess{Program: program[:15] + "x"}, health.Critical},
		"cmdline":           {customProcess{Cmdline: program + " 1000$"}, health.OK},
		"both":              {customProcess{Program: program, Cmdline: "1000"}, health.OK},
		"another cmdline":   {customProcess{Program: program, Cmdline: "1001"}, health.Critical},
		"user by number":    {customProcess{Program: program, User: fmt.Sprint(os.Geteuid())}, health.OK},
		"another user":      {customProcess{Program: program, User: "4242"}, health.Critical},
		"nobody":            {customProcess{Program: program, User: "no-such-user"}, health.Unknown},
		"too many":          {customProcess{Program: program, Max: 1}, health.Critical},
		"none is to run":    {customProcess{Program: program, Min: &zero, Max: 1}, health.Critical},
		"as many as may":    {customProcess{Program: program, Max: 2}, health.OK},
		"the kernel's ones": {customProcess{Cmdline: "^$"}, health.Critical},
	} {
		if got := one(t, customEntry{Process: &tc.process}).results["mine"]; got.Status != tc.status {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestCustomFileAge(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	env := envAt(root)
	dir := filepath.Join(root, "backup")
	must(t, os.Mkdir(dir, 0o755))
	for name, age := range map[string]time.Duration{"old.tgz": 48 * time.Hour, "new.tgz": time.Hour} {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte("12345"), 0o600))
		must(t, os.Chtimes(filepath.Join(dir, name), time.Time{}, time.Now().Add(-age)))
	}
	day := customFileThresholds{DurationLimits{Warning: 24 * time.Hour, Critical: 72 * time.Hour}}
	for name, tc := range map[string]struct {
		file   customFile
		status health.Status
		words  string
	}{
		"new":              {customFile{Path: "/backup/new.tgz", Thresholds: day}, health.OK, ""},
		"old":              {customFile{Path: "/backup/old.tgz", Thresholds: day}, health.Warning, "old.tgz was last written 48h0m0s ago"},
		"newest":           {customFile{Path: "/backup/*.tgz", Thresholds: day}, health.OK, ""},
		"oldest":           {customFile{Path: "/backup/*.tgz", Oldest: true, Thresholds: day}, health.Warning, "old.tgz"},
		"missing":          {customFile{Path: "/backup/gone.tgz"}, health.Critical, "mine: there is no /backup/gone.tgz"},
		"none":             {customFile{Path: "/backup/*.zip"}, health.Critical, "there is no /backup/*.zip"},
		"none, and fine":   {customFile{Path: "/backup/*.zip", Optional: true}, health.OK, ""},
		"small":            {customFile{Path: "/backup/new.tgz", MinSize: 6}, health.Critical, "new.tgz has 5 bytes, at least 6 are wanted"},
		"large enough":     {customFile{Path: "/backup/new.tgz", MinSize: 5}, health.OK, ""},
		"is not to be":     {customFile{Path: "/backup/o*", Absent: true}, health.Critical, "there is " + dir + "/old.tgz, which is not to be"},
		"is not":           {customFile{Path: "/backup/core*", Absent: true}, health.OK, ""},
		"a folder's age":   {customFile{Path: "/backup", Thresholds: day}, health.OK, ""},
		"no folder on way": {customFile{Path: "/backup/new.tgz/x"}, health.Unknown, "not a directory"},
		"a mark in a name": {customFile{Path: "/backup/ne?.tgz"}, health.OK, ""},
	} {
		got := oneAt(t, env, customEntry{FileAge: &tc.file}).results["mine"]
		if got.Status != tc.status || !strings.Contains(got.Reason, tc.words) {
			t.Errorf("%s: %+v", name, got)
		}
	}
	s := oneAt(t, env, customEntry{FileAge: &customFile{Path: "/backup/*.tgz"}})
	if age := s.value(t, &customFileAge, "mine"); age < 3600 || age > 3700 || s.value(t, &customFiles, "mine") != 2 || s.value(t, &customFileSize, "mine") != 5 {
		t.Errorf("samples %+v", s.samples)
	}
}
