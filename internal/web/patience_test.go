package web

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/grapevine-mesh/grapevine/mesh"
)

func TestPatience(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]struct {
		wait time.Duration
		told bool
	}{
		"": {writeTimeout, false}, "10": {10 * time.Second, true}, "0.25": {250 * time.Millisecond, true}, "1e1": {10 * time.Second, true},
		"0.000001": {minPatience, true}, "3600": {writeTimeout, true}, "Inf": {writeTimeout, true},
		"0": {writeTimeout, false}, "-3": {writeTimeout, false}, "NaN": {writeTimeout, false}, "soon": {writeTimeout, false},
		"10s": {writeTimeout, false}, "1e999": {writeTimeout, false}, "10, 20": {writeTimeout, false},
	} {
		r := httptest.NewRequest("GET", "/metrics", http.NoBody)
		r.Header.Set(scrapeTimeoutHeader, header)
		if wait, told := patience(r); wait != want.wait || told != want.told {
			t.Errorf("%q: %v %v, want %v %v", header, wait, told, want.wait, want.told)
		}
	}
	for wait, want := range map[time.Duration]time.Duration{
		10 * time.Second: 9 * time.Second, 4 * time.Second: 3 * time.Second, 400 * time.Millisecond: 300 * time.Millisecond,
	} {
		if got := reserved(wait); got != want {
			t.Errorf("of %v %v are for the work, want %v", wait, got, want)
		}
	}
}

// A client that does not read, or too slowly, is cut off when the time is up
// that it said it would wait. Until then it takes one place of those there
// are, and none after it. What it has got is not a whole answer.
func TestClientThatDoesNotRead(t *testing.T) {
	t.Parallel()
	const timeout = "0.5"
	configFile, pool := webConfig(t)
	for name, tc := range map[string]struct {
		tls bool
		ask func(t *testing.T, addr string) stuck
		// within is how long after its time a client may hold its place.
		within time.Duration
	}{
		"HTTP/1.1": {false, func(t *testing.T, addr string) stuck { return askHTTP1(t, dial(t, addr), 1, timeout) }, 0},
		"HTTP/1.0": {false, func(t *testing.T, addr string) stuck { return askHTTP1(t, dial(t, addr), 0, timeout) }, 0},
		"HTTP/1.0 over TLS": {true, func(t *testing.T, addr string) stuck {
			return askHTTP1(t, dialTLS(t, addr, pool, "http/1.1"), 0, timeout)
		}, 0},
		"HTTP/1.1 over TLS": {true, func(t *testing.T, addr string) stuck {
			return askHTTP1(t, dialTLS(t, addr, pool, "http/1.1"), 1, timeout)
		}, 0},
		"HTTP/1.1, slowly": {false, func(t *testing.T, addr string) stuck {
			return askHTTP1(t, slowConn{dial(t, addr)}, 1, timeout)
		}, 0},
		"HTTP/2, a stream that may not go on": {true, func(t *testing.T, addr string) stuck {
			return askHTTP2(t, dialTLS(t, addr, pool, "h2"), timeout, 65535)
		}, 0},
		"HTTP/2, nothing is read": {true, func(t *testing.T, addr string) stuck {
			return askHTTP2(t, dialTLS(t, addr, pool, "h2"), timeout, 1<<30)
		}, byteTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg, reg := config()
			cfg.MaxRequests = 1
			entered := make(chan struct{}, 1)
			cfg.View = func() mesh.View {
				select {
				case entered <- struct{}{}:
				default:
				}
				return bulkyView()
			}
			scheme, file := "http://", ""
			if tc.tls {
				scheme, file = "https://", configFile
			}
			addr, stop := serve(t, New(cfg), file)
			transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
			client := &http.Client{Transport: transport, Timeout: 20 * time.Second}
			code := func(path string) int {
				t.Helper()
				request, err := http.NewRequestWithContext(t.Context(), "GET", scheme+addr+path, http.NoBody)
				if err != nil {
					t.Fatal(err)
				}
				request.SetBasicAuth("prometheus", "secret")
				answer, err := client.Do(request)
				if err != nil {
					t.Fatal(err)
				}
				defer answer.Body.Close()
				if _, err := io.Copy(io.Discard, answer.Body); err != nil {
					t.Fatal(err)
				}
				return answer.StatusCode
			}

			start := time.Now()
			s := tc.ask(t, addr)
			slow := make(chan error, 1)
			if strings.HasSuffix(name, "slowly") {
				go func() { slow <- s.rest() }()
			}
			<-entered
			refused := 0
			for code("/metrics?node=nobody") == http.StatusServiceUnavailable {
				refused++
				if got := code("/-/healthy"); got != http.StatusOK {
					t.Errorf("healthy: %d", got)
				}
				if time.Since(start) > tc.within+20*time.Second {
					t.Fatal("it holds its place for ever")
				}
				time.Sleep(20 * time.Millisecond)
			}
			if held := time.Since(start); refused == 0 || held < 450*time.Millisecond {
				t.Errorf("its place was free after %v, with %d refused until then", held, refused)
			}
			if !strings.HasSuffix(name, "slowly") {
				slow <- s.rest()
			}
			if err := <-slow; err == nil {
				t.Error("it takes what it got for the whole")
			}
			if err := testutil.GatherAndCompare(reg, strings.NewReader(fmt.Sprintf(`
# HELP grapevine_web_unanswered_scrapes_total Scrapes without a whole answer, by reason: limit (as many were under way as --web.max-requests allows), peer_limit (the same, of other nodes that relay a scrape), or unfinished (the client went away or did not read in time).
# TYPE grapevine_web_unanswered_scrapes_total counter
grapevine_web_unanswered_scrapes_total{reason="limit"} %d
grapevine_web_unanswered_scrapes_total{reason="peer_limit"} 0
grapevine_web_unanswered_scrapes_total{reason="unfinished"} 1
`, refused)), "grapevine_web_unanswered_scrapes_total"); err != nil {
				t.Error(err)
			}
			_ = s.Close()
			transport.CloseIdleConnections()
			if err := stop(); err != nil {
				t.Error(err)
			}
		})
	}
}

