package smoke

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
)

// talk is a step in which the containers talk, and that of a pod's client
// which does the same.
type talk struct {
	step string
	task string
	// name of a container that is to be resolved by the other; nil: none.
	name func(container int) string
}

var (
	talkTCP = talk{step: StepOverTCP, task: StepTCP}
	talkUDP = talk{step: StepOverUDP, task: StepUDP}
)

// client is the task of a container's client, with as much time as leaves the
// runtime some of that of a step.
func (r *containerRun) client(ctx context.Context, container int) Task {
	limit := r.s.Patience
	if deadline, ok := ctx.Deadline(); ok {
		limit = min(limit, time.Until(deadline))
	}
	self := Peer{Node: sides[container], Addrs: []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1})}}
	return Task{Key: r.key, Run: r.report.Run, Node: sides[container], Seconds: limit.Seconds() / 2, Peer: self, Beside: self}
}

// both runs a client in both containers and returns what they have found. Ctrl-C
// does not end those under way: Docker may take ten seconds to remove a container in which
// it was just about to start a command.
func (r *containerRun) both(ctx context.Context, tasks [2]Task) (found [2]Findings, err error) {
	if err := ctx.Err(); err != nil {
		return found, err
	}
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(context.WithoutCancel(ctx), deadline)
		defer cancel()
	}
	var errs [2]error
	var running sync.WaitGroup
	for i, task := range tasks {
		running.Go(func() { found[i], errs[i] = r.ask(ctx, i, task) })
	}
	running.Wait()
	for i, err := range errs {
		if err != nil {
			return found, fmt.Errorf("container %s: %w", sides[i], err)
		}
	}
	return found, nil
}

func (r *containerRun) ask(ctx context.Context, container int, task Task) (f Findings, err error) {
	output, err := r.runtime.exec(ctx, container, []string{"/grapevine", "smoke-pod", roleClient, "--task", task.text()})
	if err != nil {
		return f, err
	}
	if err := json.Unmarshal(output, &f); err != nil {
		return f, fmt.Errorf("the client answers %q", clip(string(output), 100))
	}
	return f, nil
}

// greet wants the server in each container to answer there.
func (r *containerRun) greet(ctx context.Context) error {
	var tasks [2]Task
	for i := range tasks {
		tasks[i] = r.client(ctx, i)
		tasks[i].Steps = []string{StepTCP}
	}
	found, err := r.both(ctx, tasks)
	if err != nil {
		return err
	}
	for i, f := range found {
		for _, one := range f.Findings {
			if one.Fault != "" {
				return fmt.Errorf("container %s: its server does not answer inside: %s", sides[i], clip(one.Fault, 200))
			}
		}
	}
	return nil
}

// talk lets the containers talk. It returns true when somebody else has ended
// them meanwhile.
func (r *containerRun) talk(whole context.Context) (disturbed bool) {
	ctx, cancel := context.WithTimeout(whole, r.s.Patience)
	defer cancel()
	var tasks [2]Task
	addrs, talks := r.runtime.addrs(), r.runtime.talks()
	for i := range tasks {
		tasks[i] = r.client(ctx, i)
		tasks[i].Peer = Peer{Node: sides[1-i], Addrs: []netip.Addr{addrs[1-i]}}
		tasks[i].Service = netip.AddrPortFrom(addrs[1-i], echoPort)
		for _, t := range talks {
			tasks[i].Steps = append(tasks[i].Steps, t.task)
			if t.name != nil {
				tasks[i].Name = t.name(1 - i)
			}
		}
	}
	began := time.Now()
	found, err := r.both(ctx, tasks)
	if took := time.Since(began); err != nil {
		v, disturbed := r.judge(ctx, containerStep{name: StepExec, doing: "run a command in a container"}, err, took)
		r.record(StepExec, took, r.excuse(whole, took, v))
		return disturbed
	}
	for _, t := range talks {
		var took float64
		var verdicts []verdict
		for i := range found {
			took = max(took, found[i].of(t.task).Seconds)
			verdicts = append(verdicts, r.judgeTalk(i, t.task, found))
		}
		r.record(t.step, time.Duration(took*float64(time.Second)), join(verdicts))
	}
	return false
}

// of is what was found of a step.
func (f *Findings) of(step string) Finding {
	if i := slices.IndexFunc(f.Findings, func(one Finding) bool { return one.Step == step }); i >= 0 {
		return f.Findings[i]
	}
	return Finding{Step: step, Fault: "it was not tried: the image is of another version"}
}

// judgeTalk judges what the client in a container has found in a step.
func (r *containerRun) judgeTalk(container int, step string, found [2]Findings) verdict {
	f := found[container].of(step)
	if f.Fault == "" {
		return verdict{}
	}
	status := health.Critical
	if f.Partly {
		status = health.Warning
	}
	from, to := sides[container], sides[1-container]
	v := verdictf(status, "from container %s to %s: %s", from, to, strings.ReplaceAll(clip(f.Fault, 300), "the pod at", "what is at"))
	if way := lostWay(from, to, step, found[container], found[1-container]); way != "" && !f.Partly {
		v.reason += " (" + way + ")"
	}
	return v.on(r.report.Nodes...)
}

// lostWay tells requests that do not arrive from answers that do not come
// back, by what the other container has heard over UDP.
func lostWay(from, to, step string, own, other Findings) string {
	udpPasses := own.of(StepUDP).Fault == ""
	for _, f := range other.Findings {
		switch {
		case f.Heard == nil || step != StepTCP && step != StepUDP:
		case step == StepTCP && udpPasses:
			return "UDP passes"
		case *f.Heard:
			return "what " + from + " sends arrives at " + to + ", and the answers do not come back"
		default:
			return "what " + from + " sends does not arrive at " + to
		}
	}
	return ""
}
