package collectors

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/grapevine-mesh/grapevine/health"
)

// TestDNSSearch walks a pod's search list.
func TestDNSSearch(t *testing.T) {
	zone := map[string][]string{apiName + " A": {apiAddress}, outsideName + " A": {"192.0.2.7"}}
	server := serveDNS(t, "127.0.0.1", "udp tcp", func(query *dns.Msg, udp bool) *dns.Msg {
		switch name := query.Question[0].Name; {
		case strings.HasSuffix(name, ".wild.example."):
			return dnsZone(map[string][]string{name + " A": {"10.1.2.3"}})(query, udp)
		case strings.HasSuffix(name, ".silent.example."):
			return nil
		case strings.HasSuffix(name, ".broken.example."):
			return withCode(dns.RcodeServerFailure)(query, udp)
		}
		return dnsZone(zone)(query, udp)
	})
	for name, c := range map[string]struct {
		search  string
		status  health.Status
		words   []string
		queries float64
		success float64
	}{
		"none of the node":  {"", health.OK, nil, 8, 1},
		"one of the node":   {"corp.example", health.OK, nil, 10, 1},
		"a wildcard":        {"corp.example wild.example", health.Warning, []string{"example.com.wild.example. resolves to 10.1.2.3", "wildcard"}, 10, 0},
		"a broken domain":   {"broken.example", health.Warning, []string{"broken.example. of the list brings SERVFAIL"}, 10, 1},
		"a silent domain":   {"silent.example", health.Warning, []string{"silent.example. of the list brings no answer within 0.5"}, 10, 1},
		"more than sixteen": {"a.example b.example c.example d.example", health.Warning, []string{"has 7 entries"}, 16, 1},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			writeFile(t, root, "/etc/resolv.conf", "nameserver 127.0.0.1\nsearch "+c.search+"\n")
			writeFile(t, root, "/var/lib/kubelet/config.yaml", "kind: KubeletConfiguration\nclusterDNS: [127.0.0.1]\nclusterDomain: cluster.local\n")
			s := dnsAsking()
			s.QueryTimeout = 500 * time.Millisecond
			got := run(t, newDNS(t, s, root, server.Port()), dnsTimeout)
			got.expect(t, searchSubject, c.status, c.words...)
			t.Log(got.results[searchSubject].Reason)
			if queries := got.value(t, &dnsSearchQueries); queries != c.queries {
				t.Errorf("%v queries, want %v", queries, c.queries)
			}
			if got.value(t, &dnsSearchSuccess) != c.success || got.value(t, &dnsSearchSeconds) <= 0 {
				t.Errorf("samples %+v", got.samples)
			}
		})
	}
}

func writeFile(t *testing.T, root, path, content string) {
	t.Helper()
	file := filepath.Join(root, path)
	must(t, os.MkdirAll(filepath.Dir(file), 0o700))
	must(t, os.WriteFile(file, []byte(content), 0o600))
}

