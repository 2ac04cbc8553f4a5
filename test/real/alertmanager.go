package real

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
)

// AlertmanagerOptions says what StartAlertmanager makes. Binary, Dir and
// Config are required.
type AlertmanagerOptions struct {
	Binary, Dir string
	Config      string // YAML
	Log         io.Writer
}

// Alertmanager is an Alertmanager on loopback, without peers.
type Alertmanager struct {
	*Process
	URL string
}

// StartAlertmanager returns when the server is ready to take alerts. ctx
// bounds the start, not the life of the server.
func StartAlertmanager(ctx context.Context, o AlertmanagerOptions) (*Alertmanager, error) {
	o.Log = shared(o.Log)
	var a *Alertmanager
	err := withFreshPorts(func() (err error) {
		a, err = startAlertmanager(ctx, o)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("starting alertmanager: %w", err)
	}
	return a, nil
}

func startAlertmanager(ctx context.Context, o AlertmanagerOptions) (*Alertmanager, error) {
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	a := &Alertmanager{URL: loopbackURL("http", port)}
	config := filepath.Join(o.Dir, "alertmanager.yml")
	if err := os.WriteFile(config, []byte(o.Config), 0o600); err != nil {
		return nil, fmt.Errorf("writing the configuration: %w", err)
	}
	a.Process = NewProcess(Command{Name: "alertmanager", Path: o.Binary, Log: o.Log, Args: []string{
		"--config.file=" + config,
		"--storage.path=" + filepath.Join(o.Dir, "alertmanager"),
		"--web.listen-address=" + loopbackAddr(port),
		"--cluster.listen-address=", // no peers
	}})
	if err := a.Start(); err != nil {
		return nil, err
	}
	if err := awaitReady(ctx, a.Process, answers200(plainClient(), a.URL+"/-/ready")); err != nil {
		return nil, errors.Join(err, a.Stop())
	}
	return a, nil
}

// HeldAlert is an alert as Alertmanager holds it.
type HeldAlert struct {
	Labels, Annotations map[string]string
	Fingerprint         string
	Status              struct {
		State                   string   // active, suppressed or unprocessed
		InhibitedBy, SilencedBy []string // fingerprints of alerts, identities of silences
	}
}

// Alerts are those that Alertmanager holds and that have not ended.
func (a *Alertmanager) Alerts(ctx context.Context) ([]HeldAlert, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.URL+"/api/v2/alerts", nil)
	if err != nil {
		return nil, fmt.Errorf("asking for alerts: %w", err)
	}
	resp, err := plainClient().Do(req)
	if err != nil {
		return nil, fmt.Errorf("asking for alerts: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("asking for alerts: %s", resp.Status)
	}
	var alerts []HeldAlert
	if err := json.NewDecoder(resp.Body).Decode(&alerts); err != nil {
		return nil, fmt.Errorf("reading the alerts: %w", err)
	}
	return alerts, nil
}
