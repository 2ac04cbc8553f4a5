package real

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// AgentOptions says what StartAgent makes. Binary, Dir and Name are required.
type AgentOptions struct {
	Binary, Dir string // the agent's files are in Dir/Name
	Name        string
	Config      string   // YAML; empty: all defaults
	Join        []string // gossip addresses of others, up or not
	Checks      []string // those that run; nil: all whose subject is here
	In          *Host    // nil: this machine
	Address     string   // ports are bound to it, that of the echo to every address; empty: all to loopback
	ExtraArgs   []string
	Env         []string // nil: the environment of this program
	Log         io.Writer
}

// Agent is a grapevine agent on loopback, run as a process of its own.
type Agent struct {
	*Process
	Name       string
	URL        string // of the web interface
	Gossip     string // host:port for others to join
	Exchange   string // host:port
	ConfigFile string
	Storage    string // directory
}

// StartAgent returns when the agent is healthy; whom it has found by then is
// another matter. ctx bounds the start, not the life of the agent.
func StartAgent(ctx context.Context, o AgentOptions) (*Agent, error) {
	o.Log = shared(o.Log)
	var a *Agent
	err := withFreshPorts(func() (err error) {
		a, err = startAgent(ctx, o)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("starting agent %s: %w", o.Name, err)
	}
	return a, nil
}

func startAgent(ctx context.Context, o AgentOptions) (*Agent, error) {
	ports, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(o.Dir, fileName(o.Name))
	echo := ":0"
	if o.Address == "" {
		o.Address, echo = "127.0.0.1", "127.0.0.1:0"
	}
	at := func(port int) string { return net.JoinHostPort(o.Address, strconv.Itoa(port)) }
	a := &Agent{
		Name:       o.Name,
		URL:        "http://" + at(ports[0]),
		Gossip:     at(ports[1]),
		Exchange:   at(ports[2]),
		ConfigFile: filepath.Join(dir, "grapevine.yml"),
		Storage:    filepath.Join(dir, "storage"),
	}
	if err := os.MkdirAll(a.Storage, 0o700); err != nil {
		return nil, fmt.Errorf("making the storage: %w", err)
	}
	if err := os.WriteFile(a.ConfigFile, []byte(o.Config), 0o600); err != nil {
		return nil, fmt.Errorf("writing the configuration: %w", err)
	}
	args := []string{
		"agent",
		"--node.name=" + o.Name,
		"--storage.path=" + a.Storage,
		"--config.file=" + a.ConfigFile,
		"--web.listen-address=" + at(ports[0]),
		"--mesh.bind=" + a.Gossip,
		"--mesh.exchange=" + a.Exchange,
		"--echo.listen-address=" + echo,
	}
	if o.Checks != nil {
		args = append(args, "--collector.disable-defaults")
		for _, name := range o.Checks {
			args = append(args, "--collector."+name)
		}
	}
	for _, address := range o.Join {
		args = append(args, "--mesh.join="+address)
	}
	a.Process = NewProcess(Command{
		Name: o.Name, Path: o.Binary, Args: append(args, o.ExtraArgs...), Env: o.Env, Log: o.Log, In: o.In,
	})
	if err := a.Start(ctx); err != nil {
		return nil, errors.Join(err, a.Stop())
	}
	return a, nil
}

// Start runs an agent that has ended again, with the same ports and storage,
// and returns when it is healthy.
func (a *Agent) Start(ctx context.Context) error {
	if err := a.Process.Start(); err != nil {
		return err
	}
	return awaitReady(ctx, a.Process, answers200(plainClient(), a.URL+"/-/healthy"))
}

// Scrape gets path, "/metrics" for one, as text and returns its families.
func (a *Agent) Scrape(ctx context.Context, path string) (map[string]*dto.MetricFamily, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.URL+path, nil)
	if err != nil {
		return nil, fmt.Errorf("scraping %s: %w", a.Name, err)
	}
	resp, err := plainClient().Do(req)
	if err != nil {
		return nil, fmt.Errorf("scraping %s: %w", a.Name, err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
		return nil, fmt.Errorf("scraping %s: %s: %s", a.Name, resp.Status, body)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("scraping %s: %w", a.Name, err)
	}
	return families, nil
}
