package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/grapevine-mesh/grapevine/test/real"
)

// TestOnePage is the story as the person on call lives it: the disk below one
// etcd member becomes slow, its member and the API server that asks it go bad
// with it, and ONE page comes, which names the disk, on its node. Prometheus
// scrapes another node. Rules and Alertmanager's configuration are those of
// alerts/.
func TestOnePage(t *testing.T) {
	t.Parallel()
	disk := real.NeedSlowDisk(t)
	const slow = 1
	others := t.TempDir()
	etcd := real.NeedEtcd(t, real.EtcdOptions{Members: size, DataDir: func(i int) string {
		if i == slow {
			return filepath.Join(disk.Dir, "etcd")
		}
		return filepath.Join(others, nodeName(i))
	}})
	api := real.NeedAPIServer(t, real.APIServerOptions{EtcdURL: etcd.Members[slow].ClientURL}) // as kubeadm has it: that of its own node
	c := &cluster{t: t, etcd: etcd, api: api}
	var seeds []string
	for i, m := range etcd.Members {
		c.agents = append(c.agents, real.NeedAgent(t, real.AgentOptions{
			Name: nodeName(i), Join: seeds, Checks: []string{"apiserver", "disk", "etcd"},
			Config: fmt.Sprintf("checks:\n  etcd: {endpoints: [%q]}\n  disk: {paths: [%q]}\n  apiserver: {kubeconfig: %q}\n",
				m.ClientURL, m.DataDir, api.Kubeconfig),
		}))
		seeds = append(seeds, c.agents[i].Gossip)
	}
	inbox := newInbox(t)
	alertmanager := real.NeedAlertmanager(t, real.AlertmanagerOptions{Config: inbox.configuration(t)})
	prometheus := real.NeedPrometheus(t, real.PrometheusOptions{Config: scrapeConfig(c.agents[0]) + alerting(t, alertmanager)})
	c.converged(c.agents...)

	eventually(t, 60*time.Second, "all is well", func(ctx context.Context) error {
		for _, check := range []string{"apiserver", "disk", "etcd"} {
			expr := fmt.Sprintf("count(count by (node) (grapevine_check_status{check=%q} == 0)) == %d", check, size)
			if got, err := prometheus.Query(ctx, expr); err != nil || len(got) != 1 {
				return fmt.Errorf("%s: %v, %w", expr, got, err)
			}
		}
		return nil
	})
	eventually(t, 30*time.Second, "the dead-man's switch is told that alerts arrive", func(context.Context) error {
		if len(inbox.at("/deadman")) == 0 {
			return errors.New("nothing arrived")
		}
		return nil
	})

	disk.Set(real.DiskFault{Fsync: 3 * time.Second})
	t.Cleanup(disk.Heal)
	began := time.Now()
	eventually(t, 90*time.Second, "somebody is paged", func(context.Context) error {
		if len(inbox.at("/pager")) == 0 {
			return errors.New("no page arrived")
		}
		return nil
	})
	// What follows from it is known, and held back by it, directly or by what
	// it holds back itself.
	for _, check := range []string{"etcd", "apiserver"} {
		eventually(t, 60*time.Second, check+" is known to be bad, and held back", func(ctx context.Context) error {
			return heldBack(ctx, alertmanager, check)
		})
	}
	// Longer than a group waits, from the moment when the last was known.
	time.Sleep(groupWait + 5*time.Second)
		pages := inbox.at("/pager")
	if len(pages) != 1 || len(pages[0].Alerts) != 1 {
		t.Fatalf("%d pages within %v, want one, of one alert: %+v", len(pages), time.Since(began), pages)
	}
	page := pages[0].Alerts[0]
	if page.Labels["node"] != nodeName(slow) || page.Labels["check"] != "disk" || page.Labels["subject"] != disk.Dir {
		t.Errorf("the page is about %v, want the disk %s of %s", page.Labels, disk.Dir, nodeName(slow))
	}
	if says := page.Annotations["description"]; !strings.Contains(says, nodeName(slow)) || !strings.Contains(says, disk.Dir) {
		t.Errorf("the page says %q, which does not name %s on %s", says, disk.Dir, nodeName(slow))
	}
}

// heldBack returns nil when Alertmanager holds a critical alert of the check,
// and has let none of them out.
func heldBack(ctx context.Context, a *real.Alertmanager, check string) error {
	alerts, err := a.Alerts(ctx)
	if err != nil {
		return err
	}
	known := false
	for _, alert := range alerts {
		if alert.Labels["check"] != check {
			continue
		}
		known = known || alert.Labels["severity"] == "critical"
		if alert.Status.State != "suppressed" || len(alert.Status.InhibitedBy) == 0 {
			return fmt.Errorf("%v is %+v", alert.Labels, alert.Status)
		}
	}
	if !known {
		return fmt.Errorf("no critical alert of %s among %v", check, alerts)
	}
	return nil
}

// groupWait is what alerts/alertmanager.yaml says.
const groupWait = 30 * time.Second

// message is what Alertmanager sends to a webhook.
type message struct {
	Receiver, Status string
	Alerts           []struct {
		Status              string
		Labels, Annotations map[string]string
	}
}

// inbox keeps what Alertmanager sends, by path.
type inbox struct {
	url string

	mu       sync.Mutex // guards messages
	messages map[string][]message
}

func newInbox(t *testing.T) *inbox {
	t.Helper()
	in := &inbox{messages: map[string][]message{}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var m message
		if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		in.mu.Lock()
		defer in.mu.Unlock()
		in.messages[r.URL.Path] = append(in.messages[r.URL.Path], m)
	}))
	t.Cleanup(server.Close)
	in.url = server.URL
	return in
}

func (in *inbox) at(path string) []message {
	in.mu.Lock()
	defer in.mu.Unlock()
	return append([]message(nil), in.messages[path]...)
}

// configuration is the example of alerts/ with receivers that are here.
func (in *inbox) configuration(t *testing.T) string {
	t.Helper()
	example, err := os.ReadFile(filepath.Join(alertsDir(t), "alertmanager.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	config := string(example)
	for _, path := range []string{"pager", "tickets", "deadman"} {
		from := "http://" + path + ".example.org/grapevine"
		if !strings.Contains(config, from) {
			t.Fatalf("alertmanager.yaml sends nothing to %s", from)
		}
		config = strings.ReplaceAll(config, from, in.url+"/"+path)
	}
	if want := "group_wait: " + groupWait.String(); !strings.Contains(config, want) {
		t.Fatalf("alertmanager.yaml does not say %s any more", want)
	}
	return config
}

// alerting is the part of Prometheus' configuration that loads the rules of
// alerts/ and tells Alertmanager.
func alerting(t *testing.T, a *real.Alertmanager) string {
	t.Helper()
	return fmt.Sprintf("rule_files: [%q]\nalerting: {alertmanagers: [{static_configs: [{targets: [%q]}]}]}\n",
		filepath.Join(alertsDir(t), "rules", "*.yaml"), strings.TrimPrefix(a.URL, "http://"))
}

func alertsDir(t *testing.T) string {
	t.Helper()
	root, err := real.Root()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(root, "alerts")
}
