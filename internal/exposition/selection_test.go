package exposition

import "testing"

func TestSelection(t *testing.T) {
	for _, tc := range []struct {
		checks []string
		family string
		want   scope
	}{
		{nil, "backup_runs_total", whole},
		{[]string{"host-network"}, "grapevine_host_network_loss_ratio", whole},
		{[]string{"host-network"}, "grapevine_check_status", some},
		{[]string{"disk"}, "grapevine_etcd_up", nothing},
		{[]string{"disk"}, "backup_runs_total", nothing},
		{[]string{"disk", "textfile"}, "backup_runs_total", whole},
		{[]string{"textfile"}, "grapevine_textfile_success", whole},
		{[]string{"textfile"}, "grapevine_etcd_up", nothing},
		{[]string{"textfile"}, "go_goroutines", nothing},
		{[]string{"textfile"}, "process_open_fds", nothing},
	} {
		sel := selectChecks(tc.checks)
		if got := sel.family(tc.family); got != tc.want {
			t.Errorf("%v of %s: %v, want %v", tc.checks, tc.family, got, tc.want)
		}
	}
}
