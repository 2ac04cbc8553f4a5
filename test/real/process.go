// Package real runs real servers, for component tests and for the demo: etcd,
// Kubernetes, container runtimes, Prometheus, and agents of our own. It stands
// outside the line of data: nothing of the product imports it, and it
// imports nothing of the product.
package real

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/grapevine-mesh/grapevine/test/thread"
)

// stopPatience is how long Stop waits between SIGTERM and SIGKILL. Etcd hands
// its leadership over first, the API server drains its watches.
const stopPatience = 10 * time.Second

// Command says what a Process runs.
type Command struct {
	Name string // in errors, and before each line in Log
	Path string
	Args []string
	Env  []string  // nil: the environment of this program
	Log  io.Writer // gets stdout and stderr line by line; nil: only kept for Process.Log
	In   *Host     // where it runs; nil: on this machine like any other program
}

// Process is a child process that can be started again with the same command.
// It dies with this program, also when that is killed by SIGKILL (on Linux).
// Its methods may be called from several goroutines.
type Process struct {
	command Command
	attr    *syscall.SysProcAttr
	output  *tail

	mu   sync.Mutex // guards all below
	proc *os.Process
	done chan struct{} // of the newest run, closed when it was reaped; nil before the first
	err  error         // how the newest run ended; valid once done is closed
}

// NewProcess returns a process that does not run yet.
func NewProcess(c Command) *Process {
	// A group of its own: Ctrl-C at the terminal is meant for this program,
	// which ends its children in order.
	attr := &syscall.SysProcAttr{Setpgid: true}
	if c.In == nil { // a host's processes die with the host; the signal would not find its way into it
		dieWithParent(attr)
	}
	return &Process{command: c, attr: attr, output: newTail(c.Name, c.Log)}
}

// Start runs the command. What an earlier run left in Log is dropped.
func (p *Process) Start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.done != nil && !closed(p.done) {
		return fmt.Errorf("starting %s: it runs already", p.command.Name)
	}
	p.output.reset()
	cmd := exec.Command(p.command.Path, p.command.Args...)
	cmd.Env = p.command.Env
	cmd.Stdout, cmd.Stderr = p.output, p.output
	cmd.WaitDelay = time.Second
	cmd.SysProcAttr = p.attr
	if p.command.In != nil {
		cmd.Dir = p.command.In.work // and not the root directory, which is this machine's
	}

	started, done := make(chan error), make(chan struct{})
	// The kernel sends the parent-death signal when the thread that started
	// the child ends, not the process. This thread is held until the child has
	// ended, so it cannot go first.
	thread.Own(func() {
		if p.command.In != nil {
			if err := p.command.In.enter(); err != nil {
				started <- err
				return
			}
		}
		if err := cmd.Start(); err != nil {
			started <- err
			return
		}
		started <- nil
		err := cmd.Wait()
		p.mu.Lock()
		p.err = err
		p.mu.Unlock()
		p.output.flush()
		close(done)
	})
	if err := <-started; err != nil {
		return fmt.Errorf("starting %s: %w", p.command.Name, err)
	}
	p.proc, p.done, p.err = cmd.Process, done, nil
	return nil
}

// Stop asks the process to end, waits, and kills it when it does not within
// 10 s. It returns nil when the process ended by itself at the signal, whatever
// its exit code, or did not run.
func (p *Process) Stop() error {
	// A stopped process holds the SIGTERM back until it is continued.
	if err := errors.Join(p.signal(syscall.SIGTERM), p.signal(syscall.SIGCONT)); err != nil {
		return err
	}
	select {
	case <-p.Done():
		return nil
	case <-time.After(stopPatience):
	}
	if err := p.Kill(); err != nil {
		return err
	}
	return fmt.Errorf("%s did not end within %v of SIGTERM and was killed", p.command.Name, stopPatience)
}

// Kill ends the process by SIGKILL and waits until it is gone.
func (p *Process) Kill() error {
	if err := p.signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-p.Done()
	return nil
}

// Pause freezes the process: its ports stay open, and nothing answers.
func (p *Process) Pause() error {
	if err := p.signal(syscall.SIGSTOP); err != nil {
		return err
	}
	awaitStopped(p.Pid())
	return nil
}

// Resume ends a Pause.
func (p *Process) Resume() error { return p.signal(syscall.SIGCONT) }

// Signal sends s, SIGHUP for one, to the process if it runs.
func (p *Process) Signal(s syscall.Signal) error { return p.signal(s) }

func (p *Process) signal(s syscall.Signal) error {
	p.mu.Lock()
	proc := p.proc
	p.mu.Unlock()
	if proc == nil {
		return nil
	}
	if err := proc.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("sending %v to %s: %w", s, p.command.Name, err)
	}
	return nil
}

// Pid is the process id of the newest run, 0 before the first.
func (p *Process) Pid() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.proc == nil {
		return 0
	}
	return p.proc.Pid
}

// Done is closed when the newest run has ended; at once when there was none.
func (p *Process) Done() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.done == nil {
		none := make(chan struct{})
		close(none)
		return none
	}
	return p.done
}

// Running reports whether the process has not ended. A paused one runs.
func (p *Process) Running() bool { return !closed(p.Done()) }

// Log returns the last 64 KiB of what the newest run wrote.
func (p *Process) Log() string { return p.output.String() }

// failure describes why a process that should run does not, for an error.
func (p *Process) failure() error {
	p.mu.Lock()
	err := p.err
	p.mu.Unlock()
	if err == nil {
		err = errors.New("exit status 0")
	}
	return fmt.Errorf("%s ended (%w); its last words:\n%s", p.command.Name, err, p.lastWords())
}

func (p *Process) lastWords() string {
	lines := strings.Split(strings.TrimSpace(p.Log()), "\n")
	return strings.Join(lines[max(0, len(lines)-8):], "\n")
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
