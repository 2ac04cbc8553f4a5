package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/grapevine-mesh/grapevine/test/real"
)

// everyFamilyIsDocumented holds docs/metrics.md against what a living agent
// shows.
func everyFamilyIsDocumented(t *testing.T, a *real.Agent) {
	t.Helper()
	root, err := real.Root()
	if err != nil {
		t.Fatal(err)
	}
	docs, err := os.ReadFile(filepath.Join(root, "docs", "metrics.md"))
	if err != nil {
		t.Fatal(err)
	}
	families, err := a.Scrape(t.Context(), "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range families {
		row := "| `" + name + "` | " + strings.ToLower(f.GetType().String()) + " |"
		if strings.HasPrefix(name, "grapevine_") && name != "grapevine_build_info" && !strings.Contains(string(docs), row) {
			t.Errorf("docs/metrics.md has no row %q", row)
		}
	}
}
