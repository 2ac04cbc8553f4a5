package collectors

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/test/real"
)

// dnsTimeout is the check's default timeout.
const dnsTimeout = 12 * time.Second

// dnsAsking are settings that ask these servers of the cluster, and nothing
// of this machine.
func dnsAsking(servers ...netip.AddrPort) *dnsSettings {
	s := defaultDNSSettings()
	for _, server := range servers {
		s.ClusterDNS = append(s.ClusterDNS, server.String())
	}
	s.ClusterAddresses = []string{apiAddress, "fd00::1"}
	s.Thresholds.Latency = DurationLimits{} // a busy test machine
	s.Thresholds.OutsideLatency, s.Thresholds.SearchDuration = DurationLimits{}, DurationLimits{}
	return s
}

// newDNS builds the check for a node whose files lie below root, with
// servers known by address only at port.
func newDNS(t *testing.T, s *dnsSettings, root string, port uint16) *dnsCheck {
	t.Helper()
	away(t)
	must(t, s.Validate())
	env := envAt(root)
	env.Paths.Sys = filepath.Join(root, "sys")
	c, err := s.newAt(port, env)
	must(t, err)
	closeAtEnd(t, c)
	return c.(*dnsCheck)
}

// TestDNSServers shows what is said of every way a server can be bad.
func TestDNSServers(t *testing.T) {
	closed, err := real.FreePort()
	must(t, err)
	junk := func(packets ...[]byte) func([]byte) [][]byte { return func([]byte) [][]byte { return packets } }
	reply := func(change func(*dns.Msg)) func([]byte) [][]byte {
		return func(packet []byte) [][]byte {
			query := new(dns.Msg)
			if query.Unpack(packet) != nil {
				return nil
			}
			m := wellZone(query, true)
			change(m)
			out, err := m.Pack()
			if err != nil {
				return nil
			}
			return [][]byte{out}
		}
	}
	cases := []struct {
		name   string
		server netip.AddrPort
		status health.Status
		words  []string
	}{
		{"well", serveDNS(t, "127.0.0.1", "udp tcp", wellZone), health.OK, nil},
		{"IPv6 only", serveDNS(t, "127.0.0.1", "udp tcp", dnsZone(map[string][]string{apiName + " AAAA": {"fd00::1"}, outsideName + " A": {"192.0.2.7"}})), health.OK, nil},
		{"truncated", serveDNS(t, "127.0.0.1", "udp tcp", truncating(wellZone)), health.OK, nil},
		{"truncated without TCP", serveDNS(t, "127.0.0.1", "udp", truncating(wellZone)), health.Critical, []string{"truncates its answer over UDP, and over TCP there is none: connection refused"}},
		{"no TCP", serveDNS(t, "127.0.0.1", "udp", wellZone), health.Warning, []string{"answers over UDP, but not over TCP", "connection refused"}},
		{"no UDP", serveDNS(t, "127.0.0.1", "tcp", wellZone), health.Critical, []string{"answers over TCP, but not over UDP", "connection refused"}},
		{"dead", netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(closed)), health.Critical, []string{"does not answer: connection refused"}},
		{"silent", serveDNS(t, "127.0.0.1", "udp tcp", silence), health.Critical, []string{"does not answer: no answer within 1"}},
		{"NXDOMAIN", serveDNS(t, "127.0.0.1", "udp tcp", withCode(dns.RcodeNameError)), health.Critical, []string{"answers " + apiName + ". with NXDOMAIN"}},
		{"SERVFAIL", serveDNS(t, "127.0.0.1", "udp tcp", withCode(dns.RcodeServerFailure)), health.Critical, []string{"with SERVFAIL"}},
		{"REFUSED", serveDNS(t, "127.0.0.1", "udp tcp", withCode(dns.RcodeRefused)), health.Critical, []string{"with REFUSED"}},
		{"empty", serveDNS(t, "127.0.0.1", "udp tcp", dnsZone(map[string][]string{apiName + " TXT": {"x"}})), health.Critical, []string{"with an empty answer"}},
		{"wrong address", serveDNS(t, "127.0.0.1", "udp tcp", dnsZone(map[string][]string{apiName + " A": {"10.66.6.6"}})), health.Critical, []string{"with 10.66.6.6, not 10.96.0.1, fd00::1"}},
		{"garbage", serveBytes(t, junk([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))), health.Critical, []string{"what came is no DNS message"}},
		{"short", serveBytes(t, junk([]byte("x"))), health.Critical, []string{"what came is no DNS message"}},
		{"another id", serveBytes(t, reply(func(m *dns.Msg) { m.Id++ })), health.Critical, []string{"another query id"}},
	}
	more := []struct {
		name   string
		server netip.AddrPort
		status health.Status
		words  []string
	}{
		{"another question", serveBytes(t, reply(func(m *dns.Msg) { m.Question[0].Name = "elsewhere." })), health.Critical, []string{"answers another question"}},
		{"an echo", serveBytes(t, func(q []byte) [][]byte { return [][]byte{q} }), health.Critical, []string{"a question, not an answer"}},
		{"huge", serveBytes(t, junk(bytes.Repeat([]byte{0xff}, 60000))), health.Critical, []string{"no DNS message"}},
		{"a flood", serveBytes(t, func([]byte) [][]byte { return slicesRepeat([]byte("no answer at all"), 200) }), health.Critical, []string{"no answer among 50 packets"}},
		{"another's records", serveBytes(t, reply(func(m *dns.Msg) {
			for _, rr := range m.Answer {
				rr.Header().Name = "elsewhere."
			}
		})), health.Critical, []string{"with an empty answer"}},
		{"an alias", serveDNS(t, "127.0.0.1", "udp tcp", func(query *dns.Msg, _ bool) *dns.Msg {
			m := new(dns.Msg).SetReply(query)
			for _, text := range []string{query.Question[0].Name + " 5 CNAME alias.", "alias. 5 A " + apiAddress} {
				rr, err := dns.NewRR(text)
				if err != nil {
					panic(err)
				}
				m.Answer = append(m.Answer, rr)
			}
			return m
		}), health.OK, nil},
		{"TCP that drips", serveDrip(t), health.Warning, []string{"answers over UDP, but not over TCP", "no answer within"}},
	}
	if at, err := net.Listen("tcp", "[::1]:0"); err == nil {
		_ = at.Close()
		more = append(more, more[0])
		more[len(more)-1].name, more[len(more)-1].server = "over IPv6", serveDNS(t, "::1", "udp tcp", wellZone)
		more[len(more)-1].status, more[len(more)-1].words = health.OK, nil
	}
	for _, group := range [][]struct {
		name   string
		server netip.AddrPort
		status health.Status
		words  []string
	}{cases, more} {
		s := dnsAsking()
		s.QueryTimeout = time.Second
		for _, c := range group {
			s.ClusterDNS = append(s.ClusterDNS, c.server.String())
		}
		got := run(t, newDNS(t, s, t.TempDir(), dnsPort), dnsTimeout)
		for _, c := range group {
			t.Run(c.name, func(t *testing.T) {
				subject := c.server.String()
				got.expect(t, subject, c.status, append(c.words, "")...)
				t.Log(got.results[subject].Reason)
				for _, protocol := range []string{"udp", "tcp"} {
					if good := got.value(t, &dnsSuccess, subject, "cluster", protocol) == 1; c.status == health.OK && !good {
						t.Errorf("no success over %s", protocol)
					}
				}
				if c.status != health.OK && got.value(t, &dnsSuccess, subject, "cluster", "udp")+got.value(t, &dnsSuccess, subject, "cluster", "tcp") == 2 {
					t.Error("exported as a success")
				}
				if alive := got.value(t, &dnsUp, subject) == 1; alive == strings.Contains(got.results[subject].Reason, "does not answer:") {
					t.Errorf("up is %v", alive)
				}
			})
		}
	}
}

