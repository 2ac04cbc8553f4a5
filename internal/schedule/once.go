package schedule

import (
	"context"
	"io"
	"sync"
	"time"

	"github.com/go-kit/log"

	"github.com/grapevine-mesh/grapevine/collectors"
	"github.com/grapevine-mesh/grapevine/health"
)

// Once runs every check once, all at the same time, and returns what they
// saw, undamped and sorted by check and subject. It takes no longer than the
// longest timeout and a second: a run that hangs is left behind and Unknown.
func Once(ctx context.Context, checks []Check, logger log.Logger) []health.Result {
	var (
		mu      sync.Mutex
		results []health.Result
		wg      sync.WaitGroup
	)
	for _, c := range parts(checks) {
		wg.Go(func() {
			rec := record{name: c.Collector.Name(), part: c.part, timing: collectors.Timing{FailureThreshold: 1, SuccessThreshold: 1}}
			r := start(ctx, c, logger)
			overdue := time.NewTimer(c.Timing.Timeout + time.Second)
			defer overdue.Stop()
			select {
			case <-r.done:
				rec.apply(r.outcome(c.Timing.Timeout), time.Now())
				if closer, ok := c.Collector.(io.Closer); ok {
					_ = closer.Close() // the process ends anyway
				}
			case <-overdue.C:
				rec.apply(r.overdue(), time.Now())
			}
			mu.Lock()
			defer mu.Unlock()
			for _, s := range rec.subjects {
				results = append(results, s.shown)
			}
		})
	}
	wg.Wait()
	sortResults(results)
	return results
}
