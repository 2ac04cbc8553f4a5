package collectors

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
)

const systemTimeout = 4 * time.Second

// wellNode is what a node with a kubelet and a bridge CNI shows of itself.
var wellNode = map[string]string{
	"proc/loadavg":                                       "0.41 0.33 0.30 2/1291 40531\n",
	"proc/filesystems":                                   "nodev\tsysfs\nnodev\ttmpfs\n\text4\nnodev\toverlay\n",
	"proc/swaps":                                         "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n",
	"proc/vmstat":                                        "nr_free_pages 812345\noom_kill 7\ndrop_pagecache 0\n",
	"proc/pressure/memory":                               "some avg10=0.10 avg60=0.21 avg300=0.09 total=8537362\nfull avg10=0.00 avg60=0.13 avg300=0.06 total=8183134\n",
	"proc/pressure/io":                                   "some avg10=1.06 avg60=2.21 avg300=0.99 total=8537362\nfull avg10=0.00 avg60=1.13 avg300=0.96 total=8183134\n",
	"proc/pressure/cpu":                                  "some avg10=21.63 avg60=11.64 avg300=1.46 total=1000507620\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
	"proc/sys/fs/file-nr":                                "3104\t0\t9223372036854775807\n",
	"proc/sys/fs/inotify/max_user_instances":             "8192\n",
	"proc/sys/fs/inotify/max_user_watches":               "524288\n",
	"proc/sys/kernel/pid_max":                            "4194304\n",
	"proc/sys/kernel/threads-max":                        "192730\n",
	"proc/sys/net/ipv4/ip_forward":                       "1\n",
	"proc/sys/net/ipv6/conf/all/forwarding":              "0\n",
	"proc/sys/net/bridge/bridge-nf-call-iptables":        "1\n",
	"proc/sys/net/netfilter/nf_conntrack_max":            "262144\n",
	"proc/sys/vm/overcommit_memory":                      "1\n",
	"sys/fs/cgroup/cgroup.controllers":                   "cpuset cpu io memory hugetlb pids rdma misc\n",
	"root/var/lib/kubelet/config.yaml":                   "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n",
	"root/etc/cni/net.d/10-bridge.conflist":              "{\n \"plugins\": [ {\"type\": \"bridge\", \"bridge\": \"cni0\"} ]\n}\n",
	"root/etc/cni/net.d/README":                          "type bridge\n",
	"root/run/systemd/netif/leases/this-is-not-pid1.txt": "",
}

// node lays out wellNode with some files changed; nil takes one away.
func node(t *testing.T, changes map[string]any) Env {
	t.Helper()
	dir := t.TempDir()
	files := maps.Clone(wellNode)
	for name, content := range changes {
		if content == nil {
			delete(files, name)
			continue
		}
		files[name] = content.(string)
	}
	for name, content := range files {
		must(t, os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755))
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600))
	}
	env := testEnv()
	env.Paths = Paths{Proc: filepath.Join(dir, "proc"), Sys: filepath.Join(dir, "sys"), Root: filepath.Join(dir, "root")}
	return env
}

func systemAt(t *testing.T, env Env, change func(*systemSettings)) Collector {
	t.Helper()
	s := defaultSystemSettings()
	if change != nil {
		change(s)
	}
	must(t, s.Validate())
	c, err := s.New(env)
	must(t, err)
	return c
}

