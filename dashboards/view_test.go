package dashboards

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"

	"github.com/grapevine-mesh/grapevine/test/real"
)

// absence is a pattern of queries that may have no answer, and why.
type absence struct{ query, why string }

// view is the dashboards on one Prometheus.
type view struct {
	prometheus *real.Prometheus
	absent     []absence
	patience   time.Duration
}

// interval is what rates are taken over: the checks' pace is 30 s at most.
const interval = "70s"

// scrape starts a Prometheus with these jobs. Queries may stay without an
// answer for the reasons given.
func scrape(t *testing.T, jobs string, absent ...[]absence) *view {
	t.Helper()
	p := real.NeedPrometheus(t, real.PrometheusOptions{Config: "global: {scrape_interval: 1s}\nscrape_configs:\n" + jobs})
	return &view{p, slices.Concat(absent...), 5 * time.Minute}
}

// why tells why expr may have no answer, and is empty when it must have one.
func (v *view) why(expr string) string {
	for _, a := range v.absent {
		if regexp.MustCompile(a.query).MatchString(expr) {
			return a.why
		}
	}
	return ""
}

// eventually waits for check to be content.
func (v *view) eventually(t *testing.T, what string, check func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), v.patience)
	defer cancel()
	for {
		err := check(ctx)
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Errorf("%s: not within %v: %v", what, v.patience, err)
			return
		case <-time.After(time.Second):
		}
	}
}

// answersAll waits until every query has an answer that is one series by what
// the panel shows, whichever way it was scraped.
func (v *view) answersAll(t *testing.T, way string) {
	t.Helper()
	waiting, excused := map[string]string{}, 0
	queries(t, func(where, expr string) {
		if v.why(expr) == "" {
			waiting[where] = chosen(expr, interval)
		} else {
			excused++
		}
	})
	v.eventually(t, way, func(ctx context.Context) error {
		for where, expr := range waiting {
			got, err := v.prometheus.Query(ctx, expr)
			if err != nil {
				return fmt.Errorf("%s: %w", where, err)
			}
			for _, s := range got {
				if s.Metric["instance"] != "" || s.Metric["job"] != "" {
					t.Errorf("%s: %s tells by which way it was scraped: %v", way, where, s.Metric)
				}
			}
			if len(got) > 0 {
				delete(waiting, where)
			}
		}
		if len(waiting) > 0 {
			return fmt.Errorf("these have no answer:\n%s", strings.Join(slices.Sorted(maps.Keys(waiting)), "\n"))
		}
		return nil
	})
	if !t.Failed() {
		t.Logf("%s: every query has an answer but for %d that cannot have one here", way, excused)
	}
}

// shows waits until a panel that shows one number shows want.
func (v *view) shows(t *testing.T, way, name, title string, want float64) {
	t.Helper()
	queries(t, func(where, expr string) {
		if !strings.HasPrefix(where, name+": "+title+" ") {
			return
		}
		v.eventually(t, way+", "+where, func(ctx context.Context) error {
			got, err := v.prometheus.Query(ctx, chosen(expr, interval))
			if err == nil && (len(got) != 1 || float64(got[0].Value) != want) {
				err = fmt.Errorf("got %v, want %v", got, want)
			}
			return err
		})
	})
}

// showsLike waits until v shows the same series as other, and none of them
// twice as large: nothing is counted once for each way it comes by.
func (v *view) showsLike(t *testing.T, other *view) {
	t.Helper()
	queries(t, func(where, expr string) {
		if strings.Contains(expr, "timestamp(") {
			return
		}
		v.eventually(t, where, func(ctx context.Context) error {
			got, err := v.prometheus.Query(ctx, chosen(expr, interval))
			if err != nil {
				return err
			}
			want, err := other.prometheus.Query(ctx, chosen(expr, interval))
			if err != nil {
				return err
			}
			if g, w := labelSets(got), labelSets(want); !slices.Equal(g, w) {
				return fmt.Errorf("it shows %v, want %v", g, w)
			}
			if a, b := total(got), total(want); a > 1.7*b+0.01 {
				return fmt.Errorf("it shows %v in all, want about %v", a, b)
			}
			return nil
		})
	})
}

func labelSets(v model.Vector) []string {
	sets := make([]string, len(v))
	for i, s := range v {
		sets[i] = s.Metric.String()
	}
	slices.Sort(sets)
	return sets
}

func total(v model.Vector) float64 {
	sum := 0.0
	for _, s := range v {
		if f := float64(s.Value); f > 0 { // NaN is not
			sum += f
		}
	}
	return sum
}
