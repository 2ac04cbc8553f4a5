package collectors

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/grapevine-mesh/grapevine/health"
)

// script writes a program of the shell.
func script(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "check")
	writeProgram(t, path, []byte("#!/bin/sh\n"+text+"\n"))
	return path
}

// writeProgram writes what is to be run, and keeps children of other tests
// from being born with the file open: nobody could run it as long as they are.
func writeProgram(t *testing.T, path string, text []byte) {
	t.Helper()
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	must(t, os.WriteFile(path, text, 0o755))
}

func TestCustomScriptExitCodes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]struct {
		status health.Status
		code   float64
		reason string
	}{
		"echo 'RAID OK - 2 of 2 | x=1'; echo long":       {health.OK, 0, "RAID OK - 2 of 2"},
		"echo 'RAID WARNING - rebuilding'; exit 1":       {health.Warning, 1, "mine says: RAID WARNING - rebuilding"},
		"echo 'RAID CRITICAL - sdb failed'; exit 2":      {health.Critical, 2, "mine says: RAID CRITICAL - sdb failed"},
		"echo 'no controller'; exit 3":                   {health.Unknown, 3, "mine says: no controller"},
		"echo text; exit 4":                              {health.Unknown, 4, "mine ended with exit status 4, which is none of 0 to 3; it said: text"},
		"no-such-program":                                {health.Unknown, 127, "exit status 127"},
		"echo trouble >&2; exit 2":                       {health.Critical, 2, "mine says: on stderr: trouble"},
		"exit 1":                                         {health.Warning, 1, "mine says: nothing"},
		"kill -SEGV $$":                                  {health.Unknown, -1, "mine was killed (signal: segmentation fault"},
		`printf 'a\tb\033[31m\377 |x'; exit 1`:           {health.Warning, 1, "mine says: a b [31m?"},
		`yes long | head -c 2000 | tr -d '\n'; exit 2`:   {health.Critical, 2, "longlong"},
		"read line; echo \"got '$line'\"; exit 1":        {health.Warning, 1, "mine says: got ''"},        // nothing on stdin
		`echo "$1/$#"; exit 1`:                           {health.Warning, 1, "mine says: a; rm -rf b/2"}, // no shell sees the arguments
		`pwd; exit 1`:                                    {health.Warning, 1, "mine says: /"},
		`env | cut -d= -f1 | sort | tr '\n' ' '; exit 1`: {health.Warning, 1, "mine says: EXTRA LANG NODE PATH PWD"},
		`echo "$NODE $EXTRA"; exit 1`:                    {health.Warning, 1, "mine says: test more"},
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			s := one(t, customEntry{Script: &customScript{Path: script(t, text), Args: []string{"a; rm -rf b", "c"}, Env: map[string]string{"EXTRA": "more"}}})
			s.expect(t, "mine", want.status, want.reason)
			if code := s.value(t, &customExitCode, "mine"); code != want.code {
				t.Errorf("exit code %v", code)
			}
		})
	}
}

func TestCustomScriptShell(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := one(t, customEntry{Script: &customScript{Shell: `echo "$(pwd) | n=$(printf 'a\nb\n' | wc -l)"`, Directory: dir}})
	s.expect(t, "mine", health.OK, dir)
	if s.value(t, &customPerfdata, "mine", "n", "") != 2 {
		t.Errorf("samples %+v", s.samples)
	}
}

func TestCustomScriptPerfdata(t *testing.T) {
	t.Parallel()
	entry := customEntry{Script: &customScript{
		Path:       script(t, `echo "LOAD OK | load1=0.5;5;10;0 'free space'=12.5%;10:;5: size=2KB;;;0;"; echo long text; echo "more | time=250ms"; echo "c=17c bad=x u=U"`),
		Thresholds: map[string]Limits{"time": {Warning: 0.2, Critical: 1}},
	}}
	s := one(t, entry)
	s.expect(t, "mine", health.Warning, "mine measured time of 0.25 seconds")
	if e := s.results["mine"].Evidence; e.Value != 0.25 || e.Threshold != 0.2 || e.Unit != "seconds" {
		t.Errorf("evidence %+v", e)
	}
	got := make(map[string]float64)
	for _, sample := range s.samples {
		if sample.Metric == &customPerfdata {
			got[strings.Join(sample.Labels, "/")] = sample.Value
		}
	}
	want := map[string]float64{"mine/load1/": 0.5, "mine/free space/ratio": 0.125, "mine/size/bytes": 2048, "mine/time/seconds": 0.25, "mine/c/count": 17}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// dies waits until a process has ended; a zombie, which only waits for its
// parent, has.
func dies(t *testing.T, pid int) {
	t.Helper()
	until(t, fmt.Sprintf("process %d ends", pid), func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		return err != nil || strings.Contains(string(stat), ") Z ")
	})
}

