package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/grapevine-mesh/grapevine/test/real"
)

// node is one node of a cluster, with the components that the agent checks.
type node struct {
	dir         string
	plane       *real.ControlPlane
	kubelet     *real.HollowNode // nil without root
	host        *real.Host       // of the container runtimes; nil without root
	containerd  *real.Containerd
	dockerd     *real.Dockerd
	dns         nameServer
	dnsAddress  string
	agent       *real.Agent // the one that is measured
	peers       []*real.Agent
	exporter    *real.Process
	exporterURL string
}

// start starts everything. What it has started when it fails is ended by stop.
func (n *node) start(ctx context.Context, o agentOptions) error {
	programs := map[string]string{"etcd": "", "kube-apiserver": "", "kube-scheduler": "", "kube-controller-manager": "", "kubemark": "", "grapevine": "", "node_exporter": ""}
	for name := range programs {
		path, err := real.FindBinary(name)
		if err != nil {
			return err
		}
		programs[name] = path
	}
	var err error
	if n.plane, err = real.StartControlPlane(ctx, real.ControlPlaneOptions{Binaries: filepath.Dir(programs["etcd"]), Dir: n.dir}); err != nil {
		return err
	}
	if os.Geteuid() == 0 {
		nodes, err := real.StartHollowNodes(ctx, real.HollowNodesOptions{Binary: programs["kubemark"], Dir: n.dir, ControlPlane: n.plane, Count: 1})
		if err != nil {
			return err
		}
		n.kubelet = nodes[0]
		if err := n.startRuntimes(ctx); err != nil {
			return err
		}
	}
	if err := n.writeFiles(); err != nil {
		return err
	}
	if n.dns, n.dnsAddress, err = startDNS(); err != nil {
		return err
	}
	env := append(os.Environ(), "KUBECONFIG="+n.plane.APIServer.Kubeconfig)
	for i := range o.peers + 1 {
		options := real.AgentOptions{
			Binary: programs["grapevine"], Dir: n.dir, Name: fmt.Sprintf("node-%d", i+1),
			Config: n.config(), Env: env, ExtraArgs: o.agentFlags,
		}
		if n.agent != nil {
			options.Join = []string{n.agent.Gossip}
		}
		agent, err := real.StartAgent(ctx, options)
		if err != nil {
			return err
		}
		if n.agent == nil {
			n.agent = agent
		} else {
			n.peers = append(n.peers, agent)
		}
	}
	return n.startExporter(ctx, programs["node_exporter"])
}

// config points the checks at what runs here; the rest they find themselves.
// Nothing outside this machine is asked.
func (n *node) config() string {
	etcd := n.plane.Etcd.Members[0]
	api := n.plane.APIServer.URL
	lines := []string{
		"checks:",
		fmt.Sprintf("  etcd: {endpoints: [%q], metrics_urls: [%q]}", etcd.ClientURL, etcd.MetricsURL),
		fmt.Sprintf("  apiserver: {endpoints: [%q]}", api),
		fmt.Sprintf("  scheduler: {endpoints: [%q]}", n.plane.Schedulers[0].URL),
		fmt.Sprintf("  controller-manager: {endpoints: [%q]}", n.plane.ControllerManagers[0].URL),
		fmt.Sprintf("  service: {service_address: %q}", strings.TrimPrefix(api, "https://")),
		fmt.Sprintf("  dns: {resolvers: [%q], cluster_dns: [%q], outside_name: ''}", n.dnsAddress, n.dnsAddress),
	}
	lines = append(lines,
		fmt.Sprintf("  certificates: {paths: [%q]}", filepath.Dir(n.plane.APIServer.CAFile)),
		fmt.Sprintf("  textfile: {directory: %q}", n.dir),
		fmt.Sprintf("  custom: {checks: [{name: bench, interval: 30s, script: {path: %q}}]}", n.script()))
	if n.kubelet != nil {
		lines = append(lines,
			fmt.Sprintf("  cri: {sockets: [%q], canary: {mode: 'on', image: %q}}", n.containerd.Socket, real.PauseImage),
			fmt.Sprintf("  docker: {socket: %q}", n.dockerd.Socket),
			fmt.Sprintf("  kubelet: {health_url: %q, node_name: %q}", n.kubelet.URL, n.kubelet.Name),
			fmt.Sprintf("  pods: {node_name: %q}", n.kubelet.Name))
	}
	return strings.Join(lines, "\n") + "\n"
}

// startRuntimes starts containerd and Docker on a host of their own.
func (n *node) startRuntimes(ctx context.Context) error {
	var paths [2]string
	for i, name := range []string{"containerd", "dockerd"} {
		path, err := exec.LookPath(name)
		if err != nil {
			return fmt.Errorf("%w: make packages installs it", err)
		}
		paths[i] = path
	}
	var err error
	if n.host, err = real.StartHost(ctx, real.HostOptions{}); err != nil {
		return err
	}
	if n.containerd, err = real.StartContainerd(ctx, real.ContainerdOptions{Binary: paths[0], Host: n.host}); err != nil {
		return err
	}
	n.dockerd, err = real.StartDockerd(ctx, real.DockerdOptions{Binary: paths[1], Host: n.host})
	return err
}

func (n *node) script() string { return filepath.Join(n.dir, "check.sh") }

// writeFiles gives the checks of one's own something to look at.
func (n *node) writeFiles() error {
	return errors.Join(
		os.WriteFile(n.script(), []byte("#!/bin/sh\necho 'OK | load=1'\n"), 0o700), //nolint:gosec // it is to be run
		os.WriteFile(filepath.Join(n.dir, "bench.prom"), []byte("# TYPE bench_runs counter\nbench_runs 1\n"), 0o600),
	)
}

// startExporter starts node_exporter as it comes.
func (n *node) startExporter(ctx context.Context, binary string) error {
	port, err := real.FreePort()
	if err != nil {
		return err
	}
	address := fmt.Sprintf("127.0.0.1:%d", port)
	n.exporterURL = "http://" + address
	n.exporter = real.NewProcess(real.Command{Name: "node_exporter", Path: binary, Args: []string{"--web.listen-address=" + address}})
	if err := n.exporter.Start(); err != nil {
		return err
	}
	for {
		resp, err := http.Get(n.exporterURL + "/")
		if err == nil {
			return resp.Body.Close()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-n.exporter.Done():
			return fmt.Errorf("node_exporter ended:\n%s", n.exporter.Log())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// checks names those that are on.
func (n *node) checks(ctx context.Context) (string, error) {
	families, err := n.agent.Scrape(ctx, "/metrics/local")
	if err != nil {
		return "", err
	}
	var on []string
	for _, m := range families["grapevine_check_enabled"].GetMetric() {
		for _, l := range m.GetLabel() {
			if l.GetName() == "check" && m.GetGauge().GetValue() == 1 {
				on = append(on, l.GetValue())
			}
		}
	}
	slices.Sort(on)
	return strings.Join(on, ","), nil
}

// stop ends everything, in the order in which it depends on each other.
func (n *node) stop() error {
	var errs []error
	if n.exporter != nil {
		errs = append(errs, n.exporter.Stop())
	}
	for _, a := range append(n.peers, n.agent) {
		if a != nil {
			errs = append(errs, a.Stop())
		}
	}
	errs = append(errs, n.dns.stop())
	if n.kubelet != nil {
		errs = append(errs, n.kubelet.Stop())
	}
	if n.host != nil {
		errs = append(errs, n.host.Stop())
	}
	if n.plane != nil {
		errs = append(errs, n.plane.Stop())
	}
	return errors.Join(errs...)
}
