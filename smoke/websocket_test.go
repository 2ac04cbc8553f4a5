package smoke

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// talks is a server that says these bytes once it has changed to a WebSocket.
func talks(t *testing.T, say string, stays bool) *url.URL {
	t.Helper()
	end := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		_, _ = fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n%s", say)
		if stays {
			<-end
		}
	}))
	t.Cleanup(func() { close(end); s.Close() })
	target, err := url.Parse(s.URL)
	must(t, err)
	return target
}

func TestWebSocket(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 300)
	for _, c := range []struct{ name, say, want, err string }{
		{"one message", "\x82\x03\x01hi", "\x01hi", ""},
		{"a longer one", "\x82\x7e\x01\x2c" + long, long, ""},
		{"in parts, with a ping between them", "\x02\x01a\x89\x00\x80\x01b", "ab", ""},
		{"an end", "\x88\x00", "", "EOF"},
		{"half a message", "\x82\x09abc", "", "unexpected EOF"},
		{"nothing", "", "", "EOF"},
		{"a huge one", "\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff", "", "a message is longer than"},
		{"a masked one", "\x82\x83abcdefg", "", "a server does not mask"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s, err := openWebSocket(t.Context(), http.DefaultClient, talks(t, c.say, false), "x")
			must(t, err)
			defer s.close()
			got, err := s.next()
			if !bytes.Equal(got, []byte(c.want)) || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

func TestWebSocketThatIsSilent(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	s, err := openWebSocket(ctx, http.DefaultClient, talks(t, "", true), "x")
	must(t, err)
	defer s.close()
	if _, err := s.next(); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("%v", err)
	}
}

func TestWebSocketRefused(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "you may not", http.StatusForbidden)
	}))
	defer s.Close()
	target, err := url.Parse(s.URL)
	must(t, err)
	_, err = openWebSocket(t.Context(), http.DefaultClient, target, "x")
	if refused, ok := errors.AsType[*execRefused](err); !ok || refused.code != http.StatusForbidden || !strings.Contains(err.Error(), "you may not") {
		t.Errorf("%v", err)
	}
}
