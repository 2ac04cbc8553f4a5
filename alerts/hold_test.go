package alerts

import (
	"errors"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/grapevine-mesh/grapevine/test/real"
)

// hold makes what tells the fault of a command of the program at path. It is
// given the words after the program's name, and returns nothing if all is well.
type hold func(t *testing.T, path string) func(words []string) (fault string)

// listed holds flags against what the program prints of itself.
func listed(help ...string) hold {
	return func(t *testing.T, path string) func([]string) string {
		text := printed(t, path, help...)
		return func(words []string) string { return unlisted(text, words) }
	}
}

// listedWithCommand is listed for a program whose first word is a command.
func listedWithCommand(help ...string) hold {
	return func(t *testing.T, path string) func([]string) string {
		text := printed(t, path, help...)
		return func(words []string) string {
			for _, w := range words {
				if strings.HasPrefix(w, "-") {
					continue
				}
				if !regexp.MustCompile(`(?m)^ *` + regexp.QuoteMeta(w) + `( |$)`).MatchString(text) {
					return "there is no command " + w
				}
				break
			}
			return unlisted(text, words)
		}
	}
}

// listedByCommand is listed where each command prints its own flags.
func listedByCommand(help ...string) hold {
	return func(t *testing.T, path string) func([]string) string {
		return func(words []string) string {
			return unlisted(printed(t, path, append([]string{words[0]}, help...)...), words)
		}
	}
}

// printed is what a program prints, however it ends.
func printed(t *testing.T, path string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), path, args...).CombinedOutput()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Error(err)
	}
	return string(out)
}

var flag = regexp.MustCompile(`^(--[a-z][a-z-]*|-[A-Za-z]+)`)

// unlisted names a flag that a text does not list. Short ones may be joined,
// and a value may follow at once.
func unlisted(text string, words []string) string {
	lists := func(flag string) bool {
		return regexp.MustCompile(`(^|[\s,|(\[{])` + flag + `($|[\s,|)\]}=\[<])`).MatchString(text)
	}
	for _, w := range words {
		name := flag.FindString(w)
		if name == "" || lists(name) {
			continue
		}
		for _, letter := range name[1:] {
			if !lists("-" + string(letter)) {
				return name + " is not listed"
			}
		}
	}
	return ""
}

// values are what stands in for words that the reader replaces.
var values = map[string]string{
	"DEVICE": "lo", "POD-ADDRESS": "127.0.0.1", "@ADDRESS": "@127.0.0.1", "PORT": "53", "ID": "1", "$rev": "1",
}

// tried runs commands in a network with nothing but loopback: neither do they
// reach anything nor do they change any other. They must end well, or for the
// one reason that is expected there. first are arguments that keep them short.
func tried(fails string, first ...string) hold {
	return func(t *testing.T, path string) func([]string) string {
		home := t.TempDir()
		alone := func(words ...string) *exec.Cmd {
			cmd := exec.CommandContext(t.Context(), "sh", append([]string{"-c", `ip link set lo up && exec "$@"`, "sh"}, words...)...)
			cmd.Env = append(os.Environ(), "DOCKER_HOST=unix:///nonexistent/docker.sock", "HOME="+home)
			cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
			if uid := os.Geteuid(); uid != 0 {
				cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
				cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: uid, Size: 1}}
			}
			return cmd
		}
		if out, err := alone("true").CombinedOutput(); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatalf("no network of its own: %v: %s", err, out)
			}
			t.Skipf("no network of its own: %v: %s", err, out)
		}
		return func(words []string) string { return ends(alone(slices.Concat([]string{path}, first, words)...), fails) }
	}
}

// asked runs commands against servers of this test.
func asked(fails string) hold {
	return func(t *testing.T, path string) func([]string) string {
		etcd := real.NeedEtcd(t, real.EtcdOptions{}).Members[0].ClientURL
		env := append(os.Environ(), "ETCDCTL_ENDPOINTS="+etcd, "HOME="+t.TempDir(), "GOGC=off") // they end before it would pay
		if strings.HasSuffix(path, "kubectl") {
			env = append(env, "KUBECONFIG="+real.NeedAPIServer(t, real.APIServerOptions{EtcdURL: etcd}).Kubeconfig)
		}
		return func(words []string) string {
			cmd := exec.CommandContext(t.Context(), path, words...)
			cmd.Env = env
			return ends(cmd, fails)
		}
	}
}

// ends runs a command, and tells why it did not end well, unless that is fails.
func ends(cmd *exec.Cmd, fails string) string {
	for i, w := range cmd.Args {
		if value, ok := values[w]; ok {
			cmd.Args[i] = value
		}
	}
	out, err := cmd.CombinedOutput()
	if err == nil || fails != "" && regexp.MustCompile(fails).Match(out) {
		return ""
	}
	return err.Error() + ": " + strings.TrimSpace(string(out))
}
