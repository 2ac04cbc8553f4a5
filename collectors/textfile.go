package collectors

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
)

// What the textfile check exports of the files, beside what is in them.
var (
	textfileSuccess = Metric{
		Name: "grapevine_textfile_success", Type: health.Gauge, Labels: []string{"file"},
		Help: "Whether all of the file was taken. Of a file with a mistake nothing is.",
	}
	textfileMtime = Metric{
		Name: "grapevine_textfile_mtime_timestamp_seconds", Type: health.Gauge, Labels: []string{"file"},
		Help: "When the file was last written, in seconds since the epoch by the node's own clock.",
	}
	textfileSeries = Metric{
		Name: "grapevine_textfile_series", Type: health.Gauge, Labels: []string{"file"},
		Help: "Series the file holds, the buckets of histograms counted; 0 when it was not taken.",
	}
)

func textfileSpec() Spec {
	return Spec{
		Name:    "textfile",
		Summary: "metrics from the *.prom files of a folder, as cron jobs and scripts write them",
		Why:     "What only a script knows is seen beside everything else and reaches every node; a script that has stopped or writes garbage must not be silent.",
		Remedy:  "The reason names file and line. promtool check metrics < FILE says the same. Write to another name and rename, so that no half file is read; look at the job that writes it when the file is old.",
		Subject: "file, or \"directory\"",
		Metrics: []Metric{textfileSuccess, textfileMtime, textfileSeries},
		Settings: func() Settings {
			return &textfileSettings{
				Timing:    Timing{Interval: 15 * time.Second, Timeout: 5 * time.Second, FailureThreshold: 2, SuccessThreshold: 1},
				MaxSeries: 2000,
			}
		},
	}
}

// textfileSettings is the block "textfile" of the configuration file.
type textfileSettings struct {
	Timing `yaml:",inline"`

	// Directory is where the files are; empty means that there are none.
	Directory string `yaml:"directory"`
	// MaxSeries bounds what all files together may hold; the files that
	// come after are not taken. The mesh carries 20000 of a node in all.
	MaxSeries int `yaml:"max_series"`

	Thresholds textfileThresholds `yaml:"thresholds"`
}

type textfileThresholds struct {
	// Age of a file since it was last written. Only its writer's pace tells
	// what is old: off by default.
	Age DurationLimits `yaml:"age"`
}

// Validate names the first impossible value by its key.
func (s *textfileSettings) Validate() error {
	switch err := s.Timing.Validate(); {
	case err != nil:
		return err
	case s.Directory != "" && !filepath.IsAbs(s.Directory):
		return fmt.Errorf("directory: %q is not an absolute path", clip(s.Directory, 100))
	case s.MaxSeries < 1 || s.MaxSeries > 10000:
		return fmt.Errorf("max_series: %d is not between 1 and 10000", s.MaxSeries)
	}
	return validateLimits(namedLimits{"age", s.Thresholds.Age.seconds(), false})
}

// New needs a folder by name; whether it is there is seen in each run.
func (s *textfileSettings) New(env Env) (Collector, error) {
	if s.Directory == "" {
		return nil, fmt.Errorf("a folder of *.prom files is %w: no directory is configured", ErrAbsent)
	}
	return &textfileCheck{settings: *s, directory: env.Paths.inRoot(s.Directory)}, nil
}

type textfileCheck struct {
	settings  textfileSettings
	directory string
}

// Name is the check's name.
func (c *textfileCheck) Name() string { return "textfile" }

// Bounds of what is read.
const (
	maxTextfiles     = 64
	maxTextfileBytes = 1 << 20
)

// Collect reads one file after the other, in the order of their names, so
// that of two that contradict each other it is always the same one that holds.
func (c *textfileCheck) Collect(ctx context.Context, r *Report) error {
	const subject = "directory"
	root, err := os.OpenRoot(c.directory)
	var names []string
	if err == nil {
		defer root.Close()
		names, err = fs.Glob(root.FS(), "*.prom") // sorted
	}
	if err != nil {
		r.Verdict(subject, health.Unknown, clip(fmt.Sprintf("the folder %s cannot be read: %s", c.settings.Directory, cause(err, 0)), maxReason), health.Evidence{})
		return nil
	}
	if len(names) > maxTextfiles {
		r.Verdict(subject, health.Warning, clip(fmt.Sprintf("the folder %s holds %d files *.prom; only the first %d are read", c.settings.Directory, len(names), maxTextfiles), maxReason),
			health.Evidence{Value: float64(len(names)), Threshold: maxTextfiles, Unit: "files"})
		names = names[:maxTextfiles]
	} else {
		r.Verdict(subject, health.OK, "", health.Evidence{})
	}
	merged := newTextFamilies(c.settings.MaxSeries)
	for _, name := range names {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		c.file(r, root, name, merged)
	}
	for _, mf := range merged.families {
		r.Family(mf)
	}
	return nil
}

// file reads one file, takes what it holds into merged, and judges it.
func (c *textfileCheck) file(r *Report, root *os.Root, name string, merged *textFamilies) {
	label := clip(name, 100)
	a := &assessment{about: "file " + filepath.Join(c.settings.Directory, label)}
	text, written, err := readTextfile(root, name)
	series := 0
	if err == nil {
		series, err = merged.take(label, text)
	}
	r.Sample(&textfileSuccess, boolean(err == nil), label)
	r.Sample(&textfileSeries, float64(series), label)
	switch {
	case errors.Is(err, fs.ErrPermission):
		a.add(health.Unknown, "may not be read by this user")
	case err != nil:
		a.add(health.Warning, "was not taken: %v", err)
	}
	if !written.IsZero() {
		r.Sample(&textfileMtime, float64(written.UnixMilli())/1000, label)
		age := math.Max(0, time.Since(written).Seconds())
		limits := c.settings.Thresholds.Age.seconds()
		if _, limit := limits.judge(0); limit > 0 {
			a.measured = health.Evidence{Value: age, Threshold: limit, Unit: "seconds"}
		}
		a.hold(age, limits, "seconds", "was last written %s ago", time.Duration(age*float64(time.Second)).Round(time.Second))
	}
	a.verdict(r, label)
}

// readTextfile reads a regular file. A link may lead to another file of the
// folder, and not out of it: whoever may write there may not read everything
// that the agent may. The time is zero when it is not known.
func readTextfile(root *os.Root, name string) ([]byte, time.Time, error) {
	// Looked at before it is opened, and not waited for: to open a pipe or a
	// device can hang, or do something.
	if info, err := root.Stat(name); err != nil {
		return nil, time.Time{}, bare(err)
	} else if !info.Mode().IsRegular() {
		return nil, time.Time{}, errors.New("it is not a regular file")
	}
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, time.Time{}, bare(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, time.Time{}, bare(err)
	}
	if !info.Mode().IsRegular() {
		return nil, time.Time{}, errors.New("it is not a regular file")
	}
	text, err := io.ReadAll(io.LimitReader(f, maxTextfileBytes+1))
	switch {
	case err != nil:
		return nil, info.ModTime(), bare(err)
	case len(text) > maxTextfileBytes:
		return nil, info.ModTime(), errors.New("it is larger than " + size(maxTextfileBytes))
	}
	return text, info.ModTime(), nil
}

// bare takes the file's name out of err: the reason names it already.
func bare(err error) error {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		return pathErr.Err
	}
	return err
}
