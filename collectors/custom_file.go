package collectors

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
)

// customFile looks at the age and the size of a file of the node.
type customFile struct {
	// Path is absolute and may hold shell patterns. Of several files the
	// newest is judged, or with oldest: true the oldest.
	Path   string `yaml:"path"`
	Oldest bool   `yaml:"oldest"`
	// Absent turns the check around: there is to be no such file.
	Absent bool `yaml:"absent"`
	// Optional: it is fine when there is none.
	Optional bool `yaml:"optional"`
	// MinSize in bytes.
	MinSize int64 `yaml:"min_size"`

	Thresholds customFileThresholds `yaml:"thresholds"`
}

type customFileThresholds struct {
	Age DurationLimits `yaml:"age"`
}

func (s *customFile) validate() error {
	_, err := filepath.Match(s.Path, "")
	switch {
	case err != nil || !filepath.IsAbs(s.Path):
		return fmt.Errorf("path: %q is not an absolute path or pattern", clip(s.Path, 100))
	case s.MinSize < 0:
		return errors.New("min_size: below zero")
	case s.Absent && (s.Optional || s.Oldest || s.MinSize > 0 || s.Thresholds.Age != DurationLimits{}):
		return errors.New("absent: goes with no other key but path")
	}
	return validateLimits(namedLimits{"age", s.Thresholds.Age.seconds(), false})
}

// fileProbe looks at files.
type fileProbe struct {
	customFile
	status health.Status
	paths  Paths
}

// maxFiles bounds the files that are looked at.
const maxFiles = 1000

func (p *fileProbe) look(ctx context.Context, r customReport, a *assessment) string {
	a.about += ":"
	found := []string{p.paths.inRoot(p.Path)}
	if strings.ContainsAny(p.Path, `*?[\`) { // a glob passes over what it may not read
		found, _ = filepath.Glob(found[0]) // the pattern is well formed
	}
	var chosen fs.FileInfo
	var path string
	count := 0
	for _, name := range found[:min(len(found), maxFiles)] {
		if ctx.Err() != nil {
			a.add(health.Unknown, "did not come through all of the %d files in time", len(found))
			return ""
		}
		info, err := os.Stat(name)
		switch {
		case errors.Is(err, fs.ErrNotExist): // gone since
			continue
		case err != nil:
			a.add(health.Unknown, "%s cannot be looked at: %s", clip(name, 100), cause(err, 0))
			return ""
		}
		count++
		if chosen == nil || info.ModTime().After(chosen.ModTime()) != p.Oldest {
			chosen, path = info, name
		}
	}
	if len(found) > maxFiles {
		a.add(health.Warning, "%s are %d files; only %d were looked at", clip(p.Path, 100), len(found), maxFiles)
	}
	r.sample(&customFiles, float64(count))
	switch {
	case chosen == nil && !p.Absent && !p.Optional:
		a.add(p.status, "there is no %s", clip(p.Path, 150))
	case chosen != nil && p.Absent:
		a.add(p.status, "there is %s, which is not to be", clip(path, 150))
	case chosen != nil:
		p.judge(r, a, chosen, clip(path, 150))
	}
	return ""
}

func (p *fileProbe) judge(r customReport, a *assessment, info fs.FileInfo, path string) {
	age := max(0, time.Since(info.ModTime()))
	r.sample(&customFileAge, age.Seconds())
	r.sample(&customFileSize, float64(info.Size()))
	limits := p.Thresholds.Age.seconds()
	if _, limit := limits.judge(0); limit > 0 {
		a.measured = health.Evidence{Value: age.Seconds(), Threshold: limit, Unit: "seconds"}
	}
	a.hold(age.Seconds(), limits, "seconds", "%s was last written %v ago", path, age.Round(time.Second))
	if info.Size() < p.MinSize {
		a.findings = append(a.findings, finding{p.status, fmt.Sprintf("%s has %d bytes, at least %d are wanted", path, info.Size(), p.MinSize), health.Evidence{Value: float64(info.Size()), Threshold: float64(p.MinSize), Unit: "bytes"}})
	}
}
