package real

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

func TestAPIServer(t *testing.T) {
	s := NeedAPIServer(t, APIServerOptions{})
	nobody, err := s.KubeconfigFor("system:node:x", "somebody")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, kubeconfig string
		mayList          bool
	}{
		{"certificate", s.Kubeconfig, true},
		{"token", s.TokenKubeconfig, true},
		{"no rights", nobody, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			config, err := clientcmd.BuildConfigFromFlags("", c.kubeconfig)
			if err != nil {
				t.Fatal(err)
			}
			// Files would be watched by goroutines that never end.
			if err := rest.LoadTLSFiles(config); err != nil {
				t.Fatal(err)
			}
			client, err := kubernetes.NewForConfig(config)
			if err != nil {
				t.Fatal(err)
			}
			version, err := client.Discovery().ServerVersion()
			if err != nil {
				t.Fatal(err)
			}
			if version.GitVersion != "v1.35.4" {
				t.Errorf("version is %s", version.GitVersion)
			}
			_, err = client.CoreV1().Namespaces().List(t.Context(), metav1.ListOptions{Limit: 1})
			if mayList := err == nil; mayList != c.mayList {
				t.Errorf("listing namespaces: %v", err)
			}
		})
	}
	if err := answers200(plainClient(), s.URL+"/readyz")(t.Context()); err == nil {
		t.Error("the server answers a stranger")
	}
	pid := s.Pid()
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	if !gone(pid) {
		t.Errorf("process %d is left", pid)
	}
}

func TestPrometheus(t *testing.T) {
	p := NeedPrometheus(t, PrometheusOptions{})
	if got, err := p.Query(t.Context(), "vector(7)"); err != nil || len(got) != 1 || got[0].Value != 7 {
		t.Fatalf("vector(7) is %v, %v", got, err)
	}
	now := time.Now()
	if got, err := p.QueryRange(t.Context(), "vector(7)", now.Add(-time.Minute), now, 30*time.Second); err != nil || len(got) != 1 || len(got[0].Values) != 3 {
		t.Fatalf("the range is %v, %v", got, err)
	}
	if err := p.Reload(t.Context(), "no_such_key: 1"); err == nil {
		t.Error("a wrong configuration was taken")
	}
	config := "scrape_configs: [{job_name: self, scrape_interval: 100ms, scrape_timeout: 100ms, static_configs: [{targets: ['" + p.URL[len("http://"):] + "']}]}]"
	if err := p.Reload(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(15 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		if got, err := p.Query(t.Context(), `up{job="self"} == 1`); err == nil && len(got) == 1 {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("up is %v, %v", got, err)
		}
	}
	pid := p.Pid()
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	if !gone(pid) {
		t.Errorf("process %d is left", pid)
	}
}
