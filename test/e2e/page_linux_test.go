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
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/common/model"

	"github.com/grapevine-mesh/grapevine/test/real"
)

// TestOnePage is the story as the person on call lives it: the disk below one
// etcd member becomes slow, the member and the API server that asks it go bad
// with it, and ONE page comes, which names the disk, on its node. Prometheus
// scrapes another node. Rules and configuration are those of alerts/, but for
// the time that passes: verdicts take as long as ever, each "for" is a tenth
// of what it is, and the first message of a group waits half as long.
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
			Config: fmt.Sprintf("checks:\n  etcd: {endpoints: [%q]}\n  disk: {paths: [%q]}\n  apiserver: {kubeconfig: %q, service_address: none}\n",
				m.ClientURL, m.DataDir, api.Kubeconfig),
		}))
		seeds = append(seeds, c.agents[i].Gossip)
	}
	// (No address of a Service: there is none, but a kube-proxy of other tests
	// may be seen on this machine.)
	inbox := newInbox(t)
	alertmanager := real.NeedAlertmanager(t, real.AlertmanagerOptions{Config: inbox.configuration(t)})
	prometheus := real.NeedPrometheus(t, real.PrometheusOptions{
		Config: scrapeConfig(c.agents[0], soonerRules(t)) +
			fmt.Sprintf("alerting: {alertmanagers: [{static_configs: [{targets: [%q]}]}]}\n", strings.TrimPrefix(alertmanager.URL, "http://")),
	})
	c.converged(c.agents...)

	eventually(t, "all is well", func(ctx context.Context) error {
		for _, check := range []string{"apiserver", "disk", "etcd"} {
			expr := fmt.Sprintf("count(count by (node) (grapevine_check_status{check=%q} == 0)) == %d", check, size)
			if got, err := prometheus.Query(ctx, expr); err != nil {
				return err
			} else if len(got) != 1 {
				return fmt.Errorf("%s: not so", expr)
			}
		}
		if bad, err := prometheus.Query(ctx, "grapevine_check_status > 0"); err != nil {
			return err
		} else if len(bad) > 0 {
			return fmt.Errorf("not well: %v", bad)
		}
		return nil
	})
	eventually(t, "the dead-man's switch is told that alerts arrive", func(context.Context) error {
		if len(inbox.at("/deadman")) == 0 {
			return errors.New("nothing arrived")
		}
		return nil
	})

	keepWriting(t, etcd.Members[(slow+1)%size].ClientURL)
	disk.Set(real.DiskFault{Fsync: 3 * time.Second})
	t.Cleanup(disk.Heal)
	began := time.Now()
	eventually(t, "somebody is paged", func(context.Context) error {
		if len(inbox.at("/pager")) == 0 {
			return errors.New("no page arrived")
		}
		return nil
	})
	// What follows from it is known, and held back by it, directly or by what
	// it holds back itself. The etcd member is a warning only as long as the two
	// others are well, but the API server would page.
	var apiKnown time.Time
	for _, name := range []string{"GrapevineAPIServerUnhealthy", "GrapevineEtcdUnhealthyFromNode"} {
		eventually(t, name+" is known, and held back", func(ctx context.Context) error {
			return heldBack(ctx, alertmanager, name)
		})
		if apiKnown.IsZero() {
			apiKnown = time.Now()
		}
	}
	time.Sleep(time.Until(apiKnown.Add(groupWait + 2*time.Second))) // its page would be here by then
	pages := inbox.at("/pager")
	if len(pages) != 1 || len(pages[0].Alerts) != 1 {
		t.Fatalf("%d pages within %v, want one, of one alert: %+v", len(pages), time.Since(began), pages)
	}
	page := pages[0].Alerts[0]
	if page.Labels["node"] != nodeName(slow) || page.Labels["alertname"] != "GrapevineDiskUnhealthy" || page.Labels["subject"] != disk.Dir {
		t.Errorf("the page is about %v, want the disk %s of %s", page.Labels, disk.Dir, nodeName(slow))
	}
	if says := page.Annotations["description"]; !strings.Contains(says, nodeName(slow)) || !strings.Contains(says, disk.Dir) {
		t.Errorf("the page says %q, which does not name %s on %s", says, disk.Dir, nodeName(slow))
	}
}

// keepWriting writes to an etcd member several times a second until the test
// ends, as a cluster does that is in use: an idle one may wait for its disk so
// seldom that the API server goes on as ever.
func keepWriting(t *testing.T, url string) {
	t.Helper()
	const put = `{"key": "d3JpdHRlbg==", "value": "YWdhaW4="}` // written: again
	ctx, cancel := context.WithCancel(t.Context())
	var done sync.WaitGroup
	t.Cleanup(func() {
		cancel()
		done.Wait()
	})
	done.Go(func() {
		for tick := time.Tick(200 * time.Millisecond); ctx.Err() == nil; <-tick {
			request, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/v3/kv/put", strings.NewReader(put))
			if err != nil {
				panic(err)
			}
			if answer, err := http.DefaultClient.Do(request); err == nil { // while there is no leader, none is written
				_ = answer.Body.Close()
			}
		}
	})
}

// heldBack returns nil when Alertmanager holds an alert of that name, and
// others keep it from being sent.
func heldBack(ctx context.Context, a *real.Alertmanager, name string) error {
	alerts, err := a.Alerts(ctx)
	if err != nil {
		return err
	}
	known := false
	for _, alert := range alerts {
		if alert.Labels["alertname"] != name {
			continue
		}
		known = true
		if alert.Status.State != "suppressed" || len(alert.Status.InhibitedBy) == 0 {
			return fmt.Errorf("%v is %+v", alert.Labels, alert.Status)
		}
	}
	if !known {
		return fmt.Errorf("no %s among %v", name, alerts)
	}
	return nil
}

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

	mu       sync.Mutex           // guards messages
	messages map[string][]message // in the order in which they came
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
	example, err := os.ReadFile(filepath.Join(filepath.Dir(filepath.Dir(alertRules(t))), "alertmanager.yaml"))
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
	config = shorter(t, config, "group_wait", 2)
	if !strings.Contains(config, "group_wait: "+groupWait.String()) {
		t.Fatalf("no group waits %v", groupWait)
	}
	return config
}

// groupWait is half of what alerts/alertmanager.yaml says.
const groupWait = 15 * time.Second

// shorter divides the durations of the key in a YAML file.
func shorter(t *testing.T, config, key string, divisor model.Duration) string {
	t.Helper()
	return regexp.MustCompile(`(?m)^ *`+key+`: ([0-9smhd]+)`).ReplaceAllStringFunc(config, func(line string) string {
		name, value, _ := strings.Cut(line, ": ")
		d, err := model.ParseDuration(value)
		if err != nil {
			t.Fatal(err)
		}
		return name + ": " + (d / divisor).String()
	})
}

// soonerRules are the files of rules in alerts/, with less time to wait.
func soonerRules(t *testing.T) string {
	t.Helper()
	files, err := filepath.Glob(alertRules(t))
	if err != nil || len(files) == 0 {
		t.Fatal("no rules: ", err)
	}
	dir := t.TempDir()
	for _, file := range files {
		rules, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(file)), []byte(shorter(t, string(rules), "for", 10)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "*.yaml")
}