func TestSystemOfAWellNode(t *testing.T) {
	t.Parallel()
	s := run(t, systemAt(t, node(t, nil), nil), systemTimeout)
	subjects := slices.Sorted(maps.Keys(s.results))
	want := []string{
		"OOM kills", "bridge-nf-call-iptables", "cgroup version", "cpu pressure", "inotify", "io pressure", "ip_forward",
		"kernel features", "memory pressure", "open files", "pids", "swap",
	}
	if !slices.Equal(subjects, want) {
		t.Errorf("subjects %q", subjects)
	}
	for _, subject := range subjects {
		s.expect(t, subject, health.OK)
	}
	for name, got := range map[string]struct{ got, want float64 }{
		"kubernetes":  {s.value(t, &systemJudged), 1},
		"threads":     {s.value(t, &systemThreads), 1291},
		"their limit": {s.value(t, &systemThreadsLimit), 192730},
		"open files":  {s.value(t, &systemOpenFiles), 3104},
		"OOM kills":   {s.value(t, &systemOOM), 7},
		"ip_forward":  {s.value(t, &systemSysctl, "net.ipv4.ip_forward"), 1},
		"v6":          {s.value(t, &systemSysctl, "net.ipv6.conf.all.forwarding"), 0},
		"overlay":     {s.value(t, &systemModule, "overlay"), 1},
		"pressure":    {s.value(t, &systemPressure, "cpu", "some"), 0.1164},
		"stalled":     {s.value(t, &systemStalled, "memory", "full"), 8.183134},
		"cgroup":      {s.value(t, &systemCgroup, "v2"), 1},
		"systemd":     {s.value(t, &systemdUp), 0},
		"shutdown":    {s.value(t, &systemShutdown), 0},
	} {
		if d := got.got - got.want; d > 1e-9 || d < -1e-9 {
			t.Errorf("%s: %v, want %v", name, got.got, got.want)
		}
	}
	if e := s.results["pids"].Evidence; e.Value != 1291.0/192730 || e.Threshold != 0.8 || e.Unit != "ratio" {
		t.Errorf("evidence %+v", e)
	}
}

