package collectors

import (
	"context"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	criv1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/grapevine-mesh/grapevine/health"
)

const (
	// maxCRIConditions bounds what a runtime may say of itself.
	maxCRIConditions = 16
	// criImageInterval is how often the images are asked for: some runtimes
	// walk through their files to answer.
	criImageInterval = time.Minute
)

// criOperations are the requests of one run, in their order.
var criOperations = []string{"version", "status", "image_fs_info"}

// criNeeded are the conditions that the kubelet goes by.
var criNeeded = []string{criv1.RuntimeReady, criv1.NetworkReady}

// criRuntime is one container runtime.
type criRuntime struct {
	*CRI
	settings *criSettings
	node     string
	paths    Paths
	duration *prometheus.HistogramVec
	canary   *canary

	usage    []*criv1.FilesystemUsage // of the images
	usageAt  time.Time                // when they were asked for
	capacity capacityProbe
}

// newCRIRuntime does not connect.
func newCRIRuntime(s *criSettings, socket *daemonSocket, env Env, duration *prometheus.HistogramVec) (*criRuntime, error) {
	runtime, err := newCRI(socket)
	if err != nil {
		return nil, err
	}
	c := &criRuntime{
		CRI: runtime, settings: s, node: env.Node, paths: env.Paths, duration: duration,
	}
	c.canary = &canary{
		settings: s.Canary.canarySettings, metrics: criCanaryMetrics, labels: []string{socket.path},
		steps: criSteps,
	}
	return c, nil
}

// collect asks the runtime, and lets it run the canary if that is due.
func (c *criRuntime) collect(ctx context.Context, r *Report) {
	a := &assessment{about: "the container runtime at " + c.path}
	var version *criv1.VersionResponse
	var state *criv1.StatusResponse
	requests := map[string]func() error{
		"version": func() (err error) {
			version, err = c.Runtime.Version(ctx, &criv1.VersionRequest{})
			return err
		},
		"status": func() (err error) {
			state, err = c.Runtime.Status(ctx, &criv1.StatusRequest{})
			return err
		},
		"image_fs_info": func() error { return c.askImages(ctx) },
	}
	well := true
	for _, operation := range criOperations {
		if well {
			well = c.request(ctx, a, operation, requests[operation])
		}
		r.Sample(&criSuccess, boolean(well), c.path, operation)
	}
	r.Sample(&criUp, boolean(version != nil), c.path)
	if version != nil {
		r.Sample(&criInfo, 1, c.path, clip(version.GetRuntimeName(), 40), clip(version.GetRuntimeVersion(), 60), clip(version.GetRuntimeApiVersion(), 20))
	}
	ready := c.judgeConditions(r, a, state)
	if well {
		c.judgeImages(ctx, r, a)
	}
	if well && ready {
		c.canary.run(ctx, c.planCanary)
	} else {
		c.canary.interrupt()
	}
	c.canary.report(r, a, c.settings.Thresholds.Canary)
	a.verdict(r, c.path)
}

// request makes one request, and tells whether it was answered well.
func (c *criRuntime) request(ctx context.Context, a *assessment, operation string, ask func() error) bool {
	start := time.Now()
	err := ask()
	took := time.Since(start)
	c.duration.WithLabelValues(c.path, operation).Observe(took.Seconds())
	switch {
	case operation == "image_fs_info" && status.Code(err) == codes.Unimplemented:
		return true // cri-dockerd has learned it late
	case operation == "image_fs_info" && err != nil && ctx.Err() == nil:
		a.add(health.Warning, "cannot tell what its images take: %s", cause(err, took))
		return true
	case status.Code(err) == codes.Unimplemented:
		a.add(health.Critical, "answers, but has no CRI of version v1: the plugin is switched off in its configuration, or failed to load (%s)", clip(status.Convert(err).Message(), 100))
	case err != nil:
		c.fault(a, operation, err, took)
	case operation == "status":
		limits := c.settings.Thresholds.Latency.seconds()
		_, limit := limits.judge(0)
		a.measured = health.Evidence{Value: took.Seconds(), Threshold: limit, Unit: "seconds"}
		a.hold(took.Seconds(), limits, "seconds", "needs %s to tell its status", seconds(took.Seconds()))
	}
	return err == nil
}

// judgeConditions exports and judges the conditions, and tells whether
// containers can be run at all. state is nil when there was no answer.
func (c *criRuntime) judgeConditions(r *Report, a *assessment, state *criv1.StatusResponse) (ready bool) {
	conditions := state.GetStatus().GetConditions()
	conditions = conditions[:min(len(conditions), maxCRIConditions)]
	given := make(map[string]bool)
	for _, condition := range conditions {
		name := clip(condition.GetType(), 60)
		if given[name] {
			continue
		}
		given[name] = true
		r.Sample(&criCondition, boolean(condition.GetStatus()), c.path, name)
		if condition.GetStatus() || !slices.Contains(criNeeded, name) {
			ready = ready || name == criv1.RuntimeReady
			continue
		}
		what := "is not ready to run containers"
		if name == criv1.NetworkReady {
			what = "has no network for pods"
		}
		a.add(health.Critical, "%s: %s is false: %s", what, name, clip(condition.GetReason()+": "+condition.GetMessage(), 200))
	}
	for _, name := range criNeeded {
		if given[name] {
			continue
		}
		r.Sample(&criCondition, 0, c.path, name)
		if state != nil {
			a.add(health.Critical, "does not tell whether it is ready: its status lacks %s", name)
		}
	}
	return ready
}

// askImages asks for the images' file systems when that is due.
func (c *criRuntime) askImages(ctx context.Context) error {
	if time.Since(c.usageAt) < criImageInterval {
		return nil
	}
	answer, err := c.Images.ImageFsInfo(ctx, &criv1.ImageFsInfoRequest{})
	if err != nil {
		return err
	}
	c.usage, c.usageAt = nil, time.Now()
	var had []string
	for _, u := range answer.GetImageFilesystems() {
		if point := u.GetFsId().GetMountpoint(); len(had) < 8 && !slices.Contains(had, point) {
			c.usage, had = append(c.usage, u), append(had, point)
		}
	}
	return nil
}

// judgeImages exports and judges where the images are.
func (c *criRuntime) judgeImages(ctx context.Context, r *Report, a *assessment) {
	for _, u := range c.usage {
		point := clip(u.GetFsId().GetMountpoint(), 200)
		r.Sample(&criImageBytes, float64(u.GetUsedBytes().GetValue()), c.path, point)
		r.Sample(&criImageInodes, float64(u.GetInodesUsed().GetValue()), c.path, point)
		full, available, known := c.capacity.usage(ctx, c.paths.inRoot(u.GetFsId().GetMountpoint()))
		if !known {
			continue
		}
		r.Sample(&criImageUsage, full, c.path, point)
		a.hold(full, c.settings.Thresholds.ImageUsage, "ratio",
			"keeps its images at %s, whose file system is %s full: %s are left, images take %s",
			point, percent(full), size(available), size(float64(u.GetUsedBytes().GetValue())))
	}
}
