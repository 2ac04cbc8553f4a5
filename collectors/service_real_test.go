package collectors

import (
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"testing"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/test/real"
)

// nodePortManifest leads a node port of every node to the API server.
const nodePortManifest = `apiVersion: v1
kind: Service
metadata: {name: way-in, namespace: default}
spec: {type: NodePort, ports: [{port: 443, targetPort: %[2]s, nodePort: 30443}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: way-in-1, namespace: default, labels: {kubernetes.io/service-name: way-in}}
addressType: IPv4
ports: [{port: %[2]s}]
endpoints: [{addresses: ["%[1]s"]}]
`

// From a node, services are reached as long as the rules of kube-proxy stand;
// and it is told when it is not they.
func TestService(t *testing.T) {
	t.Parallel()
	cluster := real.NeedCluster(t, real.ClusterOptions{Nodes: 1})
	node := cluster.Nodes[0]
	host, port, err := net.SplitHostPort(cluster.APIServer.URL[len("https://"):])
	must(t, err)
	if _, err := cluster.Kubectl(t.Context(), fmt.Sprintf(nodePortManifest, host, port), "apply", "-f", "-"); err != nil {
		t.Fatal(err)
	}
	nodePort := net.JoinHostPort(node.IP, "30443")
	check := &elsewhere{Check: "service", Node: node.Name, Settings: fmt.Sprintf("kubeconfig: %s\nnode_ports: [%q]\n", cluster.APIServer.Kubeconfig, nodePort)}
	check.start(t, func(path string, args ...string) *exec.Cmd {
		return exec.Command("nsenter", append([]string{"--target=" + strconv.Itoa(node.Pid()), "--net", "--", path}, args...)...)
	})
	const service = "10.0.0.1:443"
	var got seen
	until(t, "all is well", func() bool {
		got = check.run(t)
		return got.results[nodePort].Status == health.OK && got.results[service].Status == health.OK
	})
	got.expect(t, "kube-proxy", health.OK)
	if got.value(t, &serviceUp, service) != 1 || got.value(t, &serviceUp, nodePort) != 1 || got.value(t, &serviceProxyUp) != 1 {
		t.Errorf("all is well: %v", got.samples)
	}

	// Paused, so that it does not write its rules again.
	must(t, node.Proxy.Pause())
	if _, err := node.Run(t.Context(), "nft", "delete", "table", "ip", "kube-proxy"); err != nil {
		t.Fatal(err)
	}
	got = check.run(t)
	got.expect(t, service, health.Critical, "cannot be reached from this node", "can:", "kube-proxy")
	got.expect(t, nodePort, health.Critical, "cannot be reached")
	got.expect(t, "kube-proxy", health.Critical, "no answer within")
	if got.value(t, &serviceUp, service) != 0 || got.value(t, &serviceProxyUp) != 0 {
		t.Errorf("without rules: %v", got.samples)
	}

	// With the API server gone, the rules of this node are not to blame.
	must(t, cluster.APIServer.Kill())
	got = check.run(t)
	got.expect(t, service, health.Unknown, "neither can the API server itself")
}