func TestSystemFindings(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		changes map[string]any
		set     func(*systemSettings)
		subject string
		status  health.Status
		words   []string
	}{
		"no forwarding":         {map[string]any{"proc/sys/net/ipv4/ip_forward": "0\n"}, nil, "ip_forward", health.Critical, []string{"net.ipv4.ip_forward is 0"}},
		"forwarding unreadable": {map[string]any{"proc/sys/net/ipv4/ip_forward": nil}, nil, "ip_forward", health.Unknown, []string{"cannot be read"}},
		"no forwarding v6":      {nil, func(s *systemSettings) { s.IPv6 = true }, "ip_forward v6", health.Critical, []string{"net.ipv6.conf.all.forwarding is 0"}},
		"bridge not filtered":   {map[string]any{"proc/sys/net/bridge/bridge-nf-call-iptables": "0\n"}, nil, "bridge-nf-call-iptables", health.Warning, []string{"is 0", "CNI plugin bridge in 10-bridge.conflist"}},
		"no br_netfilter":       {map[string]any{"proc/sys/net/bridge/bridge-nf-call-iptables": nil}, nil, "bridge-nf-call-iptables", health.Warning, []string{"br_netfilter is not loaded"}},
		"bridge by its device": {map[string]any{"proc/sys/net/bridge/bridge-nf-call-iptables": "0\n", "root/etc/cni/net.d/10-bridge.conflist": nil, "sys/class/net/cni0/bridge/bridge_id": "8000"},
			nil, "bridge-nf-call-iptables", health.Warning, []string{"device cni0"}},
		"no overlay":           {map[string]any{"proc/filesystems": "\text4\nnodev\toverlayfoo\n"}, nil, "kernel features", health.Warning, []string{"has no overlay", "modprobe overlay"}},
		"no conntrack":         {map[string]any{"proc/sys/net/netfilter/nf_conntrack_max": nil}, nil, "kernel features", health.Warning, []string{"nf_conntrack"}},
		"few inotify watches":  {map[string]any{"proc/sys/fs/inotify/max_user_watches": "4096\n"}, nil, "inotify", health.Warning, []string{"fs.inotify.max_user_watches is 4096", "at least 8192"}},
		"swap":                 {map[string]any{"proc/swaps": "Filename Type Size Used Priority\n/dev/sda2 partition 2097148 0 -2\n"}, nil, "swap", health.Warning, []string{"2 GiB of swap are on (/dev/sda2)", "failSwapOn"}},
		"swap that is allowed": {map[string]any{"proc/swaps": "Filename Type Size Used Priority\n/dev/sda2 partition 2097148 0 -2\n", "root/var/lib/kubelet/config.yaml": "failSwapOn: false\n"}, nil, "swap", health.OK, nil},
		"memory pressure":      {map[string]any{"proc/pressure/memory": "some avg10=80.00 avg60=71.00 avg300=9.00 total=1\nfull avg10=70.00 avg60=65.30 avg300=9.00 total=1\n"}, nil, "memory pressure", health.Critical, []string{"short of memory", "65 % of the last minute"}},
		"io pressure":          {map[string]any{"proc/pressure/io": "some avg10=80.00 avg60=71.00 avg300=9.00 total=1\nfull avg10=70.00 avg60=55.00 avg300=9.00 total=1\n"}, nil, "io pressure", health.Warning, []string{"waited for disks 55 %"}},
		"cpu pressure":         {map[string]any{"proc/pressure/cpu": "some avg10=99.00 avg60=97.00 avg300=9.00 total=1\n"}, nil, "cpu pressure", health.Warning, []string{"97 %"}},
		"garbage for pressure": {map[string]any{"proc/pressure/cpu": "some avg10=many\n"}, nil, "cpu pressure", health.Unknown, []string{"cannot be read"}},
		"files":                {map[string]any{"proc/sys/fs/file-nr": "98000\t0\t100000\n"}, nil, "open files", health.Critical, []string{"98000 files open, 98 % of the 100000"}},
		"files unreadable":     {map[string]any{"proc/sys/fs/file-nr": "98000\n"}, nil, "open files", health.Unknown, []string{"file-nr"}},
		"threads":              {map[string]any{"proc/sys/kernel/pid_max": "1500\n"}, nil, "pids", health.Warning, []string{"1291 threads, 86 % of the 1500"}},
		"threads unreadable":   {map[string]any{"proc/loadavg": "0.41\n"}, nil, "pids", health.Unknown, []string{"loadavg"}},
		"no OOM counter":       {map[string]any{"proc/vmstat": "oom_killer 1\n"}, nil, "OOM kills", health.Unknown, []string{"oom_kill"}},
		"cgroup v1":            {map[string]any{"sys/fs/cgroup/cgroup.controllers": nil, "sys/fs/cgroup/memory/tasks": ""}, nil, "cgroup version", health.OK, []string{"v1", "deprecated"}},
		"cgroup hybrid":        {map[string]any{"sys/fs/cgroup/cgroup.controllers": nil, "sys/fs/cgroup/unified/cgroup.controllers": ""}, nil, "cgroup version", health.OK, []string{"mixed"}},
		"no cgroup":            {map[string]any{"sys/fs/cgroup/cgroup.controllers": nil}, nil, "cgroup version", health.Unknown, []string{"no control groups"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := run(t, systemAt(t, node(t, tc.changes), tc.set), systemTimeout)
			s.expect(t, tc.subject, tc.status, tc.words...)
			for subject, r := range s.results {
				if subject != tc.subject && r.Status != health.OK {
					t.Errorf("also %+v", r)
				}
			}
		})
	}
}

// What only Kubernetes needs is measured elsewhere too, but not judged.
func TestSystemWithoutKubernetes(t *testing.T) {
	t.Parallel()
	env := node(t, map[string]any{
		"root/var/lib/kubelet/config.yaml": nil, "proc/sys/net/ipv4/ip_forward": "0\n", "proc/filesystems": "", "proc/pressure/memory": nil,
		"proc/swaps": "Filename Type Size Used Priority\n/dev/sda2 partition 2097148 0 -2\n",
	})
	s := run(t, systemAt(t, env, nil), systemTimeout)
	if s.value(t, &systemJudged) != 0 || s.value(t, &systemSysctl, "net.ipv4.ip_forward") != 0 || s.value(t, &systemSwap) != 2097148*1024 {
		t.Errorf("samples %+v", s.samples)
	}
	if s.value(t, &systemPressureUp, "memory") != 0 || s.value(t, &systemPressureUp, "io") != 1 {
		t.Error("what is measured of pressure is not told")
	}
	for subject, r := range s.results {
		if r.Status != health.OK || slices.Contains([]string{"ip_forward", "swap", "inotify", "kernel features", "memory pressure"}, subject) {
			t.Errorf("judged: %+v", r)
		}
	}
	s = run(t, systemAt(t, env, func(s *systemSettings) { s.Kubernetes = "always" }), systemTimeout)
	s.expect(t, "ip_forward", health.Critical)
}

