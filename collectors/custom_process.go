package collectors

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/prometheus/procfs"

	"github.com/grapevine-mesh/grapevine/health"
)

// customProcess counts the processes of the node that all its keys hold for.
type customProcess struct {
	// Program is the name of the program, as ps -e shows it or, where the
	// kernel cuts that after 15 bytes, as it was called.
	Program string `yaml:"program"`
	// Cmdline is a regular expression for the command line.
	Cmdline string `yaml:"cmdline"`
	User    string `yaml:"user"` // name or number
	// Min, 1 when it is not given, and Max bound their number; a Max of 0 is
	// none.
	Min *int `yaml:"min"`
	Max int  `yaml:"max"`
}

func (s *customProcess) validate() error {
	switch {
	case s.Program == "" && s.Cmdline == "":
		return errors.New("program: program or cmdline is wanted")
	case s.Min != nil && *s.Min < 0 || s.Max < 0:
		return errors.New("min: min and max cannot be below zero")
	case s.Max > 0 && s.least() > s.Max:
		return fmt.Errorf("max: %d is less than min %d", s.Max, s.least())
	case s.Max == 0 && s.least() == 0:
		return errors.New("min: 0 without a max holds always")
	}
	_, err := compiled("cmdline", s.Cmdline)
	return err
}

func (s *customProcess) least() int {
	if s.Min == nil {
		return 1
	}
	return *s.Min
}

func (s *customProcess) probe(status health.Status, env Env) (customProbe, error) {
	proc, err := procfs.NewFS(env.Paths.Proc)
	if err != nil {
		return nil, fmt.Errorf("the kernel's procfs at %s: %w", env.Paths.Proc, err)
	}
	cmdline, err := compiled("cmdline", s.Cmdline)
	if err != nil {
		return nil, err
	}
	return &processProbe{customProcess: *s, status: status, proc: proc, passwd: env.Paths.inRoot("/etc/passwd"), cmdline: cmdline}, nil
}

// processProbe counts processes.
type processProbe struct {
	customProcess
	status  health.Status
	proc    procfs.FS
	passwd  string
	cmdline *regexp.Regexp // nil: any
}

func (p *processProbe) look(ctx context.Context, r customReport, a *assessment) string {
	a.about += ":"
	uid := uint64(0)
	if p.User != "" {
		var err error
		if uid, err = uidOf(p.passwd, p.User); err != nil {
			a.add(health.Unknown, "could not look for processes: %v", err)
			return ""
		}
	}
	all, err := p.proc.AllProcs()
	if err != nil {
		a.add(health.Unknown, "could not look for processes: %s", clip(err.Error(), 200))
		return ""
	}
	count := 0
	for _, process := range all {
		if ctx.Err() != nil {
			a.add(health.Unknown, "did not come through all of the %d processes in time", len(all))
			return ""
		}
		if p.is(process, uid) {
			count++
		}
	}
	r.sample(&customProcesses, float64(count))
	switch {
	case count < p.least():
		a.findings = append(a.findings, finding{p.status, fmt.Sprintf("%d processes run of %s, at least %d are wanted", count, p.words(), p.least()), health.Evidence{Value: float64(count), Threshold: float64(p.least()), Unit: "processes"}})
	case p.Max > 0 && count > p.Max:
		a.findings = append(a.findings, finding{p.status, fmt.Sprintf("%d processes run of %s, at most %d are wanted", count, p.words(), p.Max), health.Evidence{Value: float64(count), Threshold: float64(p.Max), Unit: "processes"}})
	default:
		a.measured = health.Evidence{Value: float64(count), Threshold: float64(p.least()), Unit: "processes"}
	}
	return ""
}

// is reports whether a process is one of those that are counted. One that has
// ended meanwhile is not, nor one that has ended and waits to be reaped.
func (p *processProbe) is(process procfs.Proc, uid uint64) bool {
	var args []string
	if p.Program != "" {
		comm, err := process.Comm()
		if err != nil {
			return false
		}
		if comm != p.Program {
			const cut = 15
			if len(comm) != cut || !strings.HasPrefix(p.Program, comm) {
				return false
			}
			if args, err = process.CmdLine(); err != nil || len(args) == 0 || filepath.Base(args[0]) != p.Program {
				return false
			}
		}
	}
	if p.cmdline != nil {
		if args == nil {
			var err error
			if args, err = process.CmdLine(); err != nil || len(args) == 0 {
				return false
			}
		}
		if !p.cmdline.MatchString(strings.Join(args, " ")) {
			return false
		}
	}
	if p.User != "" {
		status, err := process.NewStatus()
		if err != nil || status.UIDs[1] != uid { // the effective one
			return false
		}
	}
	stat, err := process.Stat()
	return err == nil && stat.State != "Z" && stat.State != "X"
}

func (p *processProbe) words() string {
	var words []string
	if p.Program != "" {
		words = append(words, p.Program)
	}
	if p.Cmdline != "" {
		words = append(words, fmt.Sprintf("command line %q", p.Cmdline))
	}
	if p.User != "" {
		words = append(words, "user "+p.User)
	}
	return clip(strings.Join(words, ", "), 150)
}

// uidOf finds a user in the node's own list.
func uidOf(passwd, user string) (uint64, error) {
	if uid, err := strconv.ParseUint(user, 10, 32); err == nil {
		return uid, nil
	}
	text, err := readSmall(passwd)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Split(line, ":"); len(fields) > 3 && fields[0] == user {
			return strconv.ParseUint(fields[2], 10, 32)
		}
	}
	return 0, fmt.Errorf("%s has no user %s; give its number", passwd, clip(user, 60))
}
