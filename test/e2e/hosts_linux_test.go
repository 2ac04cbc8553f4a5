package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/grapevine-mesh/grapevine/test/netsim"
	"github.com/grapevine-mesh/grapevine/test/real"
)

// The ports of an agent, each on a host of its own.
const (
	hostWeb      = "127.0.0.1:9797"
	hostGossip   = 7996
	hostExchange = 7997
)

// hosts are agents on hosts of their own, on one switch.
type hosts struct {
	*netsim.Hosts
	t      *testing.T
	agents []*hostAgent // of host 1 and so on
}

// hostAgent is the agent of one host.
type hostAgent struct {
	*real.Process
	host *netsim.Host
	http *http.Client
}

// newHosts starts an agent on each of count hosts. All of them have joined the
// first.
func newHosts(t *testing.T, count int, args ...string) *hosts {
	t.Helper()
	h := &hosts{Hosts: netsim.NeedHosts(t, netsim.HostsOptions{Count: count}), t: t}
	binary := real.Binary(t, "grapevine")
	for i := 1; i <= count; i++ {
		host := h.Host(i)
		storage := filepath.Join(t.TempDir(), host.Name)
		if err := os.Mkdir(storage, 0o700); err != nil {
			t.Fatal(err)
		}
		cmd := host.Command(binary, append([]string{
			"agent", "--node.name=" + host.Name, "--storage.path=" + storage, "--mesh.insecure",
			"--web.listen-address=" + hostWeb,
			fmt.Sprintf("--mesh.bind=%s:%d", host.Addr, hostGossip),
			fmt.Sprintf("--mesh.exchange=%s:%d", host.Addr, hostExchange),
			"--echo.listen-address=" + host.Addr.String() + ":7998",
			fmt.Sprintf("--mesh.join=%s:%d", h.Host(1).Addr, hostGossip),
			"--collector.disable-defaults", "--collector.mesh",
		}, args...)...)
		a := &hostAgent{
			Process: real.NewProcess(real.Command{Name: host.Name, Path: cmd.Path, Args: cmd.Args[1:]}),
			host:    host,
		}
		a.http = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DialContext: a.dial}}
		if err := a.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			a.http.CloseIdleConnections()
			if err := a.Stop(); err != nil {
				t.Error(err)
			}
			if t.Failed() {
				t.Logf("log of %s:\n%s", host.Name, a.Log())
			}
		})
		h.agents = append(h.agents, a)
	}
	return h
}

// dial opens the connection from within the host.
func (a *hostAgent) dial(_ context.Context, network, address string) (c net.Conn, err error) {
	err = a.host.Do(func() error {
		c, err = net.DialTimeout(network, address, 5*time.Second)
		return err
	})
	return c, err
}

func (a *hostAgent) get(ctx context.Context, path string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+hostWeb+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := a.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("asking %s: %w", a.host.Name, err)
	}
	if resp.StatusCode != http.StatusOK {
		_ = resp.Body.Close()
		return nil, fmt.Errorf("asking %s for %s: %s", a.host.Name, path, resp.Status)
	}
	return resp, nil
}

// scrape returns the values of a family by the label node; those of a family
// with more labels are of any series.
func (a *hostAgent) scrape(ctx context.Context) (map[string]*dto.MetricFamily, error) {
	resp, err := a.get(ctx, "/metrics")
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	return parser.TextToMetricFamilies(resp.Body)
}

// byNode are the values of a family that has one series a node.
func byNode(f *dto.MetricFamily) map[string]float64 {
	values := map[string]float64{}
	for _, m := range f.GetMetric() {
		for _, l := range m.GetLabel() {
			if l.GetName() == "node" {
				values[l.GetValue()] = m.GetGauge().GetValue() + m.GetUntyped().GetValue()
			}
		}
	}
	return values
}

// hostStatus is what the tests read of the answer to grapevine status.
type hostStatus struct {
	Status    string
	Partition struct {
		Known, Up int
		Reached   []string
		OtherSide []string `json:"other_side"`
		Down      []string
		Since     time.Time
		View      uint32
		Findings  []struct{ Kind, Status, Reason string }
	}
	Problems []struct{ Node, Check, Subject, Status, Reason string }
	Nodes    []struct {
		Node      string
		Member    string
		Up        bool
		Observers struct {
			Looking int
			Failing []string
		}
	}
}

func (a *hostAgent) status(ctx context.Context) (s hostStatus, err error) {
	resp, err := a.get(ctx, "/api/v1/status")
	if err != nil {
		return s, err
	}
	defer func() { _ = resp.Body.Close() }()
	return s, json.NewDecoder(resp.Body).Decode(&s)
}

// grapevine runs the command line on the host.
func (a *hostAgent) grapevine(t *testing.T, args ...string) (stdout string, code int) {
	t.Helper()
	cmd := a.host.Command(real.Binary(t, "grapevine"), args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	t.Logf("%s: grapevine %v: exit code %d\n%s", a.host.Name, args, cmd.ProcessState.ExitCode(), &out)
	return out.String(), cmd.ProcessState.ExitCode()
}

// every asks all of agents at once and returns the first complaint.
func every(ctx context.Context, agents []*hostAgent, check func(context.Context, *hostAgent) error) error {
	for _, a := range agents {
		if err := check(ctx, a); err != nil {
			return fmt.Errorf("%s: %w", a.host.Name, err)
		}
	}
	return nil
}
