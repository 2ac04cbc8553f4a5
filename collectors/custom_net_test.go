package collectors

import (
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
)

func site(t *testing.T) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("/ok", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "all 17 shards are green") })
	mux.HandleFunc("/bad", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "out of order", http.StatusServiceUnavailable)
	})
	mux.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/ok", http.StatusFound) })
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s %s %s", r.Method, r.Host, r.Header.Get("X-Token"), r.Header.Get("Authorization"))
	})
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-time.After(300 * time.Millisecond):
		}
		fmt.Fprint(w, "at last")
	})
	mux.HandleFunc("/drip", func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			fmt.Fprint(w, "x")
			_ = http.NewResponseController(w).Flush()
			time.Sleep(50 * time.Millisecond)
		}
	})
	mux.HandleFunc("/endless", func(w http.ResponseWriter, _ *http.Request) {
		for block := make([]byte, 64<<10); ; {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server
}

func TestCustomHTTP(t *testing.T) {
	t.Parallel()
	url := site(t).URL
	short := Timing{Interval: 2 * time.Second, Timeout: time.Second}
	for name, tc := range map[string]struct {
		entry  customEntry
		status health.Status
		words  string
	}{
		"ok":                {customEntry{HTTP: &customHTTP{URL: url + "/ok"}}, health.OK, ""},
		"contains":          {customEntry{HTTP: &customHTTP{URL: url + "/ok", Contains: "green"}}, health.OK, ""},
		"does not contain":  {customEntry{HTTP: &customHTTP{URL: url + "/ok", Contains: "yellow"}}, health.Critical, `/ok answers without "yellow": all 17 shards are green`},
		"matches":           {customEntry{HTTP: &customHTTP{URL: url + "/ok", Matches: `\d+ shards`}}, health.OK, ""},
		"does not match":    {customEntry{HTTP: &customHTTP{URL: url + "/ok", Matches: `^\d+ shards`}}, health.Critical, "nothing that matches"},
		"a bad status":      {customEntry{HTTP: &customHTTP{URL: url + "/bad"}}, health.Critical, "answers status 503: out of order"},
		"only a warning":    {customEntry{Severity: "warning", HTTP: &customHTTP{URL: url + "/bad"}}, health.Warning, "503"},
		"the wanted status": {customEntry{HTTP: &customHTTP{URL: url + "/bad", Status: []int{200, 503}}}, health.OK, ""},
		"a redirect":        {customEntry{HTTP: &customHTTP{URL: url + "/moved"}}, health.Critical, "answers status 302"},
		"HEAD":              {customEntry{HTTP: &customHTTP{URL: url + "/ok", Method: "HEAD"}}, health.OK, ""},
		"headers": {customEntry{HTTP: &customHTTP{URL: url + "/echo", Headers: map[string]string{"x-token": "abc", "Host": "example.org"}, Contains: "GET example.org abc "}},
			health.OK, ""},
		"slow":        {customEntry{HTTP: &customHTTP{URL: url + "/slow", Thresholds: customHTTPThresholds{Latency: DurationLimits{Warning: 200 * time.Millisecond, Critical: time.Minute}}}}, health.Warning, "/slow took 0."},
		"too slow":    {customEntry{Timing: short, HTTP: &customHTTP{URL: url + "/drip"}}, health.Critical, "fails: no answer within"},
		"endless":     {customEntry{HTTP: &customHTTP{URL: url + "/endless"}}, health.Critical, "larger than 1 MiB"},
		"nobody":      {customEntry{HTTP: &customHTTP{URL: "http://127.0.0.1:1/"}}, health.Critical, "connection refused"},
		"no TLS":      {customEntry{HTTP: &customHTTP{URL: strings.Replace(url, "http:", "https:", 1)}}, health.Critical, "fails: "},
		"no CA file":  {customEntry{HTTP: &customHTTP{URL: url, CAFile: "/no/such/file"}}, health.Unknown, "was not asked: reading CA file"},
		"wrong place": {customEntry{HTTP: &customHTTP{URL: url + "/nowhere"}}, health.Critical, "404"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := one(t, tc.entry)
			s.expect(t, "mine", tc.status, tc.words)
		})
	}
	s := one(t, customEntry{HTTP: &customHTTP{URL: url + "/bad", Headers: map[string]string{"Authorization": "Bearer hunter2"}}})
	if s.value(t, &customHTTPStatus, "mine") != 503 || s.value(t, &customHTTPPhase, "mine", "answer") <= 0 || strings.Contains(fmt.Sprint(s), "hunter2") {
		t.Errorf("%+v", s)
	}
}

func TestCustomHTTPCertificate(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "fine") }))
	t.Cleanup(server.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	must(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600))
	expiry := server.Certificate().NotAfter
	s := one(t, customEntry{HTTP: &customHTTP{URL: server.URL, CAFile: ca}})
	s.expect(t, "mine", health.OK)
	if s.value(t, &customExpiry, "mine") != float64(expiry.Unix()) || s.value(t, &customHTTPPhase, "mine", "tls") <= 0 {
		t.Errorf("samples %+v", s.samples)
	}
	left := func(warning, critical time.Duration) *customHTTP {
		return &customHTTP{URL: server.URL, CAFile: ca, Thresholds: customHTTPThresholds{CertificateLeft: &DurationLimits{Warning: warning, Critical: critical}}}
	}
	until := time.Until(expiry)
	one(t, customEntry{HTTP: left(until+time.Hour, time.Hour)}).expect(t, "mine", health.Warning, "has a certificate that expires in ", " days")
	one(t, customEntry{HTTP: left(until+2*time.Hour, until+time.Hour)}).expect(t, "mine", health.Critical, "expires in")
	one(t, customEntry{HTTP: left(0, 0)}).expect(t, "mine", health.OK)
	s = one(t, customEntry{HTTP: &customHTTP{URL: server.URL}})
	s.expect(t, "mine", health.Critical, "certificate signed by unknown authority")
	if s.value(t, &customExpiry, "mine") != float64(expiry.Unix()) {
		t.Error("the expiry of a refused certificate is not told")
	}
}

