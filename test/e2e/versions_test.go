package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"

	"github.com/grapevine-mesh/grapevine/test/real"
)

// tomorrow is what a next version might add to each thing that travels: a
// text, a number and eight bytes, under field numbers that are free today.
const tomorrow = `
	%[1]s = protowire.AppendString(protowire.AppendTag(%[1]s, 100, protowire.BytesType), "of tomorrow")
	%[1]s = protowire.AppendVarint(protowire.AppendTag(%[1]s, 101, protowire.VarintType), 7)
	%[1]s = protowire.AppendFixed64(protowire.AppendTag(%[1]s, 102, protowire.Fixed64Type), 7)
`

// nextVersion lists, by file, what is put after which line.
var nextVersion = map[string][][2]string{
	"mesh/frame/frame.go": {
		{"\tb = AppendBytes(b, fieldVerdicts, content.verdicts)\n", fmt.Sprintf(tomorrow, "b")},
		{"\tf.Raw = AppendBytes(f.Raw, fieldValues, values)\n", fmt.Sprintf(tomorrow, "f.Raw")},
	},
	"mesh/frame/schema.go": {
		{"\tb := AppendString(nil, fieldName, f.Name)\n", fmt.Sprintf(tomorrow, "b")},
		{"\t\tvar m []byte\n", fmt.Sprintf(tomorrow, "m")},
		{"\tm := AppendString(nil, fieldSubjectCheck, r.Check)\n", fmt.Sprintf(tomorrow, "m")},
		{"\ttext := AppendString(nil, fieldProgram, series.Version)\n", fmt.Sprintf(tomorrow, "text")},
		{"\tb := AppendBytes(nil, fieldHash, s.Hash[:])\n", fmt.Sprintf(tomorrow, "b")},
	},
	"mesh/exchange/message.go": {
		{"func (m *message) encode() []byte {\n\tvar b []byte\n", fmt.Sprintf(tomorrow, "b")},
		{"\t\te := frame.AppendBytes(nil, 1, f.Raw)\n", fmt.Sprintf(tomorrow, "e")},
		{"\t\te := frame.AppendString(nil, 1, h.Name)\n", fmt.Sprintf(tomorrow, "e")},
	},
}

// buildNext builds the agent as its next version may be.
func buildNext(t *testing.T) string {
	t.Helper()
	root, err := real.Root()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	for name, changes := range nextVersion {
		b, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		text := strings.Replace(string(b), "\nconst Format = 1\n", "\nconst Format = 2\n", 1)
		for _, c := range changes {
			if strings.Count(text, c[0]) != 1 {
				t.Fatalf("%s has %q %d times", name, c[0], strings.Count(text, c[0]))
			}
			text = strings.Replace(text, c[0], c[0]+c[1], 1)
		}
		changed := filepath.Join(dir, strings.ReplaceAll(name, "/", "_"))
		if err := os.WriteFile(changed, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		overlay.Replace[filepath.Join(root, name)] = changed
	}
	b, err := json.Marshal(overlay)
	if err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(list, b, 0o600); err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(dir, "grapevine-next")
	build := exec.CommandContext(t.Context(), "go", "build", "-overlay="+list, "-o", binary, "./cmd/grapevine")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the next version: %v\n%s", err, out)
	}
	return binary
}

// TestVersionsMix runs this version and the next in one mesh, as during a
// roll-out: each shows the other's values and verdicts, and refuses nothing.
func TestVersionsMix(t *testing.T) {
	t.Parallel()
	next := buildNext(t)
	var agents []*real.Agent
	var join []string
	for name, binary := range map[string]string{"today-1": "", "today-2": "", "next-1": next, "next-2": next} {
		a := real.NeedAgent(t, real.AgentOptions{Name: name, Binary: binary, Join: join, Checks: []string{"disk", "system"}})
		agents, join = append(agents, a), append(join, a.Gossip)
	}
	// What comes is not the first frame alone: the runs of checks go on.
	first := map[[2]string]float64{}
	eventually(t, "each agent shows and follows every other", func(ctx context.Context) (behind error) {
		for _, a := range agents {
			families, err := a.Scrape(ctx, "/metrics")
			if err != nil {
				return err
			}
			for _, of := range agents {
				runs, err := shown(families, of.Name)
				pair := [2]string{a.Name, of.Name}
				if before, ok := first[pair]; err == nil && !ok {
					first[pair], err = runs, errors.New("seen once")
				} else if err == nil && runs <= before {
					err = fmt.Errorf("still at %v runs of checks", runs)
				}
				if err != nil {
					behind = fmt.Errorf("%s of %s: %w", a.Name, of.Name, err)
				}
			}
		}
		return behind
	})
	for _, a := range agents {
		refused, err := series(t.Context(), a, "/metrics/local", "grapevine_mesh_refused_total")
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range refused {
			if reason := r.labels["reason"]; reason != "not_member" && reason != "missing" { // both pass as a mesh forms
				t.Errorf("%s refuses for %s", a.Name, reason)
			}
		}
	}
}

// shown returns an error unless a node is up in what was scraped, with values
// and verdicts, else how many runs of its checks are in it.
func shown(families map[string]*dto.MetricFamily, node string) (runs float64, err error) {
	for _, name := range []string{"grapevine_node_up", "grapevine_node_memory_bytes", "grapevine_check_status", "grapevine_check_runs_total"} {
		found := false
		for _, m := range families[name].GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == "node" && l.GetValue() == node {
					found = name != "grapevine_node_up" || m.GetGauge().GetValue() == 1
					runs += m.GetCounter().GetValue()
				}
			}
		}
		if !found {
			return 0, fmt.Errorf("no %s", name)
		}
	}
	return runs, nil
}
