package collectors

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http/httptrace"
	"sync"
	"time"
)

// httpPhases are the parts of a request's time. Those of connecting are zero
// on a connection that was kept. One that did not end counts until the
// request did.
type httpPhases struct {
	resolve, dial, tls time.Duration
	answer             time.Duration // from the request sent to the first byte of the answer
}

// phaseClock takes the times of one request. Dials of several addresses race
// on goroutines of their own, and some end after the request.
type phaseClock struct {
	begun time.Time

	mu        sync.Mutex // guards what follows
	resolve   span
	addresses int // that the name stands for; 0 when none was resolved
	tried     int // of them
	dial      span
	tls       span
	connected time.Time
	answer    span
}

// span is one phase; either end is zero until it has come.
type span struct{ from, to time.Time }

// lasted is the time of the phase, until now when it has not ended, and zero
// when it has not begun.
func (s span) lasted(now time.Time) time.Duration {
	switch {
	case s.from.IsZero():
		return 0
	case s.to.IsZero():
		return now.Sub(s.from)
	}
	return s.to.Sub(s.from)
}

func (s span) open() bool { return !s.from.IsZero() && s.to.IsZero() }

func (c *phaseClock) trace() *httptrace.ClientTrace {
	at := func(set func(now time.Time)) {
		now := time.Now()
		c.mu.Lock()
		defer c.mu.Unlock()
		set(now)
	}
	return &httptrace.ClientTrace{
		DNSStart: func(httptrace.DNSStartInfo) { at(func(now time.Time) { c.resolve.from = now }) },
		DNSDone: func(info httptrace.DNSDoneInfo) {
			at(func(now time.Time) { c.resolve.to, c.addresses = now, len(info.Addrs) })
		},
		ConnectStart: func(string, string) {
			at(func(now time.Time) {
				c.tried++
				if c.dial.from.IsZero() {
					c.dial.from = now
				}
			})
		},
		ConnectDone: func(_, _ string, err error) {
			at(func(now time.Time) {
				if err == nil {
					c.dial.to = now
				}
			})
		},
		TLSHandshakeStart: func() { at(func(now time.Time) { c.tls.from = now }) },
		TLSHandshakeDone:  func(tls.ConnectionState, error) { at(func(now time.Time) { c.tls.to = now }) },
		GotConn:           func(httptrace.GotConnInfo) { at(func(now time.Time) { c.connected = now }) },
		WroteRequest:      func(httptrace.WroteRequestInfo) { at(func(now time.Time) { c.answer.from = now }) },
		GotFirstResponseByte: func() {
			at(func(now time.Time) { c.answer.to = now })
		},
	}
}

// read puts what was taken until now into a.
func (c *phaseClock) read(a *httpAnswer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	a.waited, a.stage = now.Sub(c.begun), c.stage()
	a.phases = httpPhases{c.resolve.lasted(now), c.dial.lasted(now), c.tls.lasted(now), c.answer.lasted(now)}
	a.took = a.waited
	if !c.connected.IsZero() {
		a.took = a.waited - c.connected.Sub(c.begun)
	}
}

// stage words the phase that is under way; c.mu is held. It is empty before
// the first and after the last.
func (c *phaseClock) stage() string {
	switch {
	case c.resolve.open():
		return "its name was not resolved"
	case c.dial.open() && c.addresses > 1:
		return fmt.Sprintf("no connection, %d of the %d addresses of its name were tried", c.tried, c.addresses)
	case c.dial.open():
		return "no connection"
	case c.tls.open():
		return "connected, but the TLS handshake was not answered"
	case c.answer.open():
		return unansweredWords
	case !c.answer.to.IsZero():
		return "the answer began and did not end"
	}
	return ""
}

const unansweredWords = "connected, but the request was not answered"

// export writes the phases of connecting to host, which is host:port, and the
// time of a request as samples of m, whose labels are the host and the phase.
func (p httpPhases) export(r *Report, m *Metric, host string, request time.Duration) {
	if name, _, err := net.SplitHostPort(host); err == nil && net.ParseIP(name) == nil {
		r.Sample(m, p.resolve.Seconds(), host, "resolve")
	}
	r.Sample(m, p.dial.Seconds(), host, "dial")
	if p.tls > 0 {
		r.Sample(m, p.tls.Seconds(), host, "tls")
	}
	r.Sample(m, request.Seconds(), host, "request")
}
