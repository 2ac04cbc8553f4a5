package web

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/grapevine-mesh/grapevine/health"
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

// bulkyView makes an answer that no socket's buffers hold.
var bulkyView = sync.OnceValue(func() mesh.View {
	family := health.Family{Name: "grapevine_bulk", Help: "Much.", Type: health.Gauge}
	for i := range 1000 {
		label := health.Label{Name: "series", Value: fmt.Sprintf("%0200d", i)}
		family.Series = append(family.Series, health.Series{Labels: []health.Label{label}})
	}
	schema := &health.Schema{Version: "1.2.3", Families: []health.Family{family}}
	v := mesh.View{Self: "n000"}
	for i := range 100 {
		name := fmt.Sprintf("n%03d", i)
		v.Nodes = append(v.Nodes, mesh.Node{
			Name: name, Up: true, Snapshot: &health.Snapshot{Node: name, Schema: schema, Values: make([]float64, 1000)},
		})
	}
	return v
})

// stuck is a client that has asked for much and does not read it in time.
// rest reads what there is after all, and returns nil if that is a whole
// answer.
type stuck struct {
	io.Closer
	rest func() error
}

// askHTTP1 sends a request over c.
func askHTTP1(t *testing.T, c net.Conn, minor int, patience string) stuck {
	t.Helper()
	_, err := fmt.Fprintf(c, "GET /metrics HTTP/1.%d\r\nHost: x\r\nAuthorization: Basic cHJvbWV0aGV1czpzZWNyZXQ=\r\n%s: %s\r\n\r\n", minor, scrapeTimeoutHeader, patience)
	if err != nil {
		t.Fatal(err)
	}
	return stuck{c, func() error {
		answer, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		_, err = io.Copy(io.Discard, answer.Body)
		return err
	}}
}

// askHTTP2 sends a request over c, and that window bytes may come in answer.
func askHTTP2(t *testing.T, c net.Conn, patience string, window uint32) stuck {
	t.Helper()
	var fields bytes.Buffer
	encoder := hpack.NewEncoder(&fields)
	for _, f := range [][2]string{
		{":method", "GET"}, {":scheme", "https"}, {":path", "/metrics"}, {":authority", "x"},
		{"authorization", "Basic cHJvbWV0aGV1czpzZWNyZXQ="}, {strings.ToLower(scrapeTimeoutHeader), patience},
	} {
		if err := encoder.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}); err != nil {
			t.Fatal(err)
		}
	}
	_, err := io.WriteString(c, http2.ClientPreface)
	framer := http2.NewFramer(c, c)
	err = errors.Join(err,
		framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: window}),
		framer.WriteSettingsAck(),
		framer.WriteWindowUpdate(0, 1<<30),
		framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: fields.Bytes(), EndHeaders: true, EndStream: true}))
	if err != nil {
		t.Fatal(err)
	}
	return stuck{c, func() error {
		for {
			frame, err := framer.ReadFrame()
			if err != nil {
				return err
			}
			switch f := frame.(type) {
			case *http2.RSTStreamFrame:
				return http2.StreamError{StreamID: f.StreamID, Code: f.ErrCode}
			case *http2.DataFrame:
				if f.StreamEnded() {
					return nil
				}
			}
		}
	}}
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return c
}

func dialTLS(t *testing.T, addr string, pool *x509.CertPool, protocol string) net.Conn {
	t.Helper()
	c := tls.Client(dial(t, addr), &tls.Config{RootCAs: pool, ServerName: "127.0.0.1", NextProtos: []string{protocol}})
	if err := c.HandshakeContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := c.ConnectionState().NegotiatedProtocol; got != protocol {
		t.Fatalf("%s is spoken, not %s", got, protocol)
	}
	return c
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
			c := dial(t, addr)
			s := askHTTP1(t, c, 1, timeout)
			whole := s.rest
			s.rest = func() error { // 1 MB/s, of 20 MB
				_, err := http.ReadResponse(bufio.NewReader(c), nil)
				for buf := make([]byte, 10<<10); err == nil; time.Sleep(10 * time.Millisecond) {
					_, err = io.ReadFull(c, buf)
				}
				return errors.Join(err, whole())
			}
			return s
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
