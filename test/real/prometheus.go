package real

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/api"
	promv1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"
)

// PrometheusOptions says what StartPrometheus makes. Binary and Dir are
// required.
type PrometheusOptions struct {
	Binary, Dir string
	Config      string   // YAML; empty: scrapes nothing
	ExtraArgs   []string // feature flags, for one
	Log         io.Writer
}

// Prometheus is a Prometheus server on loopback.
type Prometheus struct {
	*Process
	URL string

	config string // path of the configuration file
	api    promv1.API
}

// StartPrometheus returns when the server is ready to be queried. ctx bounds
// the start, not the life of the server.
func StartPrometheus(ctx context.Context, o PrometheusOptions) (*Prometheus, error) {
	o.Log = shared(o.Log)
	var p *Prometheus
	err := withFreshPorts(func() (err error) {
		p, err = startPrometheus(ctx, o)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("starting prometheus: %w", err)
	}
	return p, nil
}

func startPrometheus(ctx context.Context, o PrometheusOptions) (*Prometheus, error) {
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	p := &Prometheus{URL: loopbackURL("http", port), config: filepath.Join(o.Dir, "prometheus.yml")}
	if err := os.WriteFile(p.config, []byte(o.Config), 0o600); err != nil {
		return nil, fmt.Errorf("writing the configuration: %w", err)
	}
	client, err := api.NewClient(api.Config{Address: p.URL, Client: plainClient()})
	if err != nil {
		return nil, fmt.Errorf("making the client: %w", err)
	}
	p.api = promv1.NewAPI(client)
	p.Process = NewProcess(Command{Name: "prometheus", Path: o.Binary, Log: o.Log, Args: append([]string{
		"--config.file=" + p.config,
		"--storage.tsdb.path=" + filepath.Join(o.Dir, "tsdb"),
		"--web.listen-address=" + loopbackAddr(port),
		"--web.enable-lifecycle",
	}, o.ExtraArgs...)})
	if err := p.Start(); err != nil {
		return nil, err
	}
	if err := awaitReady(ctx, p.Process, answers200(plainClient(), p.URL+"/-/ready")); err != nil {
		return nil, errors.Join(err, p.Stop())
	}
	return p, nil
}

// Query evaluates expr now. It fails when the answer is not an instant vector.
func (p *Prometheus) Query(ctx context.Context, expr string) (model.Vector, error) {
	value, _, err := p.api.Query(ctx, expr, time.Time{})
	if err != nil {
		return nil, fmt.Errorf("querying %s: %w", expr, err)
	}
	vector, ok := value.(model.Vector)
	if !ok {
		return nil, fmt.Errorf("querying %s: the answer is a %s, not a vector", expr, value.Type())
	}
	return vector, nil
}

// QueryRange evaluates expr at every step from start to end.
func (p *Prometheus) QueryRange(ctx context.Context, expr string, start, end time.Time, step time.Duration) (model.Matrix, error) {
	value, _, err := p.api.QueryRange(ctx, expr, promv1.Range{Start: start, End: end, Step: step})
	if err != nil {
		return nil, fmt.Errorf("querying the range of %s: %w", expr, err)
	}
	matrix, ok := value.(model.Matrix)
	if !ok {
		return nil, fmt.Errorf("querying the range of %s: the answer is a %s, not a matrix", expr, value.Type())
	}
	return matrix, nil
}

// Reload makes config the server's configuration. A configuration that the
// server refuses is an error, and the old one stays in force.
func (p *Prometheus) Reload(ctx context.Context, config string) error {
	if err := os.WriteFile(p.config, []byte(config), 0o600); err != nil {
		return fmt.Errorf("writing the configuration: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.URL+"/-/reload", nil)
	if err != nil {
		return fmt.Errorf("reloading: %w", err)
	}
	resp, err := plainClient().Do(req)
	if err != nil {
		return fmt.Errorf("reloading: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
		return fmt.Errorf("reloading: %s: %s", resp.Status, body)
	}
	return nil
}