// TestDNSFiles judges what stands in a node's files. All servers listen at
// one port of addresses of their own, as they do in a resolv.conf.
func TestDNSFiles(t *testing.T) {
	server := serveDNS(t, "127.0.0.1", "udp tcp", wellZone)
	const kubelet = "/var/lib/kubelet/config.yaml"
	for name, c := range map[string]struct {
		files  map[string]string
		status health.Status
		words  []string
	}{
		"well":           {map[string]string{resolvConf: "nameserver 127.0.0.1\n"}, health.OK, nil},
		"no name server": {map[string]string{resolvConf: "# generated\n"}, health.Warning, []string{"names no name server"}},
		"four": {map[string]string{resolvConf: "nameserver 127.0.0.1\nnameserver 127.0.0.1\nnameserver 127.0.0.1\nnameserver 127.0.0.9\n"}, health.Warning,
			[]string{"names 4 name servers; programs and the kubelet use the first 3 and ignore 127.0.0.9"}},
		"no address":     {map[string]string{resolvConf: "nameserver 127.0.0.1\nnameserver dns.example\n"}, health.Warning, []string{"no address: dns.example"}},
		"second is dead": {map[string]string{resolvConf: "nameserver 127.0.0.1\nnameserver 127.0.0.2\n"}, health.Warning, []string{"1 of 2 name servers that do not answer: 127.0.0.2:"}},
		"first is dead":  {map[string]string{resolvConf: "nameserver 127.0.0.2\nnameserver 127.0.0.1\n"}, health.Warning, []string{"1 of 2 name servers that do not answer: 127.0.0.2:"}},
		"all are dead":   {map[string]string{resolvConf: "nameserver 127.0.0.2\nnameserver 127.0.0.3\n"}, health.Critical, []string{"no name server that answers: 127.0.0.2:", "127.0.0.3:"}},
		"a loop through the stub": {map[string]string{resolvConf: "nameserver 127.0.0.1\n", kubelet: "clusterDNS: [127.0.0.1]\n"}, health.Warning,
			[]string{"handed on to pods by the kubelet and names 127.0.0.1, which in a pod is the pod itself"}},
		"a stub that pods do not get": {map[string]string{resolvConf: "nameserver 127.0.0.1\n", kubelet: "resolvConf: /run/real.conf\n", "/run/real.conf": "nameserver 127.0.0.2\n"}, health.OK, nil},
		"not to be read":              {map[string]string{resolvConf + "/x": ""}, health.Critical, []string{"cannot be read", "not a regular file"}},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			for path, content := range c.files {
				writeFile(t, root, path, content)
			}
			s := dnsAsking()
			s.QueryTimeout = time.Second
			got := run(t, newDNS(t, s, root, server.Port()), dnsTimeout)
			got.expect(t, resolvConf, c.status, c.words...)
			t.Log(got.results[resolvConf].Reason)
		})
	}
	t.Run("the kubelet's file is missing", func(t *testing.T) {
		root := t.TempDir()
		writeFile(t, root, kubelet, "resolvConf: /run/systemd/resolve/resolv.conf\n")
		run(t, newDNS(t, dnsAsking(), root, server.Port()), dnsTimeout).
			expect(t, "/run/systemd/resolve/resolv.conf", health.Critical, "does not exist", kubelet)
	})
	t.Run("one bad of two", func(t *testing.T) {
		root := t.TempDir()
		writeFile(t, root, resolvConf, "nameserver 127.0.0.1\nnameserver 127.0.0.2\n")
		got := run(t, newDNS(t, dnsAsking(), root, server.Port()), dnsTimeout)
		port := ":" + strconv.Itoa(int(server.Port()))
		got.expect(t, "127.0.0.1"+port, health.OK)
		got.expect(t, "127.0.0.2"+port, health.Warning, "DNS server 127.0.0.2"+port+" (name server of /etc/resolv.conf)", "does not answer: connection refused")
	})
}

func TestDNSNodeFiles(t *testing.T) {
	root := t.TempDir()
	paths := Paths{Root: root, Sys: filepath.Join(root, "sys")}
	writeFile(t, root, "/run/systemd/resolve/stub.conf", "nameserver 127.0.0.53\nnameserver fe80::1%eth0\nsearch corp.example\noptions edns0\n")
	must(t, os.MkdirAll(filepath.Join(root, "etc"), 0o700))
	must(t, os.Symlink("/run/systemd/resolve/stub.conf", filepath.Join(root, "etc/resolv.conf"))) // absolute: of the node, not of here
	writeFile(t, root, "/var/lib/rancher/k3s/agent/etc/kubelet.conf.d/00-k3s-defaults.conf", "clusterDNS:\n- 10.43.0.10\nclusterDomain: k3s.local\n")
	writeFile(t, root, "/sys/class/net/nodelocaldns/address", "")
	node := readDNSNode(paths, dnsPort)
	if len(node.resolvers) != 1 || fmt.Sprint(node.resolvers[0].servers) != "[127.0.0.53:53 [fe80::1%eth0]:53]" || !node.resolvers[0].forPods {
		t.Errorf("resolvers %+v", node.resolvers)
	}
	if node.kubelet.file != "/var/lib/rancher/k3s/agent/etc/kubelet.conf.d/00-k3s-defaults.conf" || !node.nodeLocal {
		t.Errorf("node %+v", node)
	}
	if got := strings.Join(node.podSearch("k3s.local"), " "); got != "default.svc.k3s.local svc.k3s.local k3s.local corp.example" {
		t.Errorf("search %s", got)
	}
	check := newDNS(t, defaultDNSSettings(), root, dnsPort)
	check.paths = paths
	var all []string
	for _, s := range check.servers(&node) {
		all = append(all, fmt.Sprintf("%v%v%s", s.address, s.roles, s.clusterName))
	}
	want := "10.43.0.10:53[cluster DNS of /var/lib/rancher/k3s/agent/etc/kubelet.conf.d/00-k3s-defaults.conf]kubernetes.default.svc.k3s.local. " +
		"169.254.20.10:53[NodeLocal DNSCache]kubernetes.default.svc.k3s.local. " +
		"127.0.0.53:53[name server of /etc/resolv.conf] [fe80::1%eth0]:53[name server of /etc/resolv.conf]"
	if got := strings.Join(all, " "); got != want {
		t.Errorf("servers %s\n   want %s", got, want)
	}
}

