package exposition

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
)

func TestLocal(t *testing.T) {
	reg := prometheus.NewRegistry()
	auto := promauto.With(reg)
	auto.NewGauge(prometheus.GaugeOpts{Name: "grapevine_disk_free_bytes", Help: "Free."}).Set(3)
	auto.NewGauge(prometheus.GaugeOpts{Name: "grapevine_etcd_up", Help: "Up."}).Set(1)
	status := auto.NewGaugeVec(prometheus.GaugeOpts{Name: "grapevine_check_status", Help: "Status."}, []string{"check", "subject"})
	status.WithLabelValues("disk", "/").Set(2)
	status.WithLabelValues("etcd", "x").Set(1)
	labelled := auto.NewGaugeVec(prometheus.GaugeOpts{Name: "grapevine_disk_zones", Help: "Zones."}, []string{"a", "node", "zone"})
	labelled.WithLabelValues("1", "not mine", "2").Set(4)

	want := `
# HELP grapevine_check_status Status.
# TYPE grapevine_check_status gauge
grapevine_check_status{check="disk",node="me",subject="/"} 2
# HELP grapevine_disk_free_bytes Free.
# TYPE grapevine_disk_free_bytes gauge
grapevine_disk_free_bytes{node="me"} 3
# HELP grapevine_disk_zones Zones.
# TYPE grapevine_disk_zones gauge
grapevine_disk_zones{a="1",node="me",zone="2"} 4
`
	local := Local(reg, "me", []string{"disk"})
	for range 2 { // a second time nothing has been added twice
		if err := testutil.GatherAndCompare(local, strings.NewReader(want)); err != nil {
			t.Error(err)
		}
	}
	all, err := Local(reg, "me", nil).Gather()
	if err != nil || len(all) != 4 {
		t.Errorf("%d families without a filter, want 4 (%v)", len(all), err)
	}
}

func TestLocalChangesNothing(t *testing.T) {
	reg := prometheus.NewRegistry()
	promauto.With(reg).NewGauge(prometheus.GaugeOpts{Name: "x", Help: "X."})
	kept, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	local := Local(prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) { return kept, nil }), "me", nil)
	if _, err := local.Gather(); err != nil {
		t.Fatal(err)
	}
	if n := len(kept[0].Metric[0].Label); n != 0 {
		t.Errorf("the gatherer's own metric has %d labels now", n)
	}
}