// pids reads the numbers that a script has written.
func pids(t *testing.T, file string, count int) []int {
	t.Helper()
	var all []int
	until(t, "the script has written its children", func() bool {
		text, err := os.ReadFile(file)
		all = nil
		for field := range strings.FieldsSeq(string(text)) {
			pid, err := strconv.Atoi(field)
			must(t, err)
			all = append(all, pid)
		}
		return err == nil && len(all) == count
	})
	return all
}

func killAtEnd(t *testing.T, pids []int) {
	t.Cleanup(func() {
		for _, pid := range pids {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
	})
}

// A script that hangs with its children costs its timeout, and they end with
// it, however deaf.
func TestCustomScriptThatHangs(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "pids")
	path := script(t, `trap '' TERM INT HUP
echo "checking"
sh -c 'trap "" TERM; echo $$ >> `+file+`; sleep 1000 & echo $! >> `+file+`; wait' &
echo $$ >> `+file+`
wait`)
	s := one(t, customEntry{Script: &customScript{Path: path}, Timing: Timing{Interval: 3 * time.Second, Timeout: 2 * time.Second}})
	s.expect(t, "mine", health.Unknown, "mine did not end within", "was killed; it said: checking")
	if s.value(t, &customExitCode, "mine") != -1 {
		t.Errorf("samples %+v", s.samples)
	}
	all := pids(t, file, 3)
	killAtEnd(t, all)
	for _, pid := range all {
		dies(t, pid)
	}
}

// What a script leaves behind in its group ends with it, and does not hold up
// the answer by keeping the output open.
func TestCustomScriptThatLeavesChildren(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "pids")
	s := one(t, customEntry{Script: &customScript{Path: script(t, "sleep 1000 &\necho $! > "+file+"\necho fine")}})
	s.expect(t, "mine", health.OK, "fine")
	all := pids(t, file, 1)
	killAtEnd(t, all)
	dies(t, all[0])

	// One that has left the group is out of reach, and said.
	s = one(t, customEntry{Script: &customScript{Path: script(t, "setsid sh -c 'echo $$ > "+file+".2; exec sleep 1000' &\nwhile ! test -s "+file+".2; do sleep 0.05; done; echo fine")}})
	killAtEnd(t, pids(t, file+".2", 1))
	s.expect(t, "mine", health.OK, "fine", "left a process behind that still holds its output open")
}

// No run leaves a zombie, also where orphans become this program's children.
func TestCustomScriptZombies(t *testing.T) {
	must(t, unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))
	t.Cleanup(func() { must(t, unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)) })
	file := filepath.Join(t.TempDir(), "pids")
	one(t, customEntry{Script: &customScript{Path: script(t, "sleep 1000 &\necho $! > "+file+"\necho $$ >> "+file)}})
	for _, pid := range pids(t, file, 2) {
		if stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err == nil {
			t.Errorf("left: %s", stat)
		}
	}
}

func TestCustomScriptThatFloods(t *testing.T) {
	t.Parallel()
	s := one(t, customEntry{Script: &customScript{Path: script(t, "echo first; head -c 3000000 /dev/zero | tr '\\0' x; yes >&2 | head -c 1 ; exit 1"), Shell: ""}, Timing: Timing{Timeout: 4 * time.Second}})
	s.expect(t, "mine", health.Unknown, "did not end within", "it said: first", "MiB of its output were discarded")
	if n := s.value(t, &customDiscarded, "mine"); n != 3000000+6-maxScriptOutput {
		t.Errorf("%v bytes discarded", n)
	}
	s = one(t, customEntry{Script: &customScript{Shell: "yes"}, Timing: Timing{Interval: 2 * time.Second, Timeout: time.Second}})
	s.expect(t, "mine", health.Unknown, "did not end within", "it said: y (")
}

