package schedule

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/grapevine-mesh/grapevine/collectors"
)

const families = `# HELP backup_runs_total Runs.
# TYPE backup_runs_total counter
backup_runs_total{site="b",target="tape"} 2
backup_runs_total{target="s3"} 17
# HELP backup_seconds Time.
# TYPE backup_seconds histogram
backup_seconds_bucket{le="1"} 2
backup_seconds_bucket{le="+Inf"} 3
backup_seconds_sum 12.5
backup_seconds_count 3
# HELP backup_bytes Size.
# TYPE backup_bytes summary
backup_bytes{quantile="0.5"} 10
backup_bytes_sum 100
backup_bytes_count 4
# HELP raid_state
# TYPE raid_state untyped
raid_state 1
`

// What a check brings of others is exported as it is, as long as the check
// goes on bringing it.
func TestForeignFamilies(t *testing.T) {
	one := &scripted{name: "one", do: func(_ context.Context, n int, r *collectors.Report) error {
		parser := expfmt.NewTextParser(model.LegacyValidation)
		parsed, err := parser.TextToMetricFamilies(strings.NewReader(families))
		if err != nil || n > 2 {
			return err
		}
		for _, mf := range parsed {
			r.Family(mf)
			r.Family(mf) // of two of one name one counts
		}
		return nil
	}}
	bubble(t, func(t *testing.T, s *Schedule, _ func() error) {
		names := []string{"backup_runs_total", "backup_seconds", "backup_bytes", "raid_state"}
		pass(6 * time.Second)
		if err := testutil.CollectAndCompare(s, strings.NewReader(families), names...); err != nil {
			t.Error(err)
		}
		gather(t, s) // a pedantic registry takes them
		pass(10 * time.Second)
		if n := gather(t, s); n["backup_runs_total"] != 0 || n["grapevine_check_runs_total"] != 1 {
			t.Errorf("families after the check stopped bringing them: %v", n)
		}
	}, one)
}

// A check cannot speak for another under the agent's own names.
func TestOwnFamilyIsNotForeign(t *testing.T) {
	parser := expfmt.NewTextParser(model.LegacyValidation)
	parsed, err := parser.TextToMetricFamilies(strings.NewReader("grapevine_etcd_up 1\n"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if recover() == nil {
			t.Error("taken")
		}
	}()
	collectors.NewReport(time.Now).Family(parsed["grapevine_etcd_up"])
}
