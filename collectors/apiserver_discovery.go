package collectors

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/grapevine-mesh/grapevine/health"
)

const (
	// discoverEvery is how often the other instances are looked up.
	discoverEvery = time.Minute
	// forgetInstance is how long an instance is asked after it has left the
	// endpoints: a dead one leaves them within half a minute.
	forgetInstance = 15 * time.Minute
	// maxInstances bounds how many are asked.
	maxInstances = 16
)

const (
	endpointsObject = "/api/v1/namespaces/default/endpoints/kubernetes"
	sliceObject     = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes"

	instancesSubject = "instances"
)

// apiserverManifests are where installers leave the static pod of this node's
// API server.
var apiserverManifests = []string{
	"/etc/kubernetes/manifests/kube-apiserver.yaml",
	"/var/lib/rancher/rke2/agent/pod-manifests/kube-apiserver.yaml",
}

// ownAPIServer is host:port of the API server on this node as the others
// reach it, by its manifest; empty without one.
func ownAPIServer(root string) string {
	for _, place := range apiserverManifests {
		flags, err := Paths{Root: root}.flagsOf(place, "kube-apiserver")
		if err != nil {
			continue
		}
		host, port := flags["advertise-address"], flags["secure-port"]
		if net.ParseIP(host) == nil {
			host = "127.0.0.1"
		}
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			port = "6443" // the default
		}
		return net.JoinHostPort(host, port)
	}
	return ""
}

// onControlPlane tells whether this node runs an API server, by what
// installers leave: k3s has no manifest.
func onControlPlane(root string) bool {
	places := append([]string{"/var/lib/rancher/k3s/server/tls"}, apiserverManifests...)
	return slices.ContainsFunc(places, func(place string) bool {
		_, err := os.Stat(filepath.Join(root, place))
		return err == nil
	})
}

// apiDiscovery remembers the look-ups of instances.
type apiDiscovery struct {
	next    time.Time
	refused string // why the instances cannot be looked up, when they must be
}

// report says on every run why instances that must be asked are not known.
func (d *apiDiscovery) report(r *Report) {
	if d.refused != "" {
		r.Verdict(instancesSubject, health.Unknown, clip("the instances of the API server cannot be looked up: it "+d.refused, maxReason), health.Evidence{})
	}
}

// discover looks up the Service, and on a node of the control plane the other
// instances, and returns the targets that are new. What is known stays when
// nobody answers.
func (c *apiserverCheck) discover(ctx context.Context, r *Report, known []*apiTarget) []*apiTarget {
	d := &c.discovery
	d.next = time.Now().Add(discoverEvery)
	from := known[0]
	for _, t := range known {
		if t.answered.Load() {
			from = t
			break
		}
	}
	var found []*apiTarget
	if address := c.reachableService(ctx, from, known); address != "" {
		found = c.add(found, address, viaService)
	}
	if c.settings.Instances == instancesAll || c.settings.Instances == instancesAuto && onControlPlane(c.root) {
		addresses, err := from.instances(ctx)
		switch {
		case err == nil:
			d.refused = ""
			for _, address := range c.remember(addresses) {
				found = c.add(found, address, viaDiscovered)
			}
		case c.settings.Instances == instancesAll:
			d.refused = err.Error()
		}
	}
	d.report(r)
	return found
}

// reachableService is the address of the API's Service, when it is not asked
// yet and takes connections from this node. Outside of pods it need not:
// without a kube-proxy no address of a Service leads anywhere. One that was
// reached once is asked for good; one that never was is for the check service.
func (c *apiserverCheck) reachableService(ctx context.Context, from *apiTarget, known []*apiTarget) string {
	if c.settings.ServiceAddress == serviceNone || !hasServiceProxy(c.proc) ||
		slices.ContainsFunc(known, func(t *apiTarget) bool { return t.via == viaService }) {
		return ""
	}
	var service serviceObject
	if err := getObject(ctx, from.client, from.base, apiService, nil, &service); err != nil || net.ParseIP(service.Spec.ClusterIP) == nil || len(service.Spec.Ports) == 0 {
		return ""
	}
	address := net.JoinHostPort(service.Spec.ClusterIP, strconv.Itoa(service.Spec.Ports[0].Port))
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return ""
	}
	_ = conn.Close()
	return address
}

