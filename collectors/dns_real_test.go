package collectors

import (
	"context"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/test/real"
)

// TestDNSMasq is the node of a tired operator: two resolvers and the
// cluster's DNS, all real, and each of them goes bad.
func TestDNSMasq(t *testing.T) {
	port, err := real.FreePort()
	must(t, err)
	outside := "--address=/" + outsideName + "/192.0.2.7"
	first := real.NeedDNSMasq(t, real.DNSMasqOptions{Address: "127.0.0.1", Port: port, Args: []string{outside}})
	second := real.NeedDNSMasq(t, real.DNSMasqOptions{Address: "127.0.0.2", Port: port, Args: []string{outside}})
	cluster := real.NeedDNSMasq(t, real.DNSMasqOptions{Address: "127.0.0.3", Port: port, Args: []string{
		"--address=/" + apiName + "/" + apiAddress, "--local=/cluster.local/", outside, "--local=/corp.example/",
	}})
	root := t.TempDir()
	writeFile(t, root, resolvConf, "nameserver 127.0.0.1\nnameserver 127.0.0.2\nsearch corp.example\n")
	writeFile(t, root, "/var/lib/kubelet/config.yaml", "clusterDNS:\n- 127.0.0.3\nclusterDomain: cluster.local\nresolvConf: \"\"\n")
	s := dnsAsking()
	s.QueryTimeout = time.Second
	check := newDNS(t, s, root, uint16(port))

	got := run(t, check, dnsTimeout)
	for _, subject := range []string{first.Address.String(), second.Address.String(), cluster.Address.String(), resolvConf, searchSubject} {
		got.expect(t, subject, health.OK)
	}
	if got.value(t, &dnsSearchQueries) != 8 { // resolvConf "": pods do not get the node's search list
		t.Errorf("%v queries", got.value(t, &dnsSearchQueries))
	}
	t.Logf("a query took %v s", got.value(t, &dnsLast, cluster.Address.String(), "cluster", "udp"))

	t.Run("the first resolver hangs", func(t *testing.T) {
		must(t, first.Pause())
		defer func() { must(t, first.Resume()) }()
		got := run(t, check, dnsTimeout)
		got.expect(t, first.Address.String(), health.Warning, "name server of /etc/resolv.conf", "no answer within 1 s")
		got.expect(t, second.Address.String(), health.OK)
		got.expect(t, resolvConf, health.Warning, "1 of 2", first.Address.String(), "every lookup waits 5 s")
		got.expect(t, cluster.Address.String(), health.OK)
	})
	t.Run("both are dead", func(t *testing.T) {
		must(t, first.Kill())
		must(t, second.Kill())
		got := run(t, check, dnsTimeout)
		for _, d := range []*real.DNSMasq{first, second} {
			got.expect(t, d.Address.String(), health.Critical, "does not answer: connection refused")
		}
		got.expect(t, resolvConf, health.Critical, "no name server that answers", first.Address.String(), second.Address.String())
	})
	t.Run("the cluster's DNS dies and comes back", func(t *testing.T) {
		must(t, cluster.Pause())
		got := run(t, check, dnsTimeout)
		got.expect(t, cluster.Address.String(), health.Critical, "cluster DNS of /var/lib/kubelet/config.yaml", "no answer within")
		got.expect(t, searchSubject, health.Unknown, "no DNS server of the cluster answers")
		must(t, cluster.Resume())
		must(t, cluster.Kill())
		run(t, check, dnsTimeout).expect(t, cluster.Address.String(), health.Critical, "connection refused")
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		must(t, cluster.Start(ctx))
		got = run(t, check, dnsTimeout)
		got.expect(t, cluster.Address.String(), health.OK)
		got.expect(t, searchSubject, health.OK)
	})
	t.Run("it truncates", func(t *testing.T) {
		var many []string
		for i := range 40 {
			many = append(many, "--host-record=many.cluster.local,"+netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}).String())
		}
		large := real.NeedDNSMasq(t, real.DNSMasqOptions{Args: many})
		s := dnsAsking(large.Address)
		s.ClusterName, s.ClusterAddresses = "many.cluster.local", nil
		got := run(t, newDNS(t, s, t.TempDir(), dnsPort), dnsTimeout)
		got.expect(t, large.Address.String(), health.OK)
		if got.value(t, &dnsTruncated, large.Address.String(), "cluster") != 1 || got.value(t, &dnsSuccess, large.Address.String(), "cluster", "tcp") != 1 {
			t.Error("not truncated")
		}
	})
}

// ownAddress is an address of this machine that may stand in an
// EndpointSlice: none of the loopback.
func ownAddress(t *testing.T) string {
	t.Helper()
	addresses, err := net.InterfaceAddrs()
	must(t, err)
	for _, a := range addresses {
		if ip, ok := a.(*net.IPNet); ok && ip.IP.IsGlobalUnicast() && ip.IP.To4() != nil {
			return ip.IP.String()
		}
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("needs an IPv4 address of this machine that is not on the loopback")
	}
	t.Skip("needs an IPv4 address of this machine that is not on the loopback")
	return ""
}

