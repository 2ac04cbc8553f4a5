package collectors

import (
	"errors"
	"io/fs"
	"slices"
	"strings"

	"github.com/grapevine-mesh/grapevine/health"
)

// judgeFile judges a resolv.conf as a whole: what its readers get from all
// its servers together.
func (c *dnsCheck) judgeFile(r *Report, f resolverFile, servers []*dnsServer) {
	a := &assessment{about: f.path}
	switch {
	case errors.Is(f.err, fs.ErrPermission):
		a.add(health.Unknown, "cannot be read by this user")
	case errors.Is(f.err, fs.ErrNotExist):
		a.add(health.Critical, "does not exist, and the kubelet is told to hand it on to pods by %s", c.kubeletFile())
	case f.err != nil:
		a.add(health.Critical, "cannot be read: %s", cause(f.err, 0))
	case len(f.servers)+len(f.invalid) == 0:
		a.add(health.Warning, "names no name server; programs then ask 127.0.0.1")
	}
	if len(f.ignored) > 0 {
		a.add(health.Warning, "names %d name servers; programs and the kubelet use the first %d and ignore %s",
			len(f.servers)+len(f.invalid)+len(f.ignored), maxResolvers, clip(strings.Join(f.ignored, ", "), 100))
	}
	if len(f.invalid) > 0 {
		a.add(health.Warning, "names a name server that is no address: %s", clip(strings.Join(f.invalid, ", "), 100))
	}
	c.judgeLoop(a, f, servers)
	c.judgeTogether(a, f, servers)
	a.verdict(r, f.path)
}

func (c *dnsCheck) kubeletFile() string { return readKubeletConfig(c.paths).file }

// judgeLoop finds what CoreDNS would forward back to itself: it gets the file
// from the kubelet, as its pods have dnsPolicy Default.
func (c *dnsCheck) judgeLoop(a *assessment, f resolverFile, servers []*dnsServer) {
	if !f.forPods {
		return
	}
	for _, s := range servers {
		switch {
		case !slices.Contains(f.servers, s.address):
		case s.address.Addr().IsLoopback():
			a.add(health.Warning, "is handed on to pods by the kubelet and names %v, which in a pod is the pod itself: CoreDNS would ask itself without end; point resolvConf of the kubelet to the file with the real servers, such as /run/systemd/resolve/resolv.conf", s.address.Addr())
		case s.clusterName != "":
			a.add(health.Warning, "is handed on to CoreDNS by the kubelet and names %v, the cluster's own DNS: what CoreDNS does not know it would ask itself without end", s.address.Addr())
		}
	}
}

// judgeTogether says which servers are dead, and what that costs.
func (c *dnsCheck) judgeTogether(a *assessment, f resolverFile, servers []*dnsServer) {
	var dead, deaf []string
	waits := "" // what a first server costs that says nothing
	for _, s := range servers {
		if !slices.Contains(f.servers, s.address) {
			continue
		}
		if !s.answered() {
			dead = append(dead, s.String())
			if answer := s.answers[dnsAsked{"local", "udp"}]; s.address == f.servers[0] && answer.err != nil && timedOut(answer.err) {
				waits = "; every lookup waits 5 s for the first of them"
			}
		} else if c.settings.OutsideName != "" && !s.resolvedOutside() && (c.settings.OutsideRequired || c.outsideSeen) {
			deaf = append(deaf, s.String())
		}
	}
	n := len(f.servers)
	switch {
	case n == 0:
	case len(dead) == n:
		a.add(health.Critical, "has no name server that answers: %s", strings.Join(dead, ", "))
	case len(dead) > 0:
		a.add(health.Warning, "has %d of %d name servers that do not answer: %s%s", len(dead), n, strings.Join(dead, ", "), waits)
	}
	if len(deaf) > 0 {
		a.add(health.Warning, "has %d of %d name servers that do not resolve %s: %s", len(deaf), n, c.settings.OutsideName, strings.Join(deaf, ", "))
	}
}