// serviceProxies are the programs that make the addresses of Services work on
// a node; k3s has kube-proxy built in.
var serviceProxies = []string{"kube-proxy", "k3s-server", "k3s-agent", "cilium-agent", "kube-router"}

// hasServiceProxy tells whether one of them runs.
func hasServiceProxy(proc string) bool {
	processes, err := filepath.Glob(filepath.Join(proc, "[1-9]*", "comm"))
	if err != nil {
		return false
	}
	return slices.ContainsFunc(processes, func(path string) bool {
		name, err := os.ReadFile(path)
		return err == nil && slices.Contains(serviceProxies, strings.TrimSpace(string(name)))
	})
}

// remember takes over the list of instances: those that have left it are
// forgotten after a while. It returns those that are new.
func (c *apiserverCheck) remember(addresses []string) (fresh []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	c.targets = slices.DeleteFunc(slices.Clone(c.targets), func(t *apiTarget) bool {
		switch {
		case t.via != viaDiscovered:
		case slices.Contains(addresses, t.subject):
			t.missing.Store(nil)
		case t.missing.Load() == nil:
			t.missing.Store(&now)
		case now.Sub(*t.missing.Load()) > forgetInstance:
			t.transport.CloseIdleConnections()
			return true
		}
		return false
	})
	for _, address := range addresses {
		if !has(c.targets, address) {
			fresh = append(fresh, address)
		}
	}
	return fresh
}

// add makes a target of an address that was found, and appends it to found.
func (c *apiserverCheck) add(found []*apiTarget, address string, via apiVia) []*apiTarget {
	c.mu.Lock()
	defer c.mu.Unlock()
	if has(c.targets, address) || len(c.targets) >= maxInstances {
		return found
	}
	t, err := c.target(c.access, "https://"+address, via)
	if err != nil {
		return found // the credentials cannot be read, which is said elsewhere
	}
	t.found = true
	c.targets = append(c.targets[:len(c.targets):len(c.targets)], t)
	return append(found, t)
}

func has(targets []*apiTarget, subject string) bool {
	return slices.ContainsFunc(targets, func(t *apiTarget) bool { return t.subject == subject })
}

// instances are host:port of every API server that takes part in the Service.
// A kubelet's own credentials may read the Endpoints only, the older kind.
func (t *apiTarget) instances(ctx context.Context) (addresses []string, err error) {
	var slice discoveryv1.EndpointSlice
	if err = getObject(ctx, t.client, t.base, sliceObject, nil, &slice); err == nil {
		for _, port := range slice.Ports {
			for _, e := range slice.Endpoints {
				for _, address := range e.Addresses {
					addresses = addInstance(addresses, address, port.Port)
				}
			}
		}
		return addresses, nil
	}
	var endpoints corev1.Endpoints //nolint:staticcheck // what kubelets may read
	if older := getObject(ctx, t.client, t.base, endpointsObject, nil, &endpoints); older != nil {
		return nil, older
	}
	for _, subset := range endpoints.Subsets {
		for _, port := range subset.Ports {
			for _, address := range subset.Addresses {
				addresses = addInstance(addresses, address.IP, &port.Port)
			}
		}
	}
	return addresses, nil
}

func addInstance(addresses []string, ip string, port *int32) []string {
	if net.ParseIP(ip) == nil || port == nil || len(addresses) == maxInstances {
		return addresses
	}
	return append(addresses, net.JoinHostPort(ip, strconv.Itoa(int(*port))))
}