// TestDNSEndpoints finds CoreDNS by a real API server, and goes on asking it
// when that is gone.
func TestDNSEndpoints(t *testing.T) {
	away(t)
	own := ownAddress(t)
	api := real.NeedAPIServer(t, real.APIServerOptions{})
	zone := dnsZone(map[string][]string{apiName + " A": {"10.0.0.1"}, outsideName + " A": {"192.0.2.7"}})
	alive := serveDNS(t, own, "udp tcp", zone)
	liar := serveDNS(t, own, "udp tcp", wellZone) // its address is of another cluster
	dead, err := real.FreePort()
	must(t, err)

	config, err := clientcmd.BuildConfigFromFlags("", api.TokenKubeconfig) // client-go never ends what it starts for a client certificate
	must(t, err)
	client, err := kubernetes.NewForConfig(config)
	must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	until(t, "the API server has made its own Service", func() bool {
		_, err := client.CoreV1().Services("default").Get(ctx, "kubernetes", metav1.GetOptions{})
		return err == nil
	})
	labels := map[string]string{"k8s-app": "kube-dns"}
	_, err = client.CoreV1().Services("kube-system").Create(ctx, &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "kube-dns", Labels: labels},
		Spec: corev1.ServiceSpec{ClusterIP: "10.0.0.10", Ports: []corev1.ServicePort{
			{Name: "dns", Port: 53, Protocol: corev1.ProtocolUDP}, {Name: "dns-tcp", Port: 53, Protocol: corev1.ProtocolTCP},
		}},
	}, metav1.CreateOptions{})
	must(t, err)
	slice := func(name string, port uint16, ready bool) *discoveryv1.EndpointSlice {
		number, udp, node, dns := int32(port), corev1.ProtocolUDP, "worker-"+name, "dns"
		return &discoveryv1.EndpointSlice{
			ObjectMeta: metav1.ObjectMeta{Name: "kube-dns-" + name, Labels: labels}, AddressType: discoveryv1.AddressTypeIPv4,
			Ports: []discoveryv1.EndpointPort{{Name: &dns, Port: &number, Protocol: &udp}},
			Endpoints: []discoveryv1.Endpoint{{
				Addresses: []string{own}, NodeName: &node, Conditions: discoveryv1.EndpointConditions{Ready: &ready},
				TargetRef: &corev1.ObjectReference{Kind: "Pod", Namespace: "kube-system", Name: "coredns-" + name},
			}},
		}
	}
	slices := client.DiscoveryV1().EndpointSlices("kube-system")
	s := dnsAsking(netip.MustParseAddrPort(hostPort(dead)))
	s.ClusterAddresses, s.Kubeconfig, s.QueryTimeout = nil, api.Kubeconfig, time.Second
	run(t, newDNS(t, s, t.TempDir(), dnsPort), dnsTimeout).
		expect(t, hostPort(dead), health.Critical, "connection refused; the API server lists no ready endpoint of the cluster's DNS")

	for _, s := range []*discoveryv1.EndpointSlice{
		slice("a", alive.Port(), true), slice("b", liar.Port(), true), slice("c", uint16(dead), true), slice("d", 9, false),
	} {
		_, err = slices.Create(ctx, s, metav1.CreateOptions{})
		must(t, err)
	}

	s = dnsAsking(alive)
	s.ClusterAddresses, s.Kubeconfig, s.QueryTimeout = nil, api.Kubeconfig, time.Second
	check := newDNS(t, s, t.TempDir(), dnsPort)
	at := func(port uint16) string { return netip.AddrPortFrom(netip.MustParseAddr(own), port).String() }
	got := run(t, check, dnsTimeout)
	got.expect(t, alive.String(), health.OK)
	got.expect(t, liar.String(), health.Critical, "DNS endpoint coredns-b on node worker-b", "with 10.96.0.1, not 10.0.0.1")
	got.expect(t, at(uint16(dead)), health.Critical, "coredns-c on node worker-c", "connection refused")
	if _, asked := got.results[at(9)]; asked || got.value(t, &dnsEndpointsKnown) != 3 || got.value(t, &dnsEndpointsListed) != 1 {
		t.Error("an endpoint that is not ready was asked")
	}
	// The Service itself, which nothing here leads to, is only looked up.
	check.settings.ClusterDNS = nil
	if servers := check.servers(&dnsNode{}); servers[0].String() != "10.0.0.10:53" || servers[0].roles[0] != "Service of the cluster's DNS" {
		t.Errorf("the Service is not asked: %+v", servers[0])
	}
	check.settings.ClusterDNS = s.ClusterDNS

	t.Run("a pod was moved", func(t *testing.T) {
		must(t, slices.Delete(ctx, "kube-dns-c", metav1.DeleteOptions{}))
		until(t, "it is not asked any more", func() bool {
			check.directory.asked = check.directory.asked.Add(-directoryDoubt) // some seconds later
			_, asked := run(t, check, dnsTimeout).results[at(uint16(dead))]
			return !asked
		})
	})
	t.Run("who may not list endpoints", func(t *testing.T) {
		kubelet, err := api.KubeconfigFor("system:node:worker-1", "system:nodes")
		must(t, err)
		s := dnsAsking(alive)
		s.ClusterAddresses, s.Kubeconfig, s.QueryTimeout = nil, kubelet, time.Second
		got := run(t, newDNS(t, s, t.TempDir(), dnsPort), dnsTimeout)
		if got.value(t, &dnsEndpointsListed) != 0 || len(got.results) != 2 { // the server and the search list
			t.Errorf("%+v", got.results)
		}
	})
	t.Run("the API server is gone", func(t *testing.T) {
		must(t, api.Kill())
		check.directory.asked = time.Time{} // five minutes later
		got := run(t, check, dnsTimeout)
		got.expect(t, alive.String(), health.OK)
		got.expect(t, liar.String(), health.Critical, "not 10.0.0.1")
		if got.value(t, &dnsEndpointsListed) != 0 {
			t.Error("listed")
		}
		check.directory.endpoints = append(check.directory.endpoints, dnsEndpoint{address: netip.MustParseAddrPort(at(uint16(dead))), pod: "coredns-c", node: "worker-c"})
		got = run(t, check, dnsTimeout)
		got.expect(t, at(uint16(dead)), health.Warning, "coredns-c", "whether it still exists is not known", "connection refused")
		t.Log(got.results[at(uint16(dead))].Reason)
	})
}
