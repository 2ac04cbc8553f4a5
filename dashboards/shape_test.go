package dashboards

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/grapevine-mesh/grapevine/test/real"
)

// TestGenerated holds the files against the tables that they are made from.
func TestGenerated(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if out, err := exec.CommandContext(t.Context(), "go", "run", "./gen", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	made, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(made) != len(every(t)) {
		t.Fatalf("gen makes %d dashboards, there are %d: %v", len(made), len(every(t)), err)
	}
	for _, name := range made {
		want, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Base(name))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not what gen makes: run make docs (%v)", filepath.Base(name), err)
		}
	}
}

// TestSchema holds the files against what Grafana reads.
func TestSchema(t *testing.T) {
	t.Parallel()
	args := []string{"testdata/schema.json"}
	for _, d := range every(t) {
		args = append(args, d.file)
	}
	validator := real.Binary(t, "jsonschema")
	if out, err := exec.CommandContext(t.Context(), validator, args...).CombinedOutput(); err != nil {
		t.Errorf("%v:\n%s", err, out)
	}
}

// TestSchemaRefuses shows that the schema would tell.
func TestSchemaRefuses(t *testing.T) {
	t.Parallel()
	validator := real.Binary(t, "jsonschema")
	text, err := os.ReadFile("overview.json")
	if err != nil {
		t.Fatal(err)
	}
	for what, change := range map[string][2]string{
		"a misspelt field":       {`"gridPos"`, `"gridpos"`},
		"an unknown panel":       {`"type": "state-timeline"`, `"type": "statetimeline"`},
		"a link without its url": {`"url": "/d/grapevine-node"`, `"uri": "/d/grapevine-node"`},
		"a number as a text":     {`"schemaVersion": 39`, `"schemaVersion": "39"`},
		"a wrong transformation": {`"id": "groupingToMatrix"`, `"id": "groupToMatrix"`},
		"an unknown unit":        {`"unit": "s"`, `"unit": "sec"`},
		"an unknown option":      {`"mergeValues"`, `"mergevalues"`},
	} {
		broken := bytes.ReplaceAll(text, []byte(change[0]), []byte(change[1]))
		if bytes.Equal(broken, text) {
			t.Errorf("%s: overview.json has no %s to change", what, change[0])
		}
		name := filepath.Join(t.TempDir(), "broken.json")
		if err := os.WriteFile(name, broken, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := exec.CommandContext(t.Context(), validator, "testdata/schema.json", name).Run(); err == nil {
			t.Errorf("%s is not refused", what)
		}
	}
}

// uids are in bookmarks and links: they never change.
var uids = []string{"grapevine-control-plane", "grapevine-etcd", "grapevine-mesh", "grapevine-network", "grapevine-node", "grapevine-overview", "grapevine-smoke"}

func TestDashboards(t *testing.T) {
	t.Parallel()
	var found []string
	for _, d := range every(t) {
		found = append(found, d.UID)
		if d.UID != "grapevine-"+strings.TrimSuffix(d.file, ".json") {
			t.Errorf("%s has the uid %s", d.file, d.UID)
		}
		if d.Editable || d.Timezone != "browser" {
			t.Errorf("%s: editable %v, time zone %q", d.file, d.Editable, d.Timezone)
		}
		var names []string
		for _, v := range d.Templating.List {
			names = append(names, v.Name)
			if v.Type == "query" && v.AllValue != ".*" {
				t.Errorf("%s: All of %s is %q, which leaves out series without that label", d.file, v.Name, v.AllValue)
			}
		}
		chooses := slices.Equal(names, []string{"datasource", "cluster", "node"})
		if !chooses && !slices.Equal(names, []string{"datasource", "cluster"}) {
			t.Errorf("%s has the variables %v", d.file, names)
		}
		for _, p := range d.Panels {
			for _, q := range p.Targets {
				if !chooses && strings.Contains(q.Expr, "$node") {
					t.Errorf("%s: %s goes by a node that nobody can see chosen", d.file, p.Title)
				}
			}
		}
	}
	if !slices.Equal(found, uids) {
		t.Errorf("the uids are %v, want %v", found, uids)
	}
}

func TestPanels(t *testing.T) {
	t.Parallel()
	for _, d := range every(t) {
		ids, titles := map[int]bool{}, map[string]bool{}
		row := ""
		for i, p := range d.Panels {
			if ids[p.ID] || p.ID == 0 {
				t.Errorf("%s: %s has the id %d, as another one", d.file, p.Title, p.ID)
			}
			ids[p.ID] = true
			at := p.GridPos
			if at.X < 0 || at.W < 1 || at.H < 1 || at.X+at.W > 24 {
				t.Errorf("%s: %s does not fit into 24 columns: %v", d.file, p.Title, at)
			}
			for _, other := range d.Panels[:i] {
				o := other.GridPos
				if at.X < o.X+o.W && o.X < at.X+at.W && at.Y < o.Y+o.H && o.Y < at.Y+at.H {
					t.Errorf("%s: %s lies on %s", d.file, p.Title, other.Title)
				}
			}
			if p.Type == "row" {
				row = p.Title
				continue
			}
			if titles[row+"/"+p.Title] || p.Title == "" {
				t.Errorf("%s has two panels %q", d.file, p.Title)
			}
			titles[row+"/"+p.Title] = true
			p.check(t, d.file)
		}
	}
}

// check looks at what every panel must have.
func (p *panel) check(t *testing.T, file string) {
	t.Helper()
	if len(p.Description) < 10 || !strings.HasSuffix(p.Description, ".") {
		t.Errorf("%s: %s is described by %q", file, p.Title, p.Description)
	}
	if len(p.Targets) == 0 {
		t.Errorf("%s: %s asks nothing", file, p.Title)
	}
	steps := p.FieldConfig.Defaults.Thresholds.Steps
	if p.Type == "stat" && (len(steps) == 0 || steps[0].Value != nil || steps[0].Color == "green") {
		t.Errorf("%s: %s is %v when there are no data: they look like health", file, p.Title, steps)
	}
	for _, q := range p.Targets {
		if p.Datasource.UID != "${datasource}" || q.Datasource.UID != "${datasource}" {
			t.Errorf("%s: %s does not ask the chosen data source", file, p.Title)
		}
		for _, part := range strings.SplitAfter(q.Expr, "[")[1:] {
			rare := strings.HasPrefix(part, "1h]") && strings.Contains(q.Expr, "grapevine_smoke_") // runs are minutes apart
			if !strings.HasPrefix(part, "$__rate_interval]") && !rare {
				t.Errorf("%s: %s takes its rate over %.20q", file, p.Title, part)
			}
		}
		if strings.Count(q.Expr, "{") != strings.Count(q.Expr, `{cluster=~"$cluster"`) {
			t.Errorf("%s: %s does not go by the chosen cluster everywhere: %s", file, p.Title, q.Expr)
		}
	}
}

const runbooks = "https://github.com/grapevine-mesh/grapevine/blob/main/alerts/runbooks/"

func TestRunbooks(t *testing.T) {
	t.Parallel()
	for _, d := range every(t) {
		linked := 0
		for _, p := range d.Panels {
			for _, l := range p.Links {
				name, ok := strings.CutPrefix(l.URL, runbooks)
				if _, err := os.Stat(filepath.Join("../alerts/runbooks", name)); !ok || err != nil {
					t.Errorf("%s: %s links %s: %v", d.file, p.Title, l.URL, err)
				}
				linked++
			}
		}
		if linked == 0 {
			t.Errorf("%s links no runbook", d.file)
		}
	}
}