// talker answers each connection by f.
func talker(t *testing.T, f func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			f(conn)
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return l.Addr().String()
}

func TestCustomTCP(t *testing.T) {
	t.Parallel()
	says := func(text string) func(net.Conn) {
		return func(c net.Conn) {
			buffer := make([]byte, 100)
			_ = c.SetDeadline(time.Now().Add(time.Second))
			_, _ = c.Read(buffer)
			for _, part := range strings.SplitAfter(text, " ") { // it may come in pieces
				_, _ = fmt.Fprint(c, part)
				time.Sleep(time.Millisecond)
			}
		}
	}
	silent := func(c net.Conn) { _, _ = c.Read(make([]byte, 100)); _, _ = c.Read(make([]byte, 100)) }
	redis, mute := talker(t, says("+PONG it is")), talker(t, silent)
	flood := talker(t, func(c net.Conn) { _, _ = c.Write([]byte(strings.Repeat("x", 1<<20))) })
	short := Timing{Interval: 2 * time.Second, Timeout: 500 * time.Millisecond}
	for name, tc := range map[string]struct {
		entry  customEntry
		status health.Status
		words  string
	}{
		"connects":       {customEntry{TCP: &customTCP{Address: redis}}, health.OK, ""},
		"answers":        {customEntry{TCP: &customTCP{Address: redis, Send: "PING\r\n", Expect: "PONG it"}}, health.OK, ""},
		"answers wrong":  {customEntry{TCP: &customTCP{Address: redis, Send: "PING\r\n", Expect: "PANG"}}, health.Critical, `without "PANG"; it said: "+PONG it is"`},
		"says nothing":   {customEntry{Timing: short, TCP: &customTCP{Address: mute, Send: "PING\r\n", Expect: "PONG"}}, health.Critical, `did not say "PONG": no answer within`},
		"says too much":  {customEntry{TCP: &customTCP{Address: flood, Expect: "PONG"}}, health.Critical, "first 4096 bytes"},
		"nobody":         {customEntry{TCP: &customTCP{Address: "127.0.0.1:1"}}, health.Critical, "cannot be connected to: connection refused"},
		"only a warning": {customEntry{Severity: "warning", TCP: &customTCP{Address: "127.0.0.1:1"}}, health.Warning, "connection refused"},
		"no such name":   {customEntry{TCP: &customTCP{Address: "no-such-name.invalid:80"}}, health.Critical, "cannot be connected to: "},
		"slow":           {customEntry{TCP: &customTCP{Address: redis, Thresholds: customTCPThresholds{DurationLimits{Warning: time.Nanosecond}}}}, health.Warning, "took "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			one(t, tc.entry).expect(t, "mine", tc.status, tc.words)
		})
	}
	if one(t, customEntry{TCP: &customTCP{Address: redis}}).value(t, &customConnect, "mine") <= 0 {
		t.Error("no time of connecting")
	}
}
