package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-kit/log"

	"github.com/grapevine-mesh/grapevine/test/bench/fleet"
)

// What serve prints is where it answers, and what it answers changes by itself.
func TestServe(t *testing.T) {
	t.Parallel()
	p, err := startBench("serve", "--nodes=20", "--series=30", "--change-interval=300ms")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := p.Stop(); err != nil || strings.Contains(p.Log(), "DATA RACE") {
			t.Errorf("%v\n%s", err, p.Log())
		}
	}()
	base, err := addressOf(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(p.Log(), "address="+base+"\n") || !strings.HasPrefix(base, "http://127.0.0.1:") {
		t.Errorf("it prints %q", p.Log())
	}
	for _, path := range []string{"/", "/metrics/local", "/api/v1/status", "/-/ready"} { // as of an agent
		resp, err := http.Get(base + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("%s is answered with %s", path, resp.Status)
		}
	}
	has := fleet.New(fleet.Shape{Nodes: 20, Series: 30, Own: 0.2}).Has
	seen := map[uint64]bool{}
	for deadline := time.Now().Add(time.Minute); len(seen) < 5; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("only %d different answers came", len(seen))
		}
		resp, err := http.Get(base + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		got, err := read(resp.Body, "text", has)
		_ = resp.Body.Close()
		if err != nil || got.samples != 600 {
			t.Fatalf("%d samples came, %v", got.samples, err)
		}
		seen[got.sum] = true
	}
}

// The check finds an answer that is not whole, not fresh, or cannot be read.
func TestCheck(t *testing.T) {
	t.Parallel()
	shape := fleet.Shape{Nodes: 7, Series: 100, Own: 0.2}
	asked := []form{{"text", "identity"}, {"text", "gzip"}, {"openmetrics", "identity"}, {"openmetrics", "gzip"}, {"protobuf", "identity"}}
	for name, handler := range map[string]func(*fleet.Fleet, log.Logger) http.Handler{"agent": agentHandler, "client": clientHandler} {
		shown := fleet.New(shape)
		srv := httptest.NewServer(handler(shown, log.NewNopLogger()))
		defer srv.Close()
		client := newScraper()
		defer client.close()
		for _, f := range asked {
			if err := client.check(t.Context(), srv.URL+"/metrics", f, shown); err != nil {
				t.Errorf("%s, %v: %v", name, f, err)
			}
			fewer := fleet.New(fleet.Shape{Nodes: 6, Series: 100, Own: 0.2})
			if err := client.check(t.Context(), srv.URL+"/metrics", f, fewer); err == nil || !strings.Contains(err.Error(), "700 samples") {
				t.Errorf("%s, %v: a node too many gives %v", name, f, err)
			}
			newer := fleet.New(shape)
			newer.ChangeAll()
			if err := client.check(t.Context(), srv.URL+"/metrics", f, newer); err == nil || !strings.Contains(err.Error(), "other values") {
				t.Errorf("%s, %v: a stale answer gives %v", name, f, err)
			}
		}
	}
}

// An answer that ends early, or in another form, is not taken for one.
func TestBadAnswers(t *testing.T) {
	t.Parallel()
	f := fleet.New(fleet.Shape{Nodes: 1, Series: 5})
	for name, c := range map[string]struct {
		form   form
		answer func(http.ResponseWriter)
		want   string
	}{
		"other format": {form{"openmetrics", "identity"}, func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", accepts["text"])
		}, "answered as"},
		"not compressed": {form{"text", "gzip"}, func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", accepts["text"])
		}, "answered as"},
		"error": {form{"text", "identity"}, func(w http.ResponseWriter) {
			http.Error(w, "too busy", http.StatusServiceUnavailable)
		}, "too busy"},
		"garbage": {form{"text", "identity"}, func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", accepts["text"])
			fmt.Fprintln(w, "}{")
		}, "parsing"},
		"no end": {form{"openmetrics", "identity"}, func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", accepts["openmetrics"]+";charset=utf-8")
			fmt.Fprintln(w, "# TYPE x gauge")
		}, "# EOF"},
		"cut off": {form{"text", "identity"}, func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", accepts["text"])
			w.Header().Set("Content-Length", "1000")
			fmt.Fprintln(w, "# TYPE x gauge")
		}, "EOF"},
	} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { c.answer(w) }))
		client := newScraper()
		if err := client.check(t.Context(), srv.URL, c.form, f); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: the check says %v, want %s", name, err, c.want)
		}
		if name != "garbage" && name != "no end" { // which only a parser sees
			if _, _, err := client.scrape(t.Context(), srv.URL, c.form); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: the scrape says %v, want %s", name, err, c.want)
			}
		}
		client.close()
		srv.Close()
	}
}

// A program that does not start says why.
func TestAddressOfNobody(t *testing.T) {
	t.Parallel()
	p, err := startBench("serve", "--listen=127.0.0.1:nowhere")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := addressOf(t.Context(), p); err == nil || !strings.Contains(err.Error(), "nowhere") {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if code := run(ctx, []string{"scrape", "--nodes=1", "--peers=grapevine"}, io.Discard, io.Discard); code != 1 {
		t.Errorf("a scrape that is cut short gives %d", code)
	}
}
