package collectors

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/test/real"
)

// badServers answer a connection in ways that no component does. Each is a
// word or two, and what it does until the connection ends.
var badServers = []struct {
	name  string
	serve func(conn net.Conn)
}{
	{"closes at once", func(net.Conn) {}},
	{"resets", func(conn net.Conn) { _ = conn.(*net.TCPConn).SetLinger(0) }},
	{"never answers", func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }},
	{"SSH", func(conn net.Conn) {
		say(conn, "SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n")
		_, _ = io.Copy(io.Discard, conn)
	}},
	{"HTTP/0.9", func(conn net.Conn) { say(conn, "<html>It works!</html>\n") }},
	{"HTML", func(conn net.Conn) {
		answer(conn, "Content-Type: text/html\r\nContent-Length: 23\r\n", "<html>It works!</html>\n")
	}},
	{"terminal codes", func(conn net.Conn) {
		answer(conn, "Content-Type: \x1b[31mred\x07\r\nContent-Length: 24\r\n", "\x1b]0;owned\x07\x00\xff\xfe\r\nsecond line")
	}},
	{"deep JSON", func(conn net.Conn) {
		deep := strings.Repeat(`{"a":[`, 100_000)
		answer(conn, fmt.Sprintf("Content-Type: application/json\r\nContent-Length: %d\r\n", len(deep)), deep)
	}},
	{"redirect loop", func(conn net.Conn) {
		request(conn)
		say(conn, "HTTP/1.1 302 Found\r\nLocation: /livez\r\nContent-Length: 0\r\n\r\n")
	}},
	{"endless body", func(conn net.Conn) {
		answer(conn, "Content-Type: text/plain\r\n", "")
		endlessly(conn, strings.Repeat("etcd_server_has_leader 1\n[+]ping ok\n", 1000))
	}},
	{"endless line", func(conn net.Conn) { answer(conn, "", ""); endlessly(conn, strings.Repeat("x", 64<<10)) }},
	{"endless headers", func(conn net.Conn) {
		request(conn)
		say(conn, "HTTP/1.1 200 OK\r\n")
		endlessly(conn, strings.Repeat("X-More: of the same\r\n", 1000))
	}},
	{"endless header", func(conn net.Conn) {
		request(conn)
		say(conn, "HTTP/1.1 200 OK\r\nX-More: ")
		endlessly(conn, strings.Repeat("x", 64<<10))
	}},
	{"endless continue", func(conn net.Conn) { request(conn); endlessly(conn, "HTTP/1.1 100 Continue\r\n\r\n") }},
	{"gzip bomb", func(conn net.Conn) {
		answer(conn, fmt.Sprintf("Content-Type: text/plain\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n", len(bomb())), bomb())
	}},
	{"less than promised", func(conn net.Conn) { answer(conn, "Content-Length: 100\r\n", "[+]ping ok\n") }},
	{"drips the body", func(conn net.Conn) { answer(conn, "", ""); drip(conn, "[") }},
	{"drips the header", func(conn net.Conn) { request(conn); drip(conn, "HTTP/1.1 200 OK\r\nX: y\r\n") }},
}

// bomb is 64 MiB in 64 KiB.
var bomb = sync.OnceValue(func() string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	for range 64 {
		_, _ = w.Write(make([]byte, 1<<20))
	}
	_ = w.Close()
	return b.String()
})

func say(conn net.Conn, text string) { _, _ = io.WriteString(conn, text) }

// request reads what came until now, a request as a rule.
func request(conn net.Conn) { _, _ = conn.Read(make([]byte, 64<<10)) }

func answer(conn net.Conn, header, body string) {
	request(conn)
	say(conn, "HTTP/1.1 200 OK\r\n"+header+"\r\n"+body)
}

func endlessly(conn net.Conn, text string) {
	content := []byte(text) // once: the memory of this is seen, too
	for {
		if _, err := conn.Write(content); err != nil {
			return
		}
	}
}

// drip sends one byte a second, the text over and over.
func drip(conn net.Conn, text string) {
	for i := 0; ; i++ {
		if _, err := conn.Write([]byte{text[i%len(text)]}); err != nil {
			return
		}
		time.Sleep(time.Second)
	}
}

// serveBadly listens, and returns host:port.
func serveBadly(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	var serving sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, conn)
			mu.Unlock()
			serving.Go(func() { serve(conn); _ = conn.Close() })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		for _, conn := range open {
			_ = conn.Close()
		}
		mu.Unlock()
		serving.Wait()
	})
	return l.Addr().String()
}

