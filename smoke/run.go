package smoke

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Options are what differs from run to run.
type Options struct {
	// Turn chooses the nodes: see TurnAt.
	Turn uint64
	// Nodes are the only ones to choose from; empty: all.
	Nodes []string
	// Told is called when a step has its verdict, and again when that gets
	// worse. Nil: nobody is told.
	Told func(Step)
}

// TurnAt is the turn of the run that is due at a time. It does not depend on
// who makes it, so that whoever takes over goes on with the next nodes.
func TurnAt(at time.Time, interval time.Duration) uint64 {
	return uint64(max(0, at.UnixNano()) / max(1, int64(interval)))
}

// Run makes one run and clears up after it, also when ctx ends before its
// time. What cannot be done is in the report. It takes no longer than the
// deadline of the settings, and ends within a few seconds when the API server
// does not answer.
func Run(ctx context.Context, c *Client, s Settings, o Options) Report {
	return newRun(ctx, c, s, o).do(ctx)
}

// run is one run under way.
type run struct {
	course
	c *Client
	o Options

	id, key string
	// talk is how long a client tries each of its steps, all at once: it leaves
	// time for the pod to start and to be seen to have ended.
	talk time.Duration

	touched  bool // something may have been made
	anchor   metav1.OwnerReference
	started  time.Time // when the API server has made the anchor, by its clock
	service  corev1.Service
	follower *follower
}

func newRun(ctx context.Context, c *Client, s Settings, o Options) *run {
	r := &run{c: c, o: o, id: random(5), key: random(32), talk: max(time.Second, s.Patience*4/10)}
	r.course = course{s: s, told: o.Told, outer: ctx}
	r.report = Report{Server: c.server(), Namespace: s.Namespace, Run: r.id, Began: time.Now(), Nodes: []string{}}
	r.begin(s.steps())
	return r
}

func random(size int) string {
	b := make([]byte, size)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

// do makes the run and clears up after it.
func (r *run) do(ctx context.Context) Report {
	working, cancel := context.WithTimeout(ctx, r.s.Deadline-r.s.Patience)
	defer cancel()
	r.work(working)
	if r.touched {
		clearing, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.s.Patience)
		defer cancel()
		r.clear(clearing)
	}
	if r.follower != nil {
		r.follower.close()
	}
	r.conclude("pods on " + strings.Join(r.report.Nodes, " and ") + " were scheduled, talked and are gone again")
	return r.report
}

// work goes the way up to where it ends.
func (r *run) work(ctx context.Context) {
	if !r.step(ctx, StepAdmit, r.admitServers) {
		return
	}
	r.follower = follow(r.c, r.s.Namespace, runLabel+"="+r.id)
	if !r.bringUp(ctx, r.podNames(roleServer), running) {
		return
	}
	if !r.step(ctx, StepAdmit, r.admitClients) {
		return
	}
	if !r.bringUp(ctx, r.podNames(roleClient), ended) {
		return
	}
	r.judgeTalk()
	for _, optional := range []struct {
		name string
		on   bool
		take func(context.Context) verdict
	}{
		{StepLogs, r.s.Steps.Logs, r.logs}, {StepExec, r.s.Steps.Exec, r.exec},
		{StepPolicy, r.s.Steps.Policy, r.policy}, {StepVolume, r.s.Steps.Volume, r.volume},
	} {
		if optional.on && r.failedBelow(optional.name) == "" {
			r.step(ctx, optional.name, optional.take)
		}
	}
}