func slicesRepeat(packet []byte, n int) [][]byte {
	all := make([][]byte, n)
	for i := range all {
		all[i] = packet
	}
	return all
}

// serveDrip answers well over UDP, and over TCP a byte now and then.
func serveDrip(t *testing.T) netip.AddrPort {
	at := serveDNS(t, "127.0.0.1", "udp", wellZone)
	l, err := net.Listen("tcp", at.String())
	must(t, err)
	done, stop := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			for open := true; open; {
				select {
				case <-stop:
					open = false
				case <-time.After(100 * time.Millisecond):
					_, err := conn.Write([]byte{1}) // 257 bytes are announced
					open = err == nil
				}
			}
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		close(stop)
		_ = l.Close()
		<-done
	})
	return at
}

func TestDNSLatency(t *testing.T) {
	t.Run("slow", func(t *testing.T) {
		server := serveDNS(t, "127.0.0.1", "udp tcp", slowly(300*time.Millisecond, wellZone))
		s := dnsAsking(server)
		s.Thresholds.Latency.Warning, s.Thresholds.OutsideLatency.Warning = 250*time.Millisecond, 250*time.Millisecond
		got := run(t, newDNS(t, s, t.TempDir(), dnsPort), dnsTimeout)
		got.expect(t, server.String(), health.Warning, "took 0.3", "for "+apiName, "for the outside name")
		if e := got.results[server.String()].Evidence; e.Value < 0.3 || e.Threshold != 0.25 || e.Unit != "seconds" {
			t.Errorf("evidence %+v", e)
		}
		if got.value(t, &dnsLast, server.String(), "cluster", "udp") < 0.3 {
			t.Error("latency")
		}
	})
}