// badInputMemory bounds what a run may allocate on a server that sends without
// end, in bytes: five answers of a MiB each, read into a buffer that doubles.
const badInputMemory = 32 << 20

// TestBadInput: whatever answers, there is a verdict with a reason, in time,
// and in little memory. It runs alone, as it looks at the program's memory.
func TestBadInput(t *testing.T) {
	away(t)
	bomb() // takes its time and memory once
	etcd := real.NeedEtcd(t, real.EtcdOptions{})
	for _, asking := range []struct {
		check   string
		subject func(host string) string
		status  health.Status
		begins  string // of the reason
		new     func(host string) Settings
	}{
		{"apiserver", itself, health.Critical, "API server ", func(host string) Settings {
			s := defaultAPIServerSettings()
			s.Endpoints = []string{"http://" + host}
			return s
		}},
		{"etcd", itself, health.Critical, "etcd endpoint ", func(host string) Settings {
			s := defaultEtcdSettings()
			s.Endpoints = []string{"http://" + host}
			return s
		}},
		{"etcd's metrics", func(string) string { return hostOf(t, etcd.Endpoints()[0]) }, health.Unknown, "etcd member ", func(host string) Settings {
			s := patient(defaultEtcdSettings())
			s.Endpoints, s.MetricsURLs = etcd.Endpoints(), []string{"http://" + host}
			return s
		}},
		{"scheduler", itself, health.Critical, "kube-scheduler at ", func(host string) Settings {
			s := schedulerSpec().Settings().(*electedSettings)
			s.Endpoints, s.LeaderElection = []string{"http://" + host}, false
			return s
		}},
		{"kubelet", func(string) string { return "healthz" }, health.Critical, "", func(host string) Settings {
			s := defaultKubeletSettings()
			s.HealthURL = "http://" + host
			return s
		}},
		{"custom", func(string) string { return "own" }, health.Critical, "", func(host string) Settings {
			s := customSpec().Settings().(*customSettings)
			s.Checks = []customEntry{{Name: "own", HTTP: &customHTTP{URL: "http://" + host, Contains: "all is well"}}}
			return s
		}},
	} {
		for _, bad := range badServers {
			t.Run(asking.check+"/"+bad.name, func(t *testing.T) {
				host := serveBadly(t, bad.serve)
				check := newCheck(t, asking.new(host))
				if parts, ok := check.(interface{ Parts() []Part }); ok {
					check = parts.Parts()[0].Collector
				}
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				got := run(t, check, time.Second)
				runtime.ReadMemStats(&after)
				got.expect(t, asking.subject(host), asking.status, asking.begins)
				reason := got.results[asking.subject(host)].Reason
				if strings.ContainsFunc(reason, func(r rune) bool { return !unicode.IsPrint(r) }) {
					t.Errorf("not printable: %q", reason)
				}
				if n := after.TotalAlloc - before.TotalAlloc; n > badInputMemory {
					t.Errorf("%s were allocated", size(float64(n)))
				}
				t.Logf("%v, %s: %s", got.took.Round(time.Millisecond), size(float64(after.TotalAlloc-before.TotalAlloc)), reason)
			})
		}
	}
}

func itself(host string) string { return host }

// TestBadInputOfObjects holds what all checks read objects of the API by, what
// asks at the peer URLs of etcd, and what asks kube-proxy.
func TestBadInputOfObjects(t *testing.T) {
	t.Parallel()
	for _, bad := range badServers {
		t.Run(bad.name, func(t *testing.T) {
			t.Parallel()
			host := serveBadly(t, bad.serve)
			client, transport := newHTTPClient(nil)
			defer transport.CloseIdleConnections()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			var object map[string]any
			err := getObject(ctx, client, &url.URL{Scheme: "http", Host: host}, apiService, nil, &object)
			if err == nil || !strings.HasPrefix(err.Error(), "does not answer") && !strings.HasPrefix(err.Error(), "answers ") {
				t.Errorf("object: %v", err)
			}
			if got := askPeer(ctx, client, "http://"+host); got.silent == "" || got.cluster != 0 {
				t.Errorf("peer: %+v", got)
			}
			s := defaultServiceSettings()
			s.ServiceAddress, s.ProxyHealthURL = "127.0.0.1:1", "http://"+host
			proxy := run(t, newCheck(t, s), time.Second).results["kube-proxy"]
			if (proxy.Status != health.Critical && proxy.Status != health.Warning) || !strings.HasPrefix(proxy.Reason, "kube-proxy does not answer") {
				t.Errorf("kube-proxy: %+v", proxy)
			}
		})
	}
}
