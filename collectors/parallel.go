package collectors

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"time"
)

// parallel runs functions side by side. A panic in one of them is raised
// again in wait, on the goroutine of the check, where the recover of
// internal/schedule stands; elsewhere it would end the agent.
type parallel struct {
	wg sync.WaitGroup

	mu     sync.Mutex // guards raised
	raised any        // the first panic
}

func (p *parallel) run(f func()) {
	p.wg.Go(func() {
		defer func() {
			if v := recover(); v != nil {
				p.mu.Lock()
				defer p.mu.Unlock()
				if p.raised == nil {
					p.raised = fmt.Sprintf("%v\n%s", v, debug.Stack())
				}
			}
		}()
		f()
	})
}

func (p *parallel) wait() {
	p.wg.Wait()
	if p.raised != nil {
		panic(p.raised)
	}
}

// finishing returns a context that ends a tenth of the remaining time before
// ctx does, so that a probe that times out can still say so in its report.
func finishing(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, deadline.Add(-time.Until(deadline)/10))
}