func TestDNSDetection(t *testing.T) {
	away(t)
	_, err := defaultDNSSettings().New(envAt(t.TempDir()))
	if !errors.Is(err, ErrAbsent) || !strings.Contains(err.Error(), resolvConf) {
		t.Errorf("error %v", err)
	}
	s := defaultDNSSettings()
	s.Kubeconfig = "/nowhere"
	if _, err := s.New(envAt(t.TempDir())); err == nil || errors.Is(err, ErrAbsent) {
		t.Errorf("error %v", err)
	}
}

func TestDNSSettings(t *testing.T) {
	for words, change := range map[string]func(*dnsSettings){
		`resolvers: "dns.example" is not an address`:  func(s *dnsSettings) { s.Resolvers = []string{"dns.example"} },
		"cluster_dns: 10.0.0.1:53 stands there twice": func(s *dnsSettings) { s.ClusterDNS = []string{"10.0.0.1", "10.0.0.1:53"} },
		"endpoints: 17 servers":                       func(s *dnsSettings) { s.Endpoints = make([]string, 17) },
		"max_endpoints: 99":                           func(s *dnsSettings) { s.MaxEndpoints = 99 },
		"cluster_name: ":                              func(s *dnsSettings) { s.ClusterName = "a b" },
		"outside_name: ":                              func(s *dnsSettings) { s.OutsideName = "http://example.com/" },
		"cluster_addresses: ":                         func(s *dnsSettings) { s.ClusterAddresses = []string{"x"} },
		"outside_addresses: ":                         func(s *dnsSettings) { s.OutsideAddresses = []string{"10.0.0.0/99"} },
		"outside_required: ":                          func(s *dnsSettings) { s.OutsideName, s.OutsideRequired = "", true },
		"query_timeout: ":                             func(s *dnsSettings) { s.QueryTimeout = time.Minute },
		"thresholds: latency: warning is above":       func(s *dnsSettings) { s.Thresholds.Latency.Warning = time.Hour },
	} {
		s := defaultDNSSettings()
		change(s)
		if err := s.Validate(); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("error %v, want %s", err, words)
		}
	}
}

// TestDNSShare holds that the endpoints of a large cluster are shared out.
func TestDNSShare(t *testing.T) {
	d := dnsDirectory{}
	for i := range 40 {
		d.endpoints = append(d.endpoints, dnsEndpoint{address: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), 53)})
	}
	asked := make(map[netip.AddrPort]int)
	for n := range 200 {
		d.node = fmt.Sprintf("node-%d", n)
		share := d.share(5)
		if len(share) != 5 || fmt.Sprint(share) != fmt.Sprint(d.share(5)) {
			t.Fatalf("share %v", share)
		}
		for _, e := range share {
			asked[e.address]++
		}
	}
	for _, e := range d.endpoints {
		if n := asked[e.address]; n < 5 || n > 60 {
			t.Errorf("%v is asked by %d nodes of 200, 25 are due", e.address, n)
		}
	}
}
