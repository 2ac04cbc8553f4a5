package smoke

import (
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/grapevine-mesh/grapevine/collectors"
	"github.com/grapevine-mesh/grapevine/health"
)

// The steps of a run without Kubernetes, in their order. StepStart,
// StepRuntime, StepExec and StepDelete are among them.
const (
	StepAnswer  = "answer"  // the container runtime answers
	StepImage   = "image"   // it has the image, or takes it
	StepSandbox = "sandbox" // CRI: it makes two sandboxes
	StepNetwork = "network" // and a network; CRI: the sandboxes are on one
	StepCreate  = "create"  // it makes a container in each
	// StepStart: it starts them. StepRuntime: they run. StepExec: commands run
	// in them, and their servers answer.
	StepOverTCP = "tcp" // they reach each other, both ways
	StepOverUDP = "udp"
	StepName    = "name" // Docker: also by name
	// StepDelete: all is gone.
)

// The container runtimes that a run can be made by.
const (
	Docker = "docker"
	CRI    = "cri"
)

// WithoutCluster is what to tell who has no API server to ask.
const WithoutCluster = "without a cluster, grapevine smoke --runtime=docker or --runtime=cri has two containers talk on one node"

// ContainerOptions say by which container runtime a run is made, and how.
type ContainerOptions struct {
	Runtime string // Docker or CRI
	// Socket is the path of the runtime's on the node; empty: looked for as the
	// check of the same name does.
	Socket string
	Paths  collectors.Paths
	Node   string
	// Binary is the path of a static grapevine, which Docker is given for the
	// time of the run when it has no image. CRI has no way to take one.
	Binary string
	Told   func(Step) // as that of Options
}

// RunContainers makes one run by a container runtime of this node and no other:
// two containers on one network that talk with each other. It clears up
// afterwards, also when ctx ends before its time. The error wraps
// collectors.ErrAbsent when there is no runtime to ask, and says where it has
// looked. Of the settings it takes Image, Deadline and Patience.
func RunContainers(ctx context.Context, s Settings, o ContainerOptions) (Report, error) {
	for attempt := 1; ; attempt++ {
		r, err := newContainerRun(ctx, s, o)
		if err != nil {
			return Report{}, err
		}
		again := r.do(ctx, attempt == maxAttempts)
		_ = r.runtime.Close() // the run is over
		if !again {
			return r.report, nil
		}
	}
}

// maxAttempts is how often a run is made when somebody else ends what it runs.
const maxAttempts = 3

// containerRuntime is what makes containers, for one run.
type containerRuntime interface {
	// Socket, Unreachable and Fault are those of collectors.Docker and CRI.
	Socket() string
	Unreachable() bool
	Fault(request string, err error, waited time.Duration) (health.Status, string)
	Close() error

	title() string // begins a sentence
	ask(ctx context.Context) error
	// steps bring the containers up.
	steps() []containerStep
	talks() []talk
	// addrs are those of the containers, once they run.
	addrs() [2]netip.Addr
	// exec runs a command in a container and returns what it writes.
	exec(ctx context.Context, container int, command []string) ([]byte, error)
	// disturbed tells whether err, of the newest step, comes of somebody else's
	// ending what the run has made.
	disturbed(ctx context.Context, err error) bool
	// things lists what runs have made and is there: that of this run, and of
	// runs that are over.
	things(ctx context.Context) ([]thing, error)
}

// thing is what a run has made in a container runtime.
type thing struct {
	name   string // for a person: "container grapevine-smoke-1f-a"
	labels map[string]string
	remove func(ctx context.Context) error
}

// containerStep is one of the steps that bring the containers up.
type containerStep struct {
	name string
	// doing words it: "make a network".
	doing string
	do    func(ctx context.Context) error
}

// blamed is an error that speaks against another step than the one it has
// come up in: that one is well.
type blamed struct {
	step string
	error
}

// containerMargin is how long after its deadline a run is surely over. There is
// one clock only.
const containerMargin = 5 * time.Second

// sides name the two containers.
var sides = [2]string{"a", "b"}

// containerRun is one run under way.
type containerRun struct {
	course
	runtime containerRuntime
	key     string
	touched bool     // something may have been made
	silent  bool     // the runtime has not answered
	stuck   []string // of earlier runs; it could not be removed
}

func newContainerRun(ctx context.Context, s Settings, o ContainerOptions) (*containerRun, error) {
	r := &containerRun{key: random(32)}
	r.course = course{s: s, told: o.Told, outer: ctx}
	r.report = Report{Run: random(5), Began: time.Now(), Nodes: []string{o.Node}}
	task := Task{Key: r.key, Run: r.report.Run, Seconds: s.Deadline.Seconds()}
	b := bounds{run: r.report.Run, until: r.report.Began.Add(s.Deadline + containerMargin)}
	var err error
	switch o.Runtime {
	case Docker:
		r.runtime, err = openDocker(s, o, task, b)
	case CRI:
		r.runtime, err = openCRI(s, o, task, b)
	default:
		err = fmt.Errorf("%.40q is none of the container runtimes %s and %s", o.Runtime, Docker, CRI)
	}
	if err != nil {
		return nil, err
	}
	r.report.Server = r.runtime.Socket()
	names := []string{StepAnswer}
	for _, step := range r.runtime.steps() {
		names = append(names, step.name)
	}
	names = append(names, StepExec)
	for _, t := range r.runtime.talks() {
		names = append(names, t.step)
	}
	r.begin(append(names, StepDelete))
	return r, nil
}

// The labels of all that is made. Nothing without untilLabel is ever removed.
const (
	containerRunLabel = "io.grapevine.smoke.run"
	untilLabel        = "io.grapevine.smoke.until" // Unix time at which the run is over, by the node's clock
)

// bounds are those of a run.
type bounds struct {
	run   string
	until time.Time
}

func (b bounds) labels() map[string]string {
	return map[string]string{containerRunLabel: b.run, untilLabel: strconv.FormatInt(b.until.Unix(), 10)}
}

// name is that of what the run makes.
func (b bounds) name(of ...string) string {
	return strings.Join(append([]string{"grapevine-smoke", b.run}, of...), "-")
}

// tooFar is longer than any run may take: a clock was set back since.
const tooFar = 24 * time.Hour

// over tells whether the run that has made something is over at a time.
func over(labels map[string]string, now time.Time) bool {
	unix, err := strconv.ParseInt(labels[untilLabel], 10, 64)
	until := time.Unix(unix, 0)
	return err != nil || now.After(until) || until.Sub(now) > tooFar
}
