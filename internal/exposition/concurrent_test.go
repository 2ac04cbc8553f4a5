package exposition

import (
	"bytes"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/grapevine-mesh/grapevine/mesh"
)

// Scrapes of every kind at once, while schemas come and go, each give a whole
// and consistent answer.
func TestConcurrentWrites(t *testing.T) {
	r := New(prometheus.NewRegistry())
	views := []mesh.View{clusterView(), skewedView(), largeView(20, 50), {}}
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for i := range 50 {
				v := views[(worker+i)%len(views)]
				o := Options{Format: Format(i % len(formats)), Timestamps: i%2 == 0}
				if i%5 == 0 {
					o.Nodes = []string{"a"}
				}
				var b bytes.Buffer
				if err := r.Write(&b, v, o); err != nil {
					t.Error(err)
				}
				if o.Format == Protobuf {
					mf := checkMessages(t, b.String())["grapevine_node_up"]
					if want := len(v.Nodes); o.Nodes == nil && len(mf.GetMetric()) != want {
						t.Errorf("not every one of %d nodes is shown: %v", want, mf)
					}
					continue
				}
				if want := len(v.Nodes); o.Nodes == nil && strings.Count(b.String(), "\ngrapevine_node_up{") != want {
					t.Errorf("not every one of %d nodes is shown:\n%s", want, b.String())
				}
				if o.Format == Text {
					parse(t, b.String())
				}
			}
		})
	}
	wg.Wait()
}
