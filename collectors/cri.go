package collectors

import (
	"context"
	"errors"

	"github.com/grapevine-mesh/grapevine/health"
)

// What the cri check exports. Labels: socket is its path on the node.
var (
	criUp = Metric{
		Name: "grapevine_cri_up", Type: health.Gauge, Labels: []string{"socket"},
		Help: "Whether the container runtime answered the last request for its version.",
	}
	criSeconds = Metric{
		Name: "grapevine_cri_request_duration_seconds", Type: health.Histogram, Labels: []string{"socket", "operation"},
		Help:    "Time until the runtime had answered, also with an error: version, status, image_fs_info.",
		Buckets: []float64{.0025, .01, .05, .1, .5, 1, 2.5, 10},
	}
	criSuccess = Metric{
		Name: "grapevine_cri_request_success", Type: health.Gauge, Labels: []string{"socket", "operation"},
		Help: "Whether the last request of this kind was answered well; 0 also when an earlier one of the run failed.",
	}
	criInfo = Metric{
		Name: "grapevine_cri_info", Type: health.Gauge, Labels: []string{"socket", "runtime", "version", "api_version"},
		Help: "What the runtime says of itself; always 1.",
	}
	criCondition = Metric{
		Name: "grapevine_cri_condition", Type: health.Gauge, Labels: []string{"socket", "condition"},
		Help: "Conditions of the runtime: 1 is met. RuntimeReady and NetworkReady are what the kubelet goes by; they are 0 also when the runtime does not answer.",
	}
	criImageBytes = Metric{
		Name: "grapevine_cri_image_fs_used_bytes", Type: health.Gauge, Labels: []string{"socket", "mountpoint"},
		Help: "Bytes that images take, by the runtime's own account.",
	}
	criImageInodes = Metric{
		Name: "grapevine_cri_image_fs_used_inodes", Type: health.Gauge, Labels: []string{"socket", "mountpoint"},
		Help: "Inodes that images take, by the runtime's own account.",
	}
	criImageUsage = Metric{
		Name: "grapevine_cri_image_fs_usage_ratio", Type: health.Gauge, Labels: []string{"socket", "mountpoint"},
		Help: "How full the file system is that holds the images, with all else on it.",
	}
	criCanaryMetrics = newCanaryMetrics("cri", "socket")
)

func criSpec() Spec {
	return Spec{
		Name:    "cri",
		Summary: "container runtimes: whether they answer, their conditions, the images' file system, and a sandbox with a container run and removed",
		Why:     "The kubelet can start, stop and see nothing without its container runtime: the node goes NotReady, half a minute after a crash and minutes after a hang.",
		Remedy:  "Confirm with timeout 5 crictl info, and journalctl -u containerd or -u crio. NetworkReady false: see the CNI plugin's pod and /etc/cni/net.d. A runtime that hangs is restarted without harm to its containers.",
		Subject: "path of the socket",
		Metrics: append([]Metric{
			criUp, criSeconds, criSuccess, criInfo, criCondition, criImageBytes, criImageInodes, criImageUsage,
		}, criCanaryMetrics.all()...),
		Workload: true,
		Settings: func() Settings { return defaultCRISettings() },
	}
}

// criCheck asks every runtime of this node.
type criCheck struct {
	runtimes []*criRuntime
}

// New looks for sockets.
func (s *criSettings) New(env Env) (Collector, error) {
	sockets, err := s.find(env.Paths)
	if err != nil {
		return nil, err
	}
	c := &criCheck{}
	duration := criSeconds.Histogram(env.Registry)
	for _, socket := range sockets {
		runtime, err := newCRIRuntime(s, socket, env, duration)
		if err != nil {
			return nil, errors.Join(err, c.Close())
		}
		c.runtimes = append(c.runtimes, runtime)
	}
	return c, nil
}

// Name is the check's name.
func (c *criCheck) Name() string { return "cri" }

// Close ends the connections.
func (c *criCheck) Close() error {
	var err error
	for _, runtime := range c.runtimes {
		err = errors.Join(err, runtime.Close())
	}
	return err
}

// Collect asks all runtimes side by side.
func (c *criCheck) Collect(ctx context.Context, r *Report) error {
	ctx, cancel := finishing(ctx)
	defer cancel()
	var asked parallel
	for _, runtime := range c.runtimes {
		asked.run(func() { runtime.collect(ctx, r) })
	}
	asked.wait()
	return nil
}
