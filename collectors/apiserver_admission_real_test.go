package collectors

import (
	"bytes"
	"context"
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/test/real"
)

// create sends an object to the API server, as an administrator.
func create(t *testing.T, server *real.APIServer, path, object string) {
	t.Helper()
	send(t, server, http.MethodPost, path, object)
}

func send(t *testing.T, server *real.APIServer, method, path, object string) {
	t.Helper()
	access, err := findAccess(server.Kubeconfig, "/")
	must(t, err)
	client, transport, err := access.client("")
	must(t, err)
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, strings.NewReader(object))
	must(t, err)
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	must(t, err)
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		body, _ := io.ReadAll(resp.Body)
		t.Fatalf("%s %s: %d %s", method, path, resp.StatusCode, body)
	}
}

// webhook is a ValidatingWebhookConfiguration that calls a URL for every
// ConfigMap that is created.
func webhook(t *testing.T, name, url, caFile string) string {
	t.Helper()
	ca, err := os.ReadFile(caFile)
	must(t, err)
	return `{"apiVersion":"admissionregistration.k8s.io/v1","kind":"ValidatingWebhookConfiguration","metadata":{"name":"` + name + `"},
"webhooks":[{"name":"` + name + `.example.org","admissionReviewVersions":["v1"],"sideEffects":"None","failurePolicy":"Fail","timeoutSeconds":10,
"clientConfig":{"url":"` + url + `","caBundle":"` + base64.StdEncoding.EncodeToString(bytes.TrimSpace(ca)) + `"},
"rules":[{"apiGroups":[""],"apiVersions":["v1"],"operations":["CREATE"],"resources":["configmaps"]}]}]}`
}

const webhooks = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"

func TestAPIServerAdmission(t *testing.T) {
	away(t)
	server := real.NeedAPIServer(t, real.APIServerOptions{})
	host := hostOf(t, server.URL)
	settings := func(kubeconfig string) *apiserverSettings {
		s := defaultAPIServerSettings()
		s.Kubeconfig, s.ServiceAddress, s.Admission.Enabled = kubeconfig, serviceNone, true
		s.Thresholds.GetLatency, s.Thresholds.ListLatency, s.Thresholds.CreateLatency = DurationLimits{}, DurationLimits{}, DurationLimits{}
		return s
	}
	check := newCheck(t, settings(server.Kubeconfig))
	until(t, "the server has settled", func() bool { return run(t, check, apiTimeout).results[host].Status == health.OK })

	t.Run("well, and nothing is left", func(t *testing.T) {
		got := run(t, check, apiTimeout)
		got.expect(t, host, health.OK)
		if got.value(t, &apiSuccess, host, "create") != 1 || got.value(t, &apiCode, host, "create") != 201 || got.value(t, &apiLast, host, "create") <= 0 {
			t.Error("samples of the create")
		}
		var list struct {
			Items []struct{ Metadata struct{ Name string } }
		}
		first := check.(*apiserverCheck).targets[0]
		must(t, getObject(t.Context(), first.client, first.base, "/api/v1/namespaces/default/configmaps", nil, &list))
		for _, item := range list.Items {
			if strings.HasPrefix(item.Metadata.Name, "grapevine") {
				t.Errorf("left behind: %s", item.Metadata.Name)
			}
		}
	})

	t.Run("not allowed", func(t *testing.T) {
		kubelet, err := server.KubeconfigFor("system:node:worker-1", "system:nodes")
		must(t, err)
		got := run(t, newCheck(t, settings(kubelet)), apiTimeout)
		got.expect(t, host, health.Unknown, "does not allow this user to create configmaps in namespace default", "system:node:worker-1")
		if got.value(t, &apiSuccess, host, "create") != 0 || got.value(t, &apiSuccess, host, "get") != 1 {
			t.Error("samples")
		}
	})

	t.Run("refused by a policy", func(t *testing.T) {
		create(t, server, "/api/v1/namespaces", `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"full"}}`)
		create(t, server, "/api/v1/namespaces/full/resourcequotas", `{"apiVersion":"v1","kind":"ResourceQuota","metadata":{"name":"none"},"spec":{"hard":{"configmaps":"0"}}}`)
		send(t, server, http.MethodPut, "/api/v1/namespaces/full/resourcequotas/none/status", // as the controller manager would
			`{"apiVersion":"v1","kind":"ResourceQuota","metadata":{"name":"none"},"spec":{"hard":{"configmaps":"0"}},"status":{"hard":{"configmaps":"0"},"used":{"configmaps":"0"}}}`)
		s := settings(server.Kubeconfig)
		s.Admission.Namespace = "full"
		check := newCheck(t, s)
		until(t, "the quota is in force", func() bool { return run(t, check, apiTimeout).results[host].Status != health.OK })
		run(t, check, apiTimeout).expect(t, host, health.Unknown, "refuses the ConfigMap that a dry run would create in namespace full", "exceeded quota")
	})

	t.Run("webhook that is dead", func(t *testing.T) {
		port, err := real.FreePort()
		must(t, err)
		create(t, server, webhooks, webhook(t, "dead", "https://"+hostPort(port), server.CAFile))
		until(t, "it is in force", func() bool { return run(t, check, apiTimeout).results[host].Status != health.OK })
		got := run(t, check, apiTimeout)
		got.expect(t, host, health.Critical, "cannot create a ConfigMap by dry run in namespace default: 500", `failed calling webhook "dead.example.org"`, "connection refused")
		if got.value(t, &apiSuccess, host, "create") != 0 || got.value(t, &apiCode, host, "create") != 500 {
			t.Error("samples of the create")
		}
		t.Logf("%+v", got.results[host])
		send(t, server, http.MethodDelete, webhooks+"/dead", "")
		until(t, "it is gone", func() bool { return run(t, check, apiTimeout).results[host].Status == health.OK })
	})

	t.Run("webhook that hangs", func(t *testing.T) {
		l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0") // accepts, as the kernel does, and never answers
		must(t, err)
		defer l.Close()
		create(t, server, webhooks, webhook(t, "hung", "https://"+l.Addr().String(), server.CAFile))
		until(t, "it is in force", func() bool { return run(t, check, apiTimeout).results[host].Status != health.OK })
		got := run(t, check, apiTimeout)
		got.expect(t, host, health.Critical, "cannot create a ConfigMap by dry run in namespace default: no answer within", "it calls the admission webhooks hung.example.org")
		t.Logf("%+v", got.results[host])
	})
}
