// Package deps holds the architecture: data flows one way through the
// packages, and each outside world is known to one of them only.
package deps

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/grapevine-mesh/grapevine/"

// may lists what of ours a package may import, without tests. Who is not in
// the list may not exist: decide where it stands, then add it.
var may = map[string][]string{
	"health":              {},
	"internal/echo":       {},
	"collectors":          {"health", "internal/echo"},
	"internal/heap":       {},
	"smoke":               {"health", "internal/echo", "collectors"},
	"internal/logging":    {},
	"internal/pki":        {},
	"internal/config":     {"collectors"},
	"internal/schedule":   {"collectors", "health"},
	"mesh/frame":          {"health"},
	"mesh/state":          {"health", "mesh/frame"},
	"mesh/spread":         {"health", "mesh/frame", "mesh/state"},
	"mesh/meshtest":       {},
	"mesh/exchange":       {"mesh/frame", "mesh/state"},
	"mesh/news":           {"health", "mesh/frame"},
	"mesh/reach":          {"health"},
	"mesh":                {"health", "mesh/frame", "mesh/state", "mesh/spread", "mesh/exchange", "mesh/news", "mesh/reach"},
	"internal/control":    {"mesh"},
	"internal/exposition": {"health", "mesh"},
	"internal/web":        {"health", "mesh", "internal/exposition"},
	"internal/agent":      {"*"}, // wiring is all it does
	"cmd/grapevine":       {"*"},
	"docs/gen":            {"*"},
	"alerts":              {},
	"alerts/gen":          {},
	"dashboards":          {},
	"dashboards/gen":      {},
	"test/deps":           {},
	"test/thread":         {},
	"test/netsim":         {"test/thread"},
	"test/real":           {"test/thread"},
	"test/promql":         {"test/real"},
	"test/bench/fleet":    {"health", "mesh"},
	"test/bench":          {"health", "mesh", "internal/exposition", "internal/heap", "internal/web", "test/real", "test/bench/fleet"},
	"test/benchmesh":      {"health", "mesh/frame", "mesh/state", "mesh/spread", "mesh/exchange"},
	"test/demo":           {"test/real"},
	"test/e2e":            {"test/real", "test/netsim"},
}

// only lists outside packages, by prefix, and who alone may import them.
var only = map[string][]string{
	"github.com/hashicorp/": {"mesh", "mesh/meshtest"},
	"go.etcd.io/etcd/":      {"collectors"},
	"k8s.io/":               {"collectors", "smoke"},
	"github.com/moby/":      {"collectors", "smoke"},
	"github.com/prometheus/exporter-toolkit/":                 {"internal/web", "internal/agent", "cmd/grapevine"},
	"github.com/alecthomas/kingpin":                           {"cmd/grapevine"},
	"go.yaml.in/yaml":                                         {"internal/config", "collectors", "docs/gen"},
	"github.com/miekg/dns":                                    {"collectors"},
	"google.golang.org/protobuf/encoding":                     {"mesh", "mesh/frame", "mesh/exchange", "mesh/news", "internal/exposition"},
	"github.com/prometheus/common/expfmt":                     {"internal/exposition", "internal/web", "collectors"}, // collectors: etcd's own /metrics
	"github.com/coreos/go-systemd/":                           {"internal/agent"},
	"github.com/hanwen/go-fuse/":                              {"test/real"},
	"github.com/godbus/dbus":                                  {"collectors"},
	"net/http/pprof":                                          {"internal/web"},
	"github.com/prometheus/client_golang/prometheus/promhttp": {"internal/web", "internal/exposition"},
}

// goPackage is what go list tells of a package.
type goPackage struct {
	ImportPath                         string
	Doc                                string
	Name                               string
	Imports                            []string
	TestGoFiles, GoFiles, XTestGoFiles []string
}

func list(t *testing.T) []goPackage {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Doc,Name,Imports,GoFiles,TestGoFiles,XTestGoFiles", module+"...")
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("%v: %s", err, exit.Stderr)
		}
		t.Fatal(err)
	}
	var packages []goPackage
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
}

func TestDataFlowsOneWay(t *testing.T) {
	for _, p := range list(t) {
		name := strings.TrimPrefix(p.ImportPath, module)
		allowed, known := may[name]
		if !known {
			t.Errorf("%s has no place in the architecture: add it to the list here, and to docs/architecture.md", name)
		}
		for _, imported := range p.Imports {
			ours, isOurs := strings.CutPrefix(imported, module)
			if isOurs && !slices.Contains(allowed, ours) && !slices.Contains(allowed, "*") {
				t.Errorf("%s imports %s: data would flow backwards", name, ours)
			}
			for prefix, who := range only {
				if strings.HasPrefix(imported, prefix) && !slices.Contains(who, name) && !strings.HasPrefix(name, "test/") {
					t.Errorf("%s imports %s: only %v may know it", name, imported, who)
				}
			}
		}
	}
}

func TestHealthIsALeaf(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", module+"health").Output()
	if err != nil {
		t.Fatal(err)
	}
	for path := range strings.FieldsSeq(string(out)) {
		if path != module+"health" && strings.HasPrefix(path, module) {
			t.Errorf("health depends on %s", path)
		}
	}
}

// Every package says where it stands, and none is named after nothing.
func TestPackageDocs(t *testing.T) {
	for _, p := range list(t) {
		if len(p.GoFiles) > 0 && (p.Doc == "" || strings.Count(p.Doc, ". ") > 4) {
			t.Errorf("%s: the package comment should be one to four sentences, it is %q", p.ImportPath, p.Doc)
		}
		if slices.Contains([]string{"util", "utils", "helper", "helpers", "common", "misc", "manager", "data"}, p.Name) {
			t.Errorf("%s: a name that says nothing", p.ImportPath)
		}
	}
}