func TestSystemOOMKills(t *testing.T) {
	t.Parallel()
	env := node(t, nil)
	c := systemAt(t, env, nil).(*systemCheck)
	run(t, c, systemTimeout).expect(t, "OOM kills", health.OK) // the 7 of before are not news
	must(t, os.WriteFile(filepath.Join(env.Paths.Proc, "vmstat"), []byte("oom_kill 10\n"), 0o600))
	for range 2 {
		run(t, c, systemTimeout).expect(t, "OOM kills", health.Warning, "killed 3 processes", "last 10m0s")
	}
	c.oom.rises[0].at = time.Now().Add(-11 * time.Minute)
	run(t, c, systemTimeout).expect(t, "OOM kills", health.OK)
	must(t, os.WriteFile(filepath.Join(env.Paths.Proc, "vmstat"), []byte("oom_kill 0\n"), 0o600)) // as after a live patch
	run(t, c, systemTimeout).expect(t, "OOM kills", health.OK)
}

func TestSystemShutdown(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		in        time.Duration
		mode      string
		scheduled float64
		down      bool
	}{
		"in an hour":     {time.Hour, "reboot", 1, false},
		"now":            {-time.Second, "poweroff", 1, true},
		"it never came":  {-time.Hour, "poweroff", 1, false},
		"only rehearsed": {-time.Second, "dry-reboot", 0, false},
	} {
		env := node(t, map[string]any{"root" + shutdownScheduled: fmt.Sprintf("USEC=%d\nWARN_WALL=1\nMODE=%s\n", time.Now().Add(tc.in).UnixMicro(), tc.mode)})
		c := systemAt(t, env, nil)
		r := NewReport(time.Now)
		must(t, c.Collect(t.Context(), r))
		if down := slices.Contains(r.Maintained(), ShuttingDown); down != tc.down {
			t.Errorf("%s: maintenance %v", name, down)
		}
		if got := run(t, c, systemTimeout).value(t, &systemShutdown); got != tc.scheduled {
			t.Errorf("%s: scheduled %v", name, got)
		}
	}
}

// TestSystemOfThisMachine looks at a real kernel: whatever it is like, all of
// its files are understood.
func TestSystemOfThisMachine(t *testing.T) {
	t.Parallel()
	s := run(t, systemAt(t, testEnv(), func(s *systemSettings) { s.Kubernetes = "always" }), systemTimeout)
	for _, subject := range []string{"ip_forward", "kernel features", "inotify", "open files", "pids", "OOM kills", "cgroup version"} {
		if r, ok := s.results[subject]; !ok || r.Status == health.Unknown {
			t.Errorf("%s: %+v", subject, r)
		}
	}
	if s.value(t, &systemThreads) < 2 || s.value(t, &systemOpenFiles) < 2 {
		t.Errorf("samples %+v", s.samples)
	}
}

func TestSystemSettings(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*systemSettings){
		"kubernetes: ":         func(s *systemSettings) { s.Kubernetes = "perhaps" },
		"features: ":           func(s *systemSettings) { s.Features = []string{"vfat"} },
		"ignore_units: ":       func(s *systemSettings) { s.IgnoreUnits = []string{"["} },
		"critical_units: ":     func(s *systemSettings) { s.CriticalUnits = []string{"a", "["} },
		"oom_window: ":         func(s *systemSettings) { s.OOMWindow = time.Second },
		"thresholds: inotify_": func(s *systemSettings) { s.Thresholds.InotifyWatches = -1 },
		"thresholds: cpu_":     func(s *systemSettings) { s.Thresholds.CPUPressure.Warning = 2 },
		"interval: ":           func(s *systemSettings) { s.Interval = 0 },
	} {
		s := defaultSystemSettings()
		change(s)
		if err := s.Validate(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: error %v", want, err)
		}
	}
}
