// Package dashboards holds what Grafana draws of Grapevine: JSON files, made by
// gen. Its tests hold them against Grafana's shape, against docs/metrics.md, and
// against a Prometheus that scrapes living agents.
package dashboards

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// dashboard is what the tests look at of one file.
type dashboard struct {
	file       string
	UID        string
	Title      string
	Editable   bool
	Timezone   string
	Templating struct {
		List []struct {
			Name, Type, AllValue string
			Query                any
		}
	}
	Panels []panel
}

type panel struct {
	ID                       int
	Type, Title, Description string
	GridPos                  struct{ X, Y, W, H int }
	Datasource               struct{ UID string }
	Targets                  []target
	Links                    []struct{ Title, URL string }
	FieldConfig              struct {
		Defaults struct {
			Thresholds struct {
				Steps []struct {
					Color string
					Value *float64
				}
			}
		}
	}
}

type target struct {
	RefID, Expr, LegendFormat, Format string
	Datasource                        struct{ UID string }
}

// every reads all dashboards.
func every(t *testing.T) []dashboard {
	t.Helper()
	files, err := filepath.Glob("*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no dashboards: %v", err)
	}
	all := make([]dashboard, len(files))
	for i, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, &all[i]); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		all[i].file = name
	}
	return all
}

// queries calls f with every query of every panel. where names the panel.
func queries(t *testing.T, f func(where, expr string)) {
	t.Helper()
	for _, d := range every(t) {
		for _, p := range d.Panels {
			for _, q := range p.Targets {
				f(strings.TrimSuffix(d.file, ".json")+": "+p.Title+" "+q.RefID, q.Expr)
			}
		}
	}
}

// chosen is expr as Grafana sends it when everything is chosen and rates are
// taken over interval.
func chosen(expr, interval string) string {
	return strings.NewReplacer("$__rate_interval", interval, "$cluster", ".*", "$node", ".*").Replace(expr)
}
