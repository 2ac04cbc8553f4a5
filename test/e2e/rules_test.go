package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	"github.com/grapevine-mesh/grapevine/test/real"
)

// loadedRules is what Prometheus says of its rules.
type loadedRules struct {
	Data struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Name, Type, Query, Health, LastError string
			}
		}
	}
}

// rulesAreEvaluated holds that a Prometheus which scrapes a healthy cluster
// evaluates every rule of alerts/ without an error, that recording rules give
// series, and that no alert is firing or on its way without a bad verdict.
func rulesAreEvaluated(t *testing.T, p *real.Prometheus) {
	t.Helper()
	recorded := map[string]bool{}
	eventually(t, "all rules are evaluated", func(ctx context.Context) error {
		loaded, err := rulesOf(ctx, p)
		if err != nil {
			return err
		}
		if n := len(loaded.Data.Groups); n < 10 {
			return fmt.Errorf("%d groups of rules are loaded", n)
		}
		for _, g := range loaded.Data.Groups {
			for _, r := range g.Rules {
				if r.Health != "ok" {
					return fmt.Errorf("%s of %s is %s: %s\n%s", r.Name, g.Name, r.Health, r.LastError, r.Query)
				}
				if r.Type == "recording" {
					recorded[r.Name] = true
				}
			}
		}
		return nil
	})
	delete(recorded, "node:grapevine_host_network_loss_ratio:min") // that check does not run here
	for name := range recorded {
		eventually(t, "there is "+name, func(ctx context.Context) error { return gives(ctx, p, name) })
	}
	const complete = `count(node_check_subject:grapevine_check_status:max) == count(grapevine_check_status)`
	eventually(t, "each verdict is one series", func(ctx context.Context) error { return gives(ctx, p, complete) })
	for _, expr := range []string{
		`ALERTS{alertname="GrapevineWatchdog", alertstate="firing"}`,
		`ALERTS{alertname="GrapevineScrapedOnManyNodes", alertstate="pending"}`, // this test has scraped all three
	} {
		eventually(t, "there is "+expr, func(ctx context.Context) error { return gives(ctx, p, expr) })
	}
	// A verdict may be bad on a machine that others use.
	const groundless = `ALERTS{alertname!~"GrapevineWatchdog|GrapevineScrapedOnManyNodes"} unless on (check, subject) grapevine_check_status > 0`
	eventually(t, "no other alert is on its way", func(ctx context.Context) error {
		others, err := p.Query(ctx, groundless)
		if err == nil && len(others) > 0 {
			err = fmt.Errorf("there are %v", others)
		}
		return err
	})
}

func gives(ctx context.Context, p *real.Prometheus, expr string) error {
	got, err := p.Query(ctx, expr)
	if err == nil && len(got) == 0 {
		err = fmt.Errorf("%s gives nothing", expr)
	}
	return err
}

func rulesOf(ctx context.Context, p *real.Prometheus) (loadedRules, error) {
	var loaded loadedRules
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.URL+"/api/v1/rules", nil)
	if err != nil {
		return loaded, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return loaded, err
	}
	defer resp.Body.Close()
	return loaded, json.NewDecoder(resp.Body).Decode(&loaded)
}