// A client that has its answer may ask again over the same connection after
// the time that it had said.
func TestPatienceEndsWithTheScrape(t *testing.T) {
	t.Parallel()
	cfg, _ := config()
	configFile, pool := webConfig(t)
	for name, file := range map[string]string{"plain": "", "TLS": configFile} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := cfg
			cfg.Registry = prometheus.NewRegistry()
			addr, stop := serve(t, New(cfg), file)
			transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}
			url := "http://" + addr
			if file != "" {
				url = "https://" + addr
			}
			for i, path := range []string{"/metrics", "/metrics/local", "/api/v1/status", "/metrics"} {
				reused := false
				ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(c httptrace.GotConnInfo) { reused = c.Reused }})
				request, err := http.NewRequestWithContext(ctx, "GET", url+path, http.NoBody)
				if err != nil {
					t.Fatal(err)
				}
				request.SetBasicAuth("prometheus", "secret")
				request.Header.Set(scrapeTimeoutHeader, "1")
				answer, err := transport.RoundTrip(request)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, answer.Body); err != nil || answer.StatusCode != http.StatusOK || reused != (i > 0) {
					t.Errorf("%s: %d, %v; the connection was used before: %v", path, answer.StatusCode, err, reused)
				}
				answer.Body.Close()
				time.Sleep(1100 * time.Millisecond)
			}
			transport.CloseIdleConnections()
			if err := stop(); err != nil {
				t.Error(err)
			}
		})
	}
}

// An answer over HTTP/1.0, which ends with its connection, is whole even for a
// client that begins to read when the server is done with it.
func TestHTTP10(t *testing.T) {
	t.Parallel()
	cfg, _ := config()
	want := ask(New(cfg), "GET", "/metrics").Body.String()
	configFile, pool := webConfig(t)
	for name, file := range map[string]string{"plain": "", "TLS": configFile} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := cfg
			cfg.Registry = prometheus.NewRegistry()
			addr, stop := serve(t, New(cfg), file)
			c := dial(t, addr)
			if file != "" {
				c = tls.Client(c, &tls.Config{RootCAs: pool, ServerName: "127.0.0.1"})
			}
			if _, err := io.WriteString(c, "GET /metrics HTTP/1.0\r\nAuthorization: Basic cHJvbWV0aGV1czpzZWNyZXQ=\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			time.Sleep(200 * time.Millisecond)
			all, err := io.ReadAll(c)
			if _, body, _ := strings.Cut(string(all), "\r\n\r\n"); body != want || err != nil {
				t.Errorf("%d bytes, want %d: %v\n%s", len(body), len(want), err, body)
			}
			_ = c.Close()
			if err := stop(); err != nil {
				t.Error(err)
			}
		})
	}
}
