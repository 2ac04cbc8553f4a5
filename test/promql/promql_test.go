package promql

import (
	"strings"
	"testing"
)

func TestFaults(t *testing.T) {
	t.Parallel()
	known := Metrics(t)
	for _, c := range []struct{ expr, fault string }{
		{`max by (cluster, node, check) (grapevine_check_status{node=~"a", subject!=""})`, ""},
		{`histogram_quantile(0.99, sum by (node, le) (rate(grapevine_etcd_read_duration_seconds_bucket[5m])))`, ""},
		{`histogram_count(grapevine_etcd_read_duration_seconds)`, ""},
		{`grapevine_node_up * on (node) group_left (kernel) grapevine_node_info`, ""},
		{`max by (name) (label_replace(grapevine_node_up, "name", "$1", "node", "(.*)"))`, ""},
		{`count_values by (node) ("status", grapevine_check_status)`, ""},
		{`max by (node (grapevine_node_up)`, "parse error"},
		{`grapevine_node_upp`, `no metric "grapevine_node_upp"`},
		{`{__name__=~"grapevine_.*"}`, `no metric ""`},
		{`grapevine_check_status{chekc="etcd"}`, `no label "chekc"`},
		{`sum by (node, le) (rate(grapevine_etcd_read_duration_seconds_sum[5m]))`, `no label "le"`},
		{`max by (peer) (grapevine_node_up)`, `no label "peer"`},
		{`grapevine_node_up * on (node) group_left (peer) grapevine_node_info`, `no label "peer"`},
		{`max by (instance) (grapevine_node_up)`, `no label "instance"`},
		{`grapevine_node_up / ignoring (peer) grapevine_node_up`, `no label "peer"`},
	} {
		e := Parse(t, c.expr)[0]
		faults := strings.Join(known.Faults(e, "cluster"), "; ")
		if (faults == "") != (c.fault == "") || !strings.Contains(faults, c.fault) {
			t.Errorf("%s: got the faults %q, want %q", c.expr, faults, c.fault)
		}
	}
}
