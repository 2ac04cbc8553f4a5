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
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/mesh"
)

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

// slowConn takes 1 MB/s.
type slowConn struct{ net.Conn }

func (c slowConn) Read(p []byte) (int, error) {
	time.Sleep(10 * time.Millisecond)
	return c.Conn.Read(p[:min(len(p), 10<<10)])
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
