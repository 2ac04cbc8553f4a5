package collectors

import (
	"context"
	"os"
	"time"

	"github.com/moby/moby/api/types/system"
	"github.com/moby/moby/client"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/grapevine-mesh/grapevine/health"
)

// dockerSubject is the only subject of the check: a node has one daemon.
const dockerSubject = "docker"

// What the docker check exports.
var (
	dockerUp = Metric{
		Name: "grapevine_docker_up", Type: health.Gauge,
		Help: "Whether the Docker daemon answered the last ping.",
	}
	dockerSeconds = Metric{
		Name: "grapevine_docker_request_duration_seconds", Type: health.Histogram, Labels: []string{"operation"},
		Help:    "Time until the Docker daemon had answered, also with an error: ping, version, info.",
		Buckets: []float64{.0025, .01, .05, .1, .5, 1, 2.5, 10},
	}
	dockerSuccess = Metric{
		Name: "grapevine_docker_request_success", Type: health.Gauge, Labels: []string{"operation"},
		Help: "Whether the last request of this kind was answered well; 0 also when an earlier one of the run failed.",
	}
	dockerInfo = Metric{
		Name: "grapevine_docker_info", Type: health.Gauge, Labels: []string{"version", "api_version", "storage_driver", "cgroup_driver", "cgroup_version", "runtime"},
		Help: "What the Docker daemon says of itself; always 1.",
	}
	dockerContainers = Metric{
		Name: "grapevine_docker_containers", Type: health.Gauge, Labels: []string{"state"},
		Help: "Containers that the Docker daemon knows: running, paused, stopped.",
	}
	dockerWarnings = Metric{
		Name: "grapevine_docker_warnings", Type: health.Gauge,
		Help: "Warnings that the Docker daemon gives about its own set-up: docker info prints them.",
	}
	dockerMismatch = Metric{
		Name: "grapevine_docker_cgroup_driver_mismatch", Type: health.Gauge,
		Help: "Whether Docker and the kubelet that uses it have different cgroup drivers; absent when Docker is not the kubelet's runtime.",
	}
	dockerCanaryMetrics = newCanaryMetrics("docker")
)

func dockerSpec() Spec {
	return Spec{
		Name:     "docker",
		Summary:  "the Docker daemon: whether it answers, its drivers, and a container made, run and removed",
		Why:      "A daemon that hangs keeps its socket open and its containers running, so the node looks well while nothing can be started, stopped or asked any more.",
		Remedy:   "Confirm with timeout 5 docker ps, and journalctl -u docker. A daemon that hangs: note its goroutines with kill -USR1, then restart docker; containers survive that with live-restore only.",
		Subject:  "always docker",
		Metrics:  append([]Metric{dockerUp, dockerSeconds, dockerSuccess, dockerInfo, dockerContainers, dockerWarnings, dockerMismatch}, dockerCanaryMetrics.all()...),
		Workload: true,
		Settings: func() Settings {
			return defaultDockerSettings()
		},
	}
}

// dockerOperations are the requests of one run, in their order.
var dockerOperations = []string{"ping", "version", "info"}

// slowStorageDrivers are those that Docker itself advises against, or has
// removed since.
var slowStorageDrivers = map[string]string{
	"vfs":          "copies every layer whole: slow, and it fills the disk",
	"devicemapper": "is deprecated, slow, and removed since Docker 25",
	"aufs":         "is deprecated, and removed since Docker 24",
	"overlay":      "is deprecated, runs out of inodes, and is removed since Docker 24",
}

// dockerCheck asks the daemon of this node.
type dockerCheck struct {
	settings dockerSettings
	node     string
	kubelet  kubeletRuntime
	docker   *Docker
	duration *prometheus.HistogramVec
	canary   *canary
	binary   func() (string, error) // the agent's own
	imported string                 // name of the canary's image, once it is known to be there
}

