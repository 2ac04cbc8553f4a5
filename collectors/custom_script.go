package collectors

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/grapevine-mesh/grapevine/health"
)

// customScript is a program that says by its exit code how things are: 0 OK,
// 1 warning, 2 critical, 3 unknown, and in its first line why.
type customScript struct {
	// Path and Args are what is run, without a shell.
	Path string   `yaml:"path"`
	Args []string `yaml:"args"`
	// Shell is given to /bin/sh -c instead.
	Shell string `yaml:"shell"`
	// Directory is where it runs; the root of the file system by default.
	Directory string `yaml:"directory"`
	// Env is all of its environment besides PATH, LANG and NODE, which is
	// the name of this node.
	Env map[string]string `yaml:"env"`
	// Thresholds are held against its performance data, by label, in base
	// units, beside what the script thinks of them.
	Thresholds map[string]Limits `yaml:"thresholds"`
}

func (s *customScript) validate() error {
	switch {
	case (s.Path == "") == (s.Shell == ""):
		return errors.New("path: path or shell is wanted, and only one")
	case s.Path != "" && !filepath.IsAbs(s.Path):
		return fmt.Errorf("path: %q is not an absolute path", clip(s.Path, 100))
	case s.Shell != "" && len(s.Args) > 0:
		return errors.New("args: a shell line has none")
	case s.Directory != "" && !filepath.IsAbs(s.Directory):
		return fmt.Errorf("directory: %q is not an absolute path", clip(s.Directory, 100))
	}
	for _, text := range append([]string{s.Path, s.Shell, s.Directory}, s.Args...) {
		if strings.ContainsRune(text, 0) {
			return errors.New("path: a zero byte")
		}
	}
	for name, value := range s.Env {
		if name == "" || strings.ContainsAny(name, "=\x00") || strings.ContainsRune(value, 0) {
			return fmt.Errorf("env: %q is not the name of a variable", clip(name, 60))
		}
	}
	for label, limits := range s.Thresholds {
		if err := validateLimits(namedLimits{label, limits, false}); err != nil {
			return err
		}
	}
	return nil
}

// scriptProbe runs a script.
type scriptProbe struct {
	customScript
	node string
}

// leftOpen is how long the output is waited for once the script has ended: a
// child that left its process group may hold it open for ever.
const leftOpen = time.Second

func (p *scriptProbe) look(ctx context.Context, r customReport, a *assessment) string {
	path, args := p.Path, p.Args
	if p.Shell != "" {
		path, args = "/bin/sh", []string{"-c", p.Shell}
	}
	if err := runnable(path); err != nil {
		a.add(health.Unknown, "was not run: %v", err)
		return ""
	}
	out, errOut := &boundedOutput{limit: maxScriptOutput}, &boundedOutput{limit: maxScriptErrors}
	cmd := &exec.Cmd{
		Path: path, Args: append([]string{path}, args...), Dir: p.Directory, Env: p.environment(), Stdout: out, Stderr: errOut,
		SysProcAttr: &syscall.SysProcAttr{Setpgid: true}, // its children are killed with it
		WaitDelay:   leftOpen,
	}
	if cmd.Dir == "" {
		cmd.Dir = "/"
	}
	begun := time.Now()
	if err := cmd.Start(); err != nil {
		a.add(health.Unknown, "was not run: %s", clip(err.Error(), 200))
		return ""
	}
	cut, err := finish(ctx, cmd)
	code := cmd.ProcessState.ExitCode() // -1 when it was killed
	r.sample(&customExitCode, float64(code))
	r.sample(&customDiscarded, float64(out.discarded))
	text, perfdata := pluginOutput(out.text.String())
	p.perfdata(r, a, perfdata)
	text = scriptWords(text, errOut.text.String())
	if out.discarded > 0 {
		text += fmt.Sprintf(" (%s of its output were discarded)", size(float64(out.discarded)))
	}
	if errors.Is(err, exec.ErrWaitDelay) {
		text += " (it left a process behind that still holds its output open)"
	}
	switch {
	case cut:
		a.add(health.Unknown, "did not end within %s and was killed; it said: %s", seconds(time.Since(begun).Round(time.Millisecond).Seconds()), text)
	case code == 0:
		return text
	case code >= 1 && code <= 3:
		a.add(health.Status(code), "says: %s", text)
	case code == -1:
		a.add(health.Unknown, "was killed (%v); it said: %s", cmd.ProcessState, text)
	default:
		a.add(health.Unknown, "ended with %v, which is none of 0 to 3; it said: %s", cmd.ProcessState, text)
	}
	return ""
}

