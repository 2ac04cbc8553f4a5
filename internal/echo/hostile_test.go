package echo

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// A TCP server that is none of ours does with each connection what serve says.
func serve(t *testing.T, serve func(c net.Conn)) netip.AddrPort {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Read(make([]byte, 4096)) // the request
			serve(c)
			_ = c.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return l.Addr().(*net.TCPAddr).AddrPort()
}

func TestGetFromAnotherServer(t *testing.T) {
	t.Parallel()
	endless := func(head string) func(net.Conn) {
		return func(c net.Conn) {
			_, err := io.WriteString(c, head)
			for err == nil {
				_, err = c.Write([]byte(strings.Repeat("x", 1000)))
			}
		}
	}
	for name, c := range map[string]struct {
		serve func(net.Conn)
		want  string
	}{
		"HTML":           {func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n<html>") }, "none of a Grapevine"},
		"another status": {func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 302 Found\r\nLocation: /login\r\n\r\n") }, "status 302"},
		"no HTTP":        {func(c net.Conn) { _, _ = io.WriteString(c, "SSH-2.0-OpenSSH_9.2p1\r\n") }, "malformed HTTP"},
		"endless header": {endless("HTTP/1.1 200 OK\r\nX: "), "EOF"},
		"endless body":   {endless("HTTP/1.1 200 OK\r\n\r\n"), "none of a Grapevine"},
		"hangs up":       {func(net.Conn) {}, "EOF"},
		"silent":         {func(c net.Conn) { _, _ = c.Read(make([]byte, 1)) }, "deadline exceeded"},
		"drips": {func(c net.Conn) {
			for _, err := io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n"); err == nil; _, err = c.Write([]byte("x")) {
				time.Sleep(20 * time.Millisecond)
			}
		}, "deadline exceeded"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			addr := serve(t, c.serve)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			if c.want == "deadline exceeded" {
				ctx, cancel = context.WithTimeout(t.Context(), 300*time.Millisecond)
			}
			defer cancel()
			if took, _, err := (Prober{}).Get(ctx, addr); err == nil || !strings.Contains(err.Error(), c.want) || took > 19*time.Second {
				t.Errorf("after %v: %v, want %q", took, err, c.want)
			}
		})
	}
}

// Answers that are none: of another session, doubled, cut, signed otherwise.
func TestLyingResponder(t *testing.T) {
	t.Parallel()
	l, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		signer := newSigner(secret, packets)
		for packet := make([]byte, largest); ; {
			n, from, err := l.ReadFromUDPAddrPort(packet)
			if err != nil {
				return
			}
			request, _ := parse(packet[:n])
			for _, h := range []header{
				{kind: answered, session: request.session + 1, seq: request.seq},
				{kind: askFull, session: request.session, seq: request.seq},
				{kind: counted, session: request.session, seq: request.seq},
				{kind: answered, session: request.session, seq: 200}, // never asked
				{kind: answered, session: request.session, seq: request.seq, arrived: 1<<63 - 1, left: -1 << 63},
				{kind: answered, session: request.session, seq: request.seq}, // again
			} {
				lie := make([]byte, smallest)
				h.put(lie)
				_, _ = l.WriteToUDPAddrPort(lie, from) // not signed
				signer.sign(lie)
				_, _ = l.WriteToUDPAddrPort(lie[:smallest-1], from)
				_, _ = l.WriteToUDPAddrPort(lie, from)
			}
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	b, err := Prober{Keys: always(secret)}.Burst(within(t, 20*time.Second), l.LocalAddr().(*net.UDPAddr).AddrPort(), 2, 0)
	if err != nil || len(b.Answers) != 2 || b.Answers[0].Seq == b.Answers[1].Seq {
		t.Fatalf("%+v, %v", b, err)
	}
	for _, a := range b.Answers {
		if a.RTT < 0 || a.RTT > 20*time.Second {
			t.Errorf("%+v", a)
		}
	}
}

// Garbage and floods get no answer and do no harm.
func TestGarbage(t *testing.T) {
	t.Parallel()
	r := respond(t, "127.0.0.1:0", Config{Node: "n2", Keys: always(secret)})
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(r.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	answer := make([]byte, smallest) // one of another responder, sent back
	header{kind: answered, session: 1}.put(answer)
	newSigner(secret, packets).sign(answer)
	for _, packet := range [][]byte{nil, {0}, []byte(magic), []byte(strings.Repeat("GET / HTTP/1.1\r\n", 40)), answer, make([]byte, 60_000)} {
		if _, err := c.Write(packet); err != nil {
			t.Fatal(err)
		}
	}
	b, err := Prober{Keys: always(secret)}.Burst(within(t, 20*time.Second), r.Addr(), 1, 0)
	if err != nil || len(b.Answers) != 1 {
		t.Fatalf("%+v, %v", b, err)
	}
	if n := testutil.ToFloat64(r.requests.udp[outcomeMalformed]); n != 6 {
		t.Errorf("%v malformed", n)
	}
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	if n, err := c.Read(make([]byte, 9)); err == nil {
		t.Errorf("an answer of %d bytes", n)
	}

	// Far more than a peer would ask.
	flooded := ask(smallest)
	for until := time.Now().Add(20 * time.Second); testutil.ToFloat64(r.requests.udp[outcomeLimited]) == 0; time.Sleep(time.Millisecond) {
		for range sourceBurst / 8 {
			_, _ = c.Write(flooded)
		}
		if time.Now().After(until) {
			t.Fatal("not limited")
		}
	}
}

// Connections that send nothing are ended, so others get their turn.
func TestIdleConnections(t *testing.T) {
	t.Parallel()
	r := respond(t, "127.0.0.1:0", Config{Node: "n2"})
	for range 2 * tcpConnections {
		c, err := net.Dial("tcp", r.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	if _, node, err := (Prober{}).Get(within(t, 20*time.Second), r.Addr()); node != "n2" || err != nil {
		t.Errorf("Get behind idle connections: %q, %v", node, err)
	}
}

func TestOtherPages(t *testing.T) {
	t.Parallel()
	r := respond(t, "127.0.0.1:0", Config{Node: "n2", Keys: always(secret)})
	for _, request := range []string{
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST /echo/a/b HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /echo/short/x HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /echo/" + strings.Repeat("0", nonceSize) + "/" + pageRequest(nil, strings.Repeat("0", nonceSize)) + " HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /" + strings.Repeat("x", 64<<10) + " HTTP/1.1\r\n\r\n",
	} {
		c, err := net.Dial("tcp", r.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(c, request)
		response, err := http.ReadResponse(bufio.NewReader(c), nil)
		switch {
		case errors.Is(err, io.EOF) || err != nil && strings.Contains(err.Error(), "reset"):
		case err != nil:
			t.Error(err)
		default:
			if body, _ := io.ReadAll(response.Body); response.StatusCode < 400 || strings.Contains(string(body), "n2") {
				t.Errorf("%.40q: %s: %s", request, response.Status, body)
			}
			_ = response.Body.Close()
		}
		_ = c.Close()
	}
}
