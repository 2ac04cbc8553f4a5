package netsim

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/grapevine-mesh/grapevine/test/thread"
)

// netnsDir is where ip netns keeps the namespaces that have a name.
const netnsDir = "/run/netns"

// netnsClaims holds a socket for each prefix that this program has claimed.
// They are never closed: the claim ends with the program.
var netnsClaims struct {
	sync.Mutex
	held map[string]net.Listener
}

// netnsPrefix returns the beginning of names of network namespaces that is
// this program's alone.
func netnsPrefix() (string, error) {
	netnsClaims.Lock()
	defer netnsClaims.Unlock()
	if err := removeLeftNetNS(); err != nil {
		return "", err
	}
	for i := range 1000 {
		prefix := fmt.Sprintf("gvnet%d-", i)
		if netnsClaims.held[prefix] != nil {
			continue
		}
		l, err := claimNetNS(prefix)
		if err != nil {
			continue
		}
		if netnsClaims.held == nil {
			netnsClaims.held = map[string]net.Listener{}
		}
		netnsClaims.held[prefix] = l
		return prefix, nil
	}
	return "", errors.New("no free prefix of network namespaces found")
}

// claimNetNS fails when another program that still runs has the prefix.
func claimNetNS(prefix string) (net.Listener, error) {
	return net.Listen("unix", "@grapevine-test-netns-"+prefix)
}

// removeLeftNetNS removes the namespaces of programs that were killed:
// namespaces with a name outlive their maker.
func removeLeftNetNS() error {
	left, err := filepath.Glob(filepath.Join(netnsDir, "gvnet*-*"))
	if err != nil {
		return fmt.Errorf("looking for left network namespaces: %w", err)
	}
	for _, path := range left {
		name := filepath.Base(path)
		number, _, _ := strings.Cut(name, "-")
		prefix := number + "-"
		if netnsClaims.held[prefix] != nil {
			continue
		}
		l, err := claimNetNS(prefix)
		if err != nil {
			continue
		}
		err = runIP("", "netns", "delete", name)
		if err := errors.Join(err, l.Close()); err != nil {
			return fmt.Errorf("removing a left network namespace: %w", err)
		}
	}
	return nil
}

// runIP runs ip, in a network namespace unless that is empty.
func runIP(netns string, args ...string) error {
	if netns != "" {
		args = append([]string{"-netns", netns}, args...)
	}
	return finish(exec.Command("ip", args...))
}

// batch runs several commands of ip or bridge in one go.
func batch(program, netns string, lines []string) error {
	cmd := exec.Command(program, "-netns", netns, "-batch", "-")
	cmd.Stdin = strings.NewReader(strings.Join(lines, "\n"))
	return finish(cmd)
}

// finish runs a command to its end; when it fails, the error holds what it
// wrote.
func finish(cmd *exec.Cmd) error {
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// inNetNS calls f on a thread that is in the network namespace. What f opens
// belongs to that namespace for good; goroutines that f starts do not run in it.
func inNetNS(netns string, f func() error) error {
	failed := make(chan error)
	thread.Own(func() {
		failed <- func() error {
			ns, err := os.Open(filepath.Join(netnsDir, netns))
			if err != nil {
				return fmt.Errorf("entering a network namespace: %w", err)
			}
			err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET)
			if closeErr := ns.Close(); err == nil {
				err = closeErr
			}
			if err != nil {
				return fmt.Errorf("entering the network namespace %s: %w", netns, err)
			}
			return f()
		}()
	})
	return <-failed
}