// TestDNSOutside holds that a room without a way out is quiet, and that a
// way out that is lost is not.
func TestDNSOutside(t *testing.T) {
	inside := dnsZone(map[string][]string{apiName + " A": {apiAddress}})
	var lost atomic.Bool
	server := serveDNS(t, "127.0.0.1", "udp tcp", func(query *dns.Msg, udp bool) *dns.Msg {
		if lost.Load() && strings.HasPrefix(query.Question[0].Name, outsideName) {
			return withCode(dns.RcodeServerFailure)(query, udp)
		}
		return wellZone(query, udp)
	})
	other := serveDNS(t, "127.0.0.1", "udp tcp", inside)

	t.Run("never was one", func(t *testing.T) {
		got := run(t, newDNS(t, dnsAsking(other), t.TempDir(), dnsPort), dnsTimeout)
		got.expect(t, other.String(), health.OK)
		if got.value(t, &dnsSuccess, other.String(), "outside", "udp") != 0 || got.value(t, &dnsCode, other.String(), "outside", "udp") != dns.RcodeNameError {
			t.Error("the failure is not exported")
		}
	})
	t.Run("required", func(t *testing.T) {
		s := dnsAsking(other)
		s.OutsideRequired = true
		run(t, newDNS(t, s, t.TempDir(), dnsPort), dnsTimeout).
			expect(t, other.String(), health.Warning, "does not resolve the outside name example.com: NXDOMAIN")
	})
	t.Run("one of two", func(t *testing.T) {
		got := run(t, newDNS(t, dnsAsking(server, other), t.TempDir(), dnsPort), dnsTimeout)
		got.expect(t, server.String(), health.OK)
		got.expect(t, other.String(), health.Warning, "does not resolve the outside name")
	})
	t.Run("switched off", func(t *testing.T) {
		s := dnsAsking(other)
		s.OutsideName = ""
		got := run(t, newDNS(t, s, t.TempDir(), dnsPort), dnsTimeout)
		got.expect(t, other.String(), health.OK)
		for _, sample := range got.samples {
			if len(sample.Labels) > 1 && sample.Labels[1] == "outside" {
				t.Errorf("asked: %+v", sample)
			}
		}
	})
	t.Run("wrong answers", func(t *testing.T) {
		for address, words := range map[string]string{"0.0.0.0": "which no other machine has", "127.0.0.1": "which no other machine has", "203.0.113.9": "not 192.0.2.0/24"} {
			liar := serveDNS(t, "127.0.0.1", "udp tcp", dnsZone(map[string][]string{apiName + " A": {apiAddress}, outsideName + " A": {address}}))
			s := dnsAsking(liar)
			if address == "203.0.113.9" {
				s.OutsideAddresses = []string{"192.0.2.0/24"}
			}
			run(t, newDNS(t, s, t.TempDir(), dnsPort), dnsTimeout).
				expect(t, liar.String(), health.Warning, "answers the outside name example.com with "+address, words)
		}
	})
	t.Run("lost", func(t *testing.T) {
		check := newDNS(t, dnsAsking(server), t.TempDir(), dnsPort)
		run(t, check, dnsTimeout).expect(t, server.String(), health.OK)
		lost.Store(true)
		run(t, check, dnsTimeout).expect(t, server.String(), health.Warning, "does not resolve the outside name example.com: SERVFAIL")
	})
}

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