func TestCustomScriptsThatAreNotRun(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ran := filepath.Join(dir, "ran")
	file := func(name string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		must(t, os.WriteFile(path, []byte("#!/bin/sh\ntouch "+ran+"\n"), 0o600))
		must(t, os.Chmod(path, mode))
		return path
	}
	open := filepath.Join(dir, "open")
	must(t, os.Mkdir(open, 0o700))
	must(t, os.WriteFile(filepath.Join(open, "check"), []byte("#!/bin/sh\ntouch "+ran+"\n"), 0o755))
	must(t, os.Chmod(open, 0o777))
	link := filepath.Join(dir, "link")
	must(t, os.Symlink(filepath.Join(open, "check"), link))
	for path, words := range map[string]string{
		filepath.Join(dir, "missing"):       "no such file or directory",
		dir:                                 "is not a file",
		file("plain", 0o644):                "is not executable; chmod +x it",
		file("writable", 0o757):             "everybody may write to " + dir + "/writable",
		file("setuid", 0o755|os.ModeSetuid): "is setuid or setgid",
		filepath.Join(open, "check"):        "everybody may write to the directory " + open,
		link:                                "everybody may write to the directory " + open,
	} {
		one(t, customEntry{Script: &customScript{Path: path}}).expect(t, "mine", health.Unknown, "mine was not run: ", words)
	}
	odd := filepath.Join(dir, "odd")
	writeProgram(t, odd, []byte("\x7fELF not really"))
	one(t, customEntry{Script: &customScript{Path: odd}}).expect(t, "mine", health.Unknown, "mine was not run: ", "exec format error")
	if _, err := os.Stat(ran); err == nil {
		t.Error("one was run")
	}
}

func TestPluginOutput(t *testing.T) {
	t.Parallel()
	for output, want := range map[string]struct {
		first string
		data  []perfdatum
	}{
		"":                                {"", nil},
		"|":                               {"", nil},
		"OK":                              {"OK", nil},
		"OK | a=1":                        {"OK", []perfdatum{{"a", "", 1}}},
		"OK|a=1 b=2ms":                    {"OK", []perfdatum{{"a", "", 1}, {"b", "seconds", 0.002}}},
		"OK | 'it''s a = b'=1B;2;3":       {"OK", []perfdatum{{"it's a = b", "bytes", 1}}},
		"OK | a=-1.5e3us a=2us":           {"OK", []perfdatum{{"a", "seconds", -1.5e-3}}},
		"OK | a=5EB b=1KiB c=1kb d=1TB":   {"OK", []perfdatum{{"a", "bytes", 5 * (1 << 60)}, {"b", "bytes", 1024}, {"c", "bytes", 1024}, {"d", "bytes", 1 << 40}}},
		"OK | a=1rpm b=U c= =3 d e=1,5":   {"OK", []perfdatum{{"a", "rpm", 1}, {"e", ",5", 1}}},
		"OK | a=1e999 b=nan c=0x10":       {"OK", []perfdatum{{"c", "x10", 0}}},
		"OK\nlong\nlonger | a=1\nb=2\n":   {"OK", []perfdatum{{"a", "", 1}, {"b", "", 2}}},
		"OK | a=1\nlong | b=2\nc=3%":      {"OK", []perfdatum{{"a", "", 1}, {"b", "", 2}, {"c", "ratio", 0.03}}},
		"OK | 'never closed=1 b=2":        {"OK", nil},
		"DISK OK | /=2643MB;5948;5958;0;": {"DISK OK", []perfdatum{{"/", "bytes", 2643 << 20}}},
	} {
		first, data := pluginOutput(output)
		if first != want.first || !slices.EqualFunc(data, want.data, func(a, b perfdatum) bool {
			return a.label == b.label && a.unit == b.unit && (a.value-b.value)*(a.value-b.value) <= 1e-20*b.value*b.value
		}) {
			t.Errorf("%q: %q, %+v", output, first, data)
		}
	}
	if _, data := pluginOutput("OK |" + strings.Repeat(" a=1", 10)); len(data) != 1 {
		t.Errorf("doubles: %v", data)
	}
	var many strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&many, " a%d=1", i)
	}
	if _, data := pluginOutput("OK |" + many.String()); len(data) != maxPerfdata {
		t.Errorf("%d data", len(data))
	}
}

func FuzzPluginOutput(f *testing.F) {
	f.Add("OK | 'a b'=1ms;2;3;4;5 c=2%\nlong | d=1")
	f.Add("|\x12=00")
	f.Fuzz(func(t *testing.T, output string) {
		_, data := pluginOutput(output)
		if len(data) > maxPerfdata {
			t.Errorf("%d data", len(data))
		}
		for _, d := range data {
			if d.label == "" || len(d.label) > 100 || len(d.unit) > 20 || d.value != d.value {
				t.Errorf("%+v", d)
			}
		}
	})
}
