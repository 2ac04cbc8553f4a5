package collectors

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func TestFacts(t *testing.T) {
	root := writeTree(t, "etc/kubernetes/admin.conf", "etc/kubernetes/manifests/kube-apiserver.yaml", "run/containerd/containerd.sock")
	must(t, os.WriteFile(filepath.Join(root, "etc/os-release"), []byte("NAME=x\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n"), 0o600))
	socket := filepath.Join(t.TempDir(), "docker.sock")
	l, err := net.Listen("unix", socket)
	must(t, err)
	defer l.Close()
	t.Setenv("DOCKER_HOST", "unix://"+socket)
	inRoot := filepath.Join(root, filepath.Dir(socket))
	must(t, os.MkdirAll(filepath.Dir(inRoot), 0o700))
	must(t, os.Symlink(filepath.Dir(socket), inRoot))

	registry := prometheus.NewPedanticRegistry()
	facts := NewFacts(Paths{Proc: "/proc", Sys: "/sys", Root: root}, "1.2.3")
	registry.MustRegister(facts)
	gather := func() (names, found []string) {
		families, err := registry.Gather()
		must(t, err)
		for _, f := range families {
			names = append(names, f.GetName())
			for _, m := range f.GetMetric() {
				if m.GetGauge().GetValue() <= 0 {
					t.Errorf("%s is %v", f.GetName(), m.GetGauge().GetValue())
				}
				labels := make(map[string]string)
				for _, p := range m.GetLabel() {
					labels[p.GetName()] = p.GetValue()
				}
				switch f.GetName() {
				case nodeInfo.Name:
					if labels["version"] != "1.2.3" || labels["os"] != "Debian GNU/Linux 12 (bookworm)" || labels["kernel"] == "" || labels["arch"] == "" {
						t.Errorf("info %v", labels)
					}
				case nodeComponent.Name:
					found = append(found, labels["component"]+" "+labels["path"])
				}
			}
		}
		return names, found
	}
	names, found := gather()
	for _, m := range Facts() {
		if !slices.Contains(names, m.Name) {
			t.Errorf("no %s", m.Name)
		}
	}
	// The containerd socket is a plain file here, so it does not count.
	want := "apiserver /etc/kubernetes/manifests/kube-apiserver.yaml, docker " + socket + ", kubeconfig /etc/kubernetes/admin.conf"
	if got := strings.Join(found, ", "); got != want {
		t.Errorf("found %s\nwant %s", got, want)
	}
	must(t, os.Remove(filepath.Join(root, "etc/kubernetes/admin.conf")))
	facts.Refresh()
	if _, found := gather(); len(found) != 2 {
		t.Errorf("after a reload %v", found)
	}
}
