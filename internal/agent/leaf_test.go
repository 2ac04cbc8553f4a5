package agent

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/grapevine-mesh/grapevine/mesh"
)

// seriesOf lists the series in a text exposition, without their values.
func seriesOf(body string) []string {
	var series []string
	for line := range strings.Lines(body) {
		if at := strings.LastIndexByte(line, ' '); at > 0 && line[0] != '#' {
			series = append(series, line[:at])
		}
	}
	slices.Sort(series)
	return series
}

// role is that of an agent by its own word.
func (r *running) role() mesh.Role {
	for _, role := range mesh.Roles {
		if r.shows("/metrics/local", `grapevine_mesh_role{node="`+r.cfg.Node+`",role="`+role.String()+`"} 1`) == nil {
			return role
		}
	}
	r.t.Fatalf("%s has no role", r.cfg.Node)
	return 0
}

// Above the byte budget an agent that does not hold everybody's series
// answers for the whole cluster all the same, whoever else is gone.
func TestLeafAnswersForAll(t *testing.T) {
	t.Parallel()
	agents := map[string]*running{}
	var seed string
	for i := range 6 {
		cfg, logs := testConfig(t, fmt.Sprint("n", i))
		cfg.ByteBudget = 1
		if seed != "" {
			cfg.MeshJoin = []string{seed}
		}
		agents[cfg.Node] = start(t, cfg, logs)
		seed = agents[cfg.Node].GossipAddr()
	}
	byRole := func() (holders, leaves []*running) {
		eventually(t, func() error {
			holders, leaves = nil, nil
			for _, a := range agents {
				switch a.role() {
				case mesh.Aggregator:
					holders = append(holders, a)
				case mesh.Leaf:
					leaves = append(leaves, a)
				}
			}
			if len(holders) != 3 || len(leaves) != len(agents)-3 {
				return fmt.Errorf("%d aggregators and %d leaves of %d agents", len(holders), len(leaves), len(agents))
			}
			return nil
		})
		return holders, leaves
	}
	// same waits until a scrape of each leaf is that of some aggregator.
	same := func(holders, leaves []*running) {
		t.Helper()
		var up []string
		for name := range agents {
			up = append(up, `grapevine_node_up{node="`+name+`"} 1`, `go_goroutines{node="`+name+`"} `)
		}
		for _, leaf := range leaves {
			eventually(t, func() error {
				if err := leaf.shows("/metrics", append(up, `grapevine_mesh_scrape_complete{node="`)...); err != nil {
					return err
				}
				_, got := leaf.get("/metrics")
				var diff string
				for _, holder := range holders {
					_, want := holder.get("/metrics")
					complete := `grapevine_mesh_scrape_complete{node="` + holder.cfg.Node + `"} 1`
					if diff = cmp.Diff(seriesOf(want), seriesOf(got)); diff == "" && strings.Contains(got, complete) {
						return nil
					}
				}
				return fmt.Errorf("%s answers as no aggregator does (-aggregator +leaf):\n%s", leaf.cfg.Node, diff)
			})
		}
	}
	holders, leaves := byRole()
	same(holders, leaves)
	if err := leaves[0].shows("/api/v1/status", `"known":6,"up":6`); err != nil {
		t.Error(err)
	}

	// All aggregators go: others take their place.
	for _, a := range holders {
		if err := a.stop(); err != nil {
			t.Error(err)
		}
		delete(agents, a.cfg.Node)
	}
	cfg, logs := testConfig(t, "late")
	cfg.ByteBudget, cfg.MeshJoin = 1, []string{leaves[0].GossipAddr()}
	agents["late"] = start(t, cfg, logs)
	holders, leaves = byRole()
	same(holders, leaves)
}
