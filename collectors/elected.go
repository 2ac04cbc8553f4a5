package collectors

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
)

// elected is a component of the control plane of which one instance leads, by
// a lease, and the others stand by.
type elected struct {
	check      string // "scheduler"
	program    string // "kube-scheduler"; also the name of its lease
	port       string
	manifests  []string // where installers leave the static pod
	kubeconfig []string // where they leave the component's own
	metrics    electedMetrics
}

// electedMetrics are what the check of one component exports. Labels:
// endpoint is host:port as asked; path is /healthz, /livez or /readyz.
type electedMetrics struct {
	up, success, checkUp, last       Metric
	expiry, verified                 Metric
	isLeader, leaseSuccess, leaseAge Metric
	leaseRenewed, leaseDuration      Metric
	leaseTransitions, leaseHolder    Metric
}

// electedCheck asks instances how they are, and the API server who leads.
type electedCheck struct {
	part    *elected
	targets []*electedTarget
	lease   *leaseTarget // nil: without leader election
}

// New looks for the instance of this node by its manifest, when no endpoints
// are configured.
func (s *electedSettings) New(env Env) (Collector, error) {
	c := &electedCheck{part: s.part}
	endpoints, flags := s.Endpoints, map[string]string{}
	if len(endpoints) == 0 {
		found, path, err := s.part.detect(env.Paths)
		if err != nil {
			return nil, err
		}
		endpoint, err := s.part.endpoint(found)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		flags, endpoints = found, []string{endpoint}
	}
	if s.CAFile != "" {
		if _, err := (tlsFiles{CA: s.CAFile}).config(); err != nil {
			return nil, fmt.Errorf("ca_file: %w", err)
		}
	}
	var api *kubeAPI
	var refused error
	elects := s.LeaderElection && flags["leader-elect"] != "false"
	if elects || s.CAFile == "" {
		if api, refused = s.openAPI(env, flags); refused != nil && s.Kubeconfig != "" {
			return nil, refused
		}
	}
	local := false
	for _, endpoint := range endpoints {
		u, err := parseEndpoint(endpoint)
		if err != nil {
			return nil, fmt.Errorf("endpoints: %w", err)
		}
		t := newElectedTarget(s, u, api, env.Paths.located(flags["tls-cert-file"]))
		local = local || t.loopback
		c.targets = append(c.targets, t)
	}
	if !elects {
		return c, nil
	}
	c.lease = &leaseTarget{
		component: s.part.program, namespace: s.LeaseNamespace, name: s.LeaseName, api: api,
		limits: s.Thresholds.LeaseAge, metrics: &s.part.metrics,
	}
	if refused != nil {
		c.lease.refused = clip(refused.Error(), 300)
	}
	if name := flags["leader-elect-resource-name"]; name != "" && s.LeaseName == s.part.program {
		c.lease.name = name
	}
	if namespace := flags["leader-elect-resource-namespace"]; namespace != "" && s.LeaseNamespace == defaultLeaseNamespace {
		c.lease.namespace = namespace
	}
	if local || len(s.Endpoints) == 0 {
		c.lease.hostnames = s.hostnames(env)
	}
	return c, nil
}

// detect reads the flags of this node's instance, and tells where it found
// them.
func (p *elected) detect(paths Paths) (flags map[string]string, path string, err error) {
	for _, place := range p.manifests {
		flags, err := paths.flagsOf(place, p.program)
		switch {
		case errors.Is(err, os.ErrNotExist):
			continue
		case err != nil:
			return nil, "", err
		}
		return flags, place, nil
	}
	return nil, "", fmt.Errorf("%s is %w: neither %s; an instance that runs otherwise is named by endpoints",
		p.program, ErrAbsent, strings.Join(p.manifests, " nor "))
}

// endpoint is where an instance with these flags is reached from its node.
func (p *elected) endpoint(flags map[string]string) (string, error) {
	port := flags["secure-port"]
	switch port {
	case "":
		port = p.port
	case "0":
		return "", errors.New("--secure-port=0: it tells nobody how it is")
	}
	host := "127.0.0.1"
	if ip := net.ParseIP(flags["bind-address"]); ip != nil {
		switch {
		case !ip.IsUnspecified():
			host = ip.String()
		case ip.To4() == nil:
			host = "::1"
		}
	}
	return (&url.URL{Scheme: "https", Host: net.JoinHostPort(host, port)}).String(), nil
}

// openAPI takes the component's own credentials before those that any check
// finds: they are good for its lease and little else.
func (s *electedSettings) openAPI(env Env, flags map[string]string) (*kubeAPI, error) {
	if s.Kubeconfig != "" {
		return openKubeAPI(s.Kubeconfig, env)
	}
	for _, place := range append([]string{flags["kubeconfig"]}, s.part.kubeconfig...) {
		if path := env.Paths.located(place); path != "" {
			if api, err := openKubeAPI(path, env); err == nil {
				return api, nil
			}
		}
	}
	return openKubeAPI("", env)
}

// located is inRoot for a path that may be empty, and then stays so.
func (p Paths) located(path string) string {
	if path == "" {
		return ""
	}
	return p.inRoot(path)
}

// hostnames are what this node's instance may know its machine as.
func (s *electedSettings) hostnames(env Env) []string {
	if s.Hostname != "" {
		return []string{s.Hostname}
	}
	names := []string{env.Node}
	if name, err := os.Hostname(); err == nil {
		names = append(names, name)
	}
	if content, err := os.ReadFile(env.Paths.inRoot("/etc/hostname")); err == nil {
		names = append(names, strings.TrimSpace(string(content)))
	}
	return names
}

// Name is the check's name.
func (c *electedCheck) Name() string { return c.part.check }

// Collect asks all instances and for the lease at once.
func (c *electedCheck) Collect(ctx context.Context, r *Report) error {
	ctx, cancel := finishing(ctx)
	defer cancel()
	var asked parallel
	for _, t := range c.targets {
		asked.run(func() { t.look(ctx, r) })
	}
	if c.lease != nil {
		asked.run(func() { c.lease.look(ctx, r) })
	}
	asked.wait()
	return nil
}

// Close ends the idle connections.
func (c *electedCheck) Close() error {
	for _, t := range c.targets {
		t.transport.CloseIdleConnections()
	}
	if c.lease != nil && c.lease.api != nil {
		return c.lease.api.Close()
	}
	return nil
}
