package web

import (
	"os/exec"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/grapevine-mesh/grapevine/test/real"
)

// promtool has no complaint about either way to scrape, nor about the names
// of this package's own metrics.
func TestPromtool(t *testing.T) {
	promtool := real.Binary(t, "promtool")
	cfg, reg := config()
	cfg.Local = prometheus.Gatherers{cfg.Local, reg}
	h := handler(cfg)
	for _, path := range []string{"/metrics", "/metrics/local", "/metrics?collect[]=etcd", "/metrics/local?collect[]=etcd"} {
		check := exec.CommandContext(t.Context(), promtool, "check", "metrics")
		check.Stdin = ask(h, "GET", path).Body
		if complaints, err := check.CombinedOutput(); err != nil || len(complaints) > 0 {
			t.Errorf("%s: %v\n%s", path, err, complaints)
		}
	}
}
