package smoke

import (
	"context"
	"errors"
	"time"

	"github.com/grapevine-mesh/grapevine/collectors"
	"github.com/grapevine-mesh/grapevine/health"
)

// do makes the run. It returns true when it should be made again, since what
// it had made was ended by somebody else.
func (r *containerRun) do(ctx context.Context, last bool) (again bool) {
	working, cancel := context.WithTimeout(ctx, r.s.Deadline-r.s.Patience)
	defer cancel()
	disturbed := r.work(working)
	if r.touched {
		clearing, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.s.Patience)
		defer cancel()
		r.clear(clearing)
	}
	r.report.Leftovers = append(r.report.Leftovers, r.stuck...)
	r.conclude("two containers were made by " + r.runtime.title() + ", talked and are gone again")
	return disturbed && !last && ctx.Err() == nil
}

// answer wants the runtime to answer at all, soon.
func (r *containerRun) answer(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, firstAnswer)
	defer cancel()
	return r.runtime.ask(ctx)
}

// work goes the way up to where it ends.
func (r *containerRun) work(ctx context.Context) (disturbed bool) {
	do := func(step containerStep) bool {
		var other blamed
		var v verdict
		well := r.step(ctx, step.name, func(ctx context.Context) verdict {
			began := time.Now()
			err := step.do(ctx)
			if err == nil {
				return verdict{}
			}
			v, disturbed = r.judge(ctx, step, err, time.Since(began))
			if errors.As(err, &other) && v.status == health.Critical {
				return verdict{}
			}
			return v
		})
		if other.step != "" && well {
			r.record(other.step, 0, v)
			return false
		}
		return well
	}
	if !do(containerStep{StepAnswer, "tell its version", r.answer}) {
		return false
	}
	r.sweep(ctx)
	r.touched = true
	for _, step := range r.runtime.steps() {
		if !do(step) {
			return disturbed
		}
	}
	if !do(containerStep{StepExec, "run a command in a container", r.greet}) {
		return disturbed
	}
	return r.talk(ctx)
}

// judge words what err says of a step, which has taken that long.
func (r *containerRun) judge(ctx context.Context, step containerStep, err error, took time.Duration) (v verdict, disturbed bool) {
	defer func() { v.nodes = r.report.Nodes }()
	title := r.runtime.title()
	if b, ok := errors.AsType[blamed](err); ok {
		err = b.error
	}
	switch {
	case r.interrupted():
		return verdictf(health.Unknown, "interrupted"), false
	case step.name == StepAnswer:
		status, text := r.runtime.Fault("its version", err, took)
		return verdictf(status, "%s %s", title, text), false
	}
	asked := time.Now()
	if silence := r.alive(); silence != nil {
		r.silent = true
		request, waited := "its version", time.Since(asked)
		if ctx.Err() != nil {
			request, silence, waited = step.name, ctx.Err(), took
		}
		status, text := r.runtime.Fault(request, silence, waited)
		return verdictf(status, "%s %s; it was to %s", title, text, step.doing), false
	}
	switch {
	case ctx.Err() != nil:
		return verdictf(health.Critical, "%s answers, but did not get done within %.1f s: it was to %s", title, took.Seconds(), step.doing), false
	case r.runtime.disturbed(ctx, err):
		return verdictf(health.Unknown, "somebody else has removed what %s was running for this run; the kubelet does that, within seconds, to what is none of its pods (%s)",
			title, collectors.RuntimeCause(err, took)), true
	}
	if missing, ok := errors.AsType[collectors.NoImageError](err); ok {
		return verdictf(health.Critical, "%s", missing.Reason), false
	}
	return verdictf(health.Critical, "%s cannot %s: %s", title, step.doing, collectors.RuntimeCause(err, took)), false
}

// alive tells whether the runtime answers at all.
func (r *containerRun) alive() error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.outer), time.Second)
	defer cancel()
	return r.runtime.ask(ctx)
}
