package alerts

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/grapevine-mesh/grapevine/test/real"
)

// unheld are programs that are not held against the real ones, and why.
var unheld = map[string]string{
	"chronyc":    "chrony's package puts another time service out of the machine",
	"crictl":     "Debian has no package of it",
	"crontab":    "a cron daemon for one command",
	"echo":       "the shell's own",
	"etcdutl":    "Debian's etcd is older",
	"grapevine":  "cmd/grapevine holds it against its own parser",
	"iotop":      "Python for one command",
	"ipmitool":   "25 MB for one command",
	"ipvsadm":    "three libraries for one command",
	"k3s":        "no package",
	"kill":       "the shell's own",
	"kubeadm":    "no package",
	"resolvectl": "its package takes over /etc/resolv.conf",
	"rke2":       "no package",
}

// held are the others, and how.
var held = map[string]hold{
	"amtool":        tried(`connection refused|network is unreachable|no such host`),
	"cat":           listed("--help"),
	"conntrack":     listed("--help"),
	"ctr":           listed("--help"),
	"curl":          listed("--help", "all"),
	"cut":           listed("--help"),
	"df":            listed("--help"),
	"dig":           tried(`connection refused|timed out|no servers could be reached`),
	"dmesg":         listed("--help"),
	"docker":        tried(`Cannot connect to the Docker daemon`),
	"du":            listed("--help"),
	"etcdctl":       asked(`etcdserver: |context deadline exceeded`),
	"ethtool":       listed("--help"),
	"find":          listed("--help"),
	"findmnt":       listed("--help"),
	"grep":          listed("--help"),
	"head":          listed("--help"),
	"hostname":      listed("--help"),
	"iostat":        listed("--help"),
	"ip":            tried(`Network is unreachable`),
	"iptables-save": listed("--help"),
	"journalctl":    listed("--help"),
	"kubectl":       asked(`(?i)error from server \(NotFound\)|Metrics API not available`),
	"less":          listed("--help"),
	"ls":            listed("--help"),
	"nc":            listed("-h"),
	"nft":           tried(`No such file or directory`),
	"openssl":       listedByCommand("-help"),
	"pidof":         listed("--help"),
	"pidstat":       listed("--help"),
	"ping":          listed("-h"),
	"promtool":      tried(``),
	"ps":            tried(``),
	"sed":           listed("--help"),
	"smartctl":      listed("--help"),
	"sort":          listed("--help"),
	"ss":            tried(``),
	"sysctl":        listed("--help"),
	"systemctl":     listedWithCommand("--help"),
	"systemd-cgtop": listed("--help"),
	"tail":          listed("--help"),
	"tcpdump":       tried(``, "-d"), // prints what it would filter by
	"timedatectl":   listedWithCommand("--help"),
	"tracepath":     listed("-h"),
	"umount":        listed("--help"),
	"uniq":          listed("--help"),
	"uptime":        listed("--help"),
}

// startsServers are those that others need not wait for.
var startsServers = map[string]int{"kubectl": 2, "etcdctl": 1}

var (
	block   = regexp.MustCompile("(?s)```([a-z]+)\n(.*?)```")
	span    = regexp.MustCompile("`([^`]+)`")
	command = regexp.MustCompile(`^[a-z][a-z0-9-]*\s+[^\s=]`)
)

// typed are the scripts of a runbook that are there to be typed: its blocks of
// shell, and what is quoted and has several words.
func typed(text string) []string {
	_, text, _ = strings.Cut(text, "\n## Confirm\n")
	var scripts []string
	for _, m := range block.FindAllStringSubmatch(text, -1) {
		if m[1] == "sh" {
			scripts = append(scripts, m[2])
		}
	}
	for _, m := range span.FindAllStringSubmatch(block.ReplaceAllString(text, ""), -1) {
		if command.MatchString(m[1]) {
			scripts = append(scripts, strings.Join(strings.Fields(m[1]), " "))
		}
	}
	return scripts
}

// byProgram are the commands of all runbooks, each once, and a runbook in which
// it stands.
func byProgram(t *testing.T) map[string]map[string]string {
	t.Helper()
	programs := map[string]map[string]string{}
	texts := runbooks(t)
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		for _, script := range typed(texts[name]) {
			commands, err := commandsIn(script)
			if err != nil {
				t.Errorf("runbooks/%s.md: %v", name, err)
			}
			for _, words := range commands {
				words = settings(words)
				if len(words) == 0 {
					continue
				}
				if programs[words[0]] == nil {
					programs[words[0]] = map[string]string{}
				}
				programs[words[0]][strings.Join(words, "\x00")] = name
			}
		}
	}
	return programs
}

var setting = regexp.MustCompile(`^([A-Za-z_]+)=`)

// settings takes variables from the front of a command. etcdctl takes its flags
// from such, too: what only sets them becomes a command that has them as flags.
func settings(words []string) []string {
	flags := []string{"etcdctl", "version"}
	exported := words[0] == "export"
	if exported {
		words = words[1:]
	}
	for len(words) > 0 && setting.MatchString(words[0]) {
		name, _, _ := strings.Cut(words[0], "=")
		if flag, ok := strings.CutPrefix(name, "ETCDCTL_"); ok && flag != "ENDPOINTS" { // asked itself sets this one
			flags = append(flags, "--"+strings.ToLower(flag)+"=")
		}
		words = words[1:]
	}
	if exported && len(words) == 0 && len(flags) > 2 {
		return flags
	}
	return words
}

// What a tired person types must be there: programs, their commands, and each
// flag. Nothing is run that changes anything but servers of this test.
func TestRunbooksNameCommandsThatExist(t *testing.T) {
	t.Parallel()
	programs := byProgram(t)
	for name := range held {
		if programs[name] == nil {
			t.Errorf("no runbook names %s any more", name)
		}
	}
	for name := range unheld {
		if programs[name] == nil {
			t.Errorf("no runbook names %s any more", name)
		}
	}
	names := slices.Sorted(maps.Keys(programs))
	slices.SortStableFunc(names, func(a, b string) int {
		return cmp.Compare(startsServers[b], startsServers[a]) // the others run meanwhile
	})
	for _, name := range names {
		commands := programs[name]
		hold, ok := held[name]
		if !ok {
			if unheld[name] == "" {
				t.Errorf("%v name %s, which is not known to this test", slices.Sorted(maps.Values(commands)), name)
			}
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var path string
			if name == "kubectl" || name == "promtool" {
				path = real.Binary(t, name)
			} else {
				path = real.Program(t, name)
			}
			fault := hold(t, path)
			// A way that finds fault with nothing would say nothing.
			for joined := range commands {
				if words := append(strings.Split(joined, "\x00")[1:], "--no-such-flag"); fault(words) == "" {
					t.Errorf("%s %s: no fault is found", name, strings.Join(words, " "))
				}
				break
			}
			var group errgroup.Group
			group.SetLimit(4)
			for joined, runbook := range commands {
				words := strings.Split(joined, "\x00")[1:]
				group.Go(func() error {
					if found := fault(words); found != "" {
						t.Errorf("runbooks/%s.md: %s %s: %s", runbook, name, strings.Join(words, " "), found)
					}
					return nil
				})
			}
			_ = group.Wait() // none returns an error
		})
	}
}