// New looks for the daemon's socket.
func (s *dockerSettings) New(env Env) (Collector, error) {
	c := &dockerCheck{settings: *s, node: env.Node, kubelet: findKubeletRuntime(env.Paths), binary: os.Executable}
	socket, err := s.find(env.Paths, c.kubelet)
	if err != nil {
		return nil, err
	}
	if c.docker, err = newDocker(socket); err != nil {
		return nil, err
	}
	c.duration = dockerSeconds.Histogram(env.Registry)
	c.canary = &canary{
		settings: s.Canary, metrics: dockerCanaryMetrics, steps: dockerSteps,
	}
	return c, nil
}

// Name is the check's name.
func (c *dockerCheck) Name() string { return "docker" }

// Close ends the connection.
func (c *dockerCheck) Close() error { return c.docker.Close() }

// Collect asks the daemon, and lets it run the canary if that is due.
func (c *dockerCheck) Collect(ctx context.Context, r *Report) error {
	ctx, cancel := finishing(ctx)
	defer cancel()
	a := &assessment{about: "the Docker daemon at " + c.docker.path}
	var version client.ServerVersionResult
	var info client.SystemInfoResult
	requests := map[string]func() error{
		"ping": func() (err error) {
			_, err = c.docker.Ping(ctx, client.PingOptions{NegotiateAPIVersion: true})
			return err
		},
		"version": func() (err error) {
			version, err = c.docker.ServerVersion(ctx, client.ServerVersionOptions{})
			return err
		},
		"info": func() (err error) {
			info, err = c.docker.Info(ctx, client.InfoOptions{})
			return err
		},
	}
	well := true
	up := false
	for _, operation := range dockerOperations {
		if well {
			start := time.Now()
			err := requests[operation]()
			took := time.Since(start)
			if err != nil && ctx.Err() != nil {
				err = ctx.Err() // the client does not wrap it everywhere
			}
			c.duration.WithLabelValues(operation).Observe(took.Seconds())
			switch {
			case err != nil:
				well = false
				c.docker.fault(a, operation, err, took)
			case operation == "ping":
				up = true
				limits := c.settings.Thresholds.Latency.seconds()
				_, limit := limits.judge(0)
				a.measured = health.Evidence{Value: took.Seconds(), Threshold: limit, Unit: "seconds"}
				a.hold(took.Seconds(), limits, "seconds", "needs %s to answer a ping", seconds(took.Seconds()))
			}
		}
		r.Sample(&dockerSuccess, boolean(well), operation)
	}
	r.Sample(&dockerUp, boolean(up))
	if well {
		c.judgeInfo(r, a, version, &info.Info)
		c.canary.run(ctx, c.planCanary)
	} else {
		c.canary.interrupt()
	}
	c.canary.report(r, a, c.settings.Thresholds.Canary)
	a.verdict(r, dockerSubject)
	return nil
}

// judgeInfo exports and judges what the daemon says of itself.
func (c *dockerCheck) judgeInfo(r *Report, a *assessment, version client.ServerVersionResult, info *system.Info) {
	r.Sample(&dockerInfo, 1, clip(version.Version, 60), clip(version.APIVersion, 20), clip(info.Driver, 40),
		clip(info.CgroupDriver, 20), clip(info.CgroupVersion, 10), clip(info.DefaultRuntime, 40))
	r.Sample(&dockerContainers, float64(info.ContainersRunning), "running")
	r.Sample(&dockerContainers, float64(info.ContainersPaused), "paused")
	r.Sample(&dockerContainers, float64(info.ContainersStopped), "stopped")
	r.Sample(&dockerWarnings, float64(len(info.Warnings)))
	if why := slowStorageDrivers[info.Driver]; why != "" {
		a.add(health.Warning, "keeps its images by the storage driver %s, which %s", info.Driver, why)
	}
	if !c.kubelet.usesDocker() {
		return
	}
	wanted := c.kubelet.cgroupDriver
	if wanted == "" {
		wanted = "cgroupfs" // the kubelet's default
	}
	r.Sample(&dockerMismatch, boolean(wanted != info.CgroupDriver))
	if wanted != info.CgroupDriver {
		a.add(health.Warning, "has the cgroup driver %s, but the kubelet is configured for %s: one of them must be changed, or pods fail or lose their limits",
			clip(info.CgroupDriver, 40), clip(wanted, 40))
	}
}
