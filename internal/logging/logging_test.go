package logging

import (
	"bytes"
	"encoding/json"
	stdlog "log"
	"regexp"
	"testing"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
)

func TestLogfmt(t *testing.T) {
	var out bytes.Buffer
	logger, err := New(&out, "info", "logfmt")
	if err != nil {
		t.Fatal(err)
	}
	_ = level.Debug(logger).Log("msg", "not shown")
	_ = level.Info(logger).Log("msg", "two words")
	_ = level.Warn(log.With(logger, "component", "mesh")).Log("msg", "x")
	want := regexp.MustCompile(`^ts=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z caller=logging_test\.go:\d+ level=info msg="two words"
ts=\S+Z caller=logging_test\.go:\d+ level=warn component=mesh msg=x
$`)
	if !want.MatchString(out.String()) {
		t.Errorf("wrote\n%swant\n%s", out.String(), want)
	}
}

func TestJSON(t *testing.T) {
	var out bytes.Buffer
	logger, err := New(&out, "error", "json")
	if err != nil {
		t.Fatal(err)
	}
	_ = level.Warn(logger).Log("msg", "not shown")
	_ = level.Error(logger).Log("msg", "shown", "n", 3)
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatalf("%v in %q", err, out.String())
	}
	if line["msg"] != "shown" || line["level"] != "error" || line["n"] != 3.0 || line["ts"] == nil {
		t.Errorf("wrote %v", line)
	}
}

func TestRefused(t *testing.T) {
	for _, words := range [][2]string{{"loud", "json"}, {"info", "xml"}, {"", "json"}} {
		if _, err := New(&bytes.Buffer{}, words[0], words[1]); err == nil {
			t.Errorf("level %q, format %q: taken", words[0], words[1])
		}
	}
	for _, l := range Levels {
		for _, f := range Formats {
			if _, err := New(&bytes.Buffer{}, l, f); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestTakeStandard(t *testing.T) {
	flags, to := stdlog.Flags(), stdlog.Writer()
	defer func() { stdlog.SetFlags(flags); stdlog.SetOutput(to) }()
	var out bytes.Buffer
	logger, err := New(&out, "debug", "logfmt")
	if err != nil {
		t.Fatal(err)
	}
	TakeStandard(logger)
	stdlog.Print("out of turn")
	if line := out.String(); !regexp.MustCompile(`level=debug .*msg="out of turn"`).MatchString(line) {
		t.Errorf("wrote %q", line)
	}
}