// finish waits for the script, kills its process group when ctx ends before
// it, and in any case what is left of the group when it has ended. It reports
// whether the script was cut short.
func finish(ctx context.Context, cmd *exec.Cmd) (cut bool, err error) {
	group := -cmd.Process.Pid
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		// It is left to be reaped: as long as it is not, no other group can
		// get its number, and the kill below hits the right one.
		for unix.Waitid(unix.P_PID, cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
		}
	}()
	select {
	case <-ended:
	case <-ctx.Done():
		cut = true
		_ = unix.Kill(group, unix.SIGKILL)
		<-ended // at once, or when the kernel lets go of it: the schedule says so
	}
	_ = unix.Kill(group, unix.SIGKILL) // the leader cannot be hit any more
	err = cmd.Wait()
	reap(group)
	return cut, err
}

// reap takes the orphans of a group that have become this program's children,
// as they do in a container where it is the first process.
func reap(group int) {
	for range 50 {
		pid, err := unix.Wait4(group, nil, unix.WNOHANG, nil)
		switch {
		case err == unix.EINTR || pid > 0:
		case err != nil: // ECHILD: there are none
			return
		default:
			time.Sleep(10 * time.Millisecond)
		}
	}
}

// environment is clean: what the agent was started with may hold secrets.
func (p *scriptProbe) environment() []string {
	env := map[string]string{
		"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "NODE": p.node,
	}
	maps.Copy(env, p.Env)
	var list []string
	for _, name := range slices.Sorted(maps.Keys(env)) {
		list = append(list, name+"="+env[name])
	}
	return list
}

// perfdata exports what the script measured, and judges what it is to.
func (p *scriptProbe) perfdata(r customReport, a *assessment, data []perfdatum) {
	for _, d := range data {
		r.sample(&customPerfdata, d.value, d.label, d.unit)
		if limits, ok := p.Thresholds[d.label]; ok {
			a.hold(d.value, limits, d.unit, "measured %s", strings.TrimSpace(fmt.Sprintf("%s of %.6g %s", d.label, d.value, d.unit)))
		}
	}
}

// runnable tells why a program is not to be run: an agent that may do
// everything runs nothing that others can replace, and nothing that becomes
// somebody else.
func runnable(path string) error {
	file, err := filepath.EvalSymlinks(path)
	if err != nil {
		return fmt.Errorf("%s: %w", clip(path, 100), bare(err))
	}
	info, err := os.Stat(file)
	if err != nil {
		return fmt.Errorf("%s: %w", clip(file, 100), bare(err))
	}
	mode := info.Mode()
	switch {
	case !mode.IsRegular():
		return fmt.Errorf("%s is not a file", clip(file, 100))
	case mode.Perm()&0o111 == 0:
		return fmt.Errorf("%s is not executable; chmod +x it", clip(file, 100))
	case mode&(fs.ModeSetuid|fs.ModeSetgid) != 0:
		return fmt.Errorf("%s is setuid or setgid", clip(file, 100))
	case mode.Perm()&0o002 != 0:
		return fmt.Errorf("everybody may write to %s; chmod o-w it", clip(file, 100))
	}
	for dir := filepath.Dir(file); ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil {
			return fmt.Errorf("%s: %w", clip(dir, 100), bare(err))
		}
		if info.Mode().Perm()&0o002 != 0 && info.Mode()&fs.ModeSticky == 0 {
			return fmt.Errorf("everybody may write to the directory %s; chmod o-w it", clip(dir, 100))
		}
		if dir == filepath.Dir(dir) {
			return nil
		}
	}
}
