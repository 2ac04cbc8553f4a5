package web

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"strconv"
	"time"
)

// scrapeTimeoutHeader tells how long a Prometheus waits, in seconds.
const scrapeTimeoutHeader = "X-Prometheus-Scrape-Timeout-Seconds"

const (
	// minPatience is less than any scraper waits.
	minPatience = 100 * time.Millisecond
	// scrapeReserve is what is kept of a scraper's patience for what is to be
	// done when something has not come in time.
	scrapeReserve = time.Second
)

// patience is how long whoever sent r waits for the answer, as far as it is
// known, and whether it is.
func patience(r *http.Request) (wait time.Duration, told bool) {
	seconds, err := strconv.ParseFloat(r.Header.Get(scrapeTimeoutHeader), 64)
	if err != nil || !(seconds > 0) { // nor is NaN
		return writeTimeout, false
	}
	seconds = min(max(seconds, minPatience.Seconds()), writeTimeout.Seconds())
	return time.Duration(seconds * float64(time.Second)), true
}

// reserved is what is left of wait without the reserve.
func reserved(wait time.Duration) time.Duration { return wait - min(scrapeReserve, wait/4) }

// timely ends what h does for a scrape when the scraper has given up: its
// context is over, and what is not written by then cannot be, so that a client
// which does not read holds nothing for longer than it said it would wait.
func timely(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		wait, _ := patience(r)
		ctx, cancel := context.WithTimeout(r.Context(), wait)
		defer cancel()
		// Where there is no connection to set it on, as in tests, there is
		// no client that does not read.
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(wait))
		r = r.WithContext(ctx)
		if r.ProtoAtLeast(1, 1) {
			h.ServeHTTP(w, r)
		} else {
			unmistakable(h).ServeHTTP(w, r)
		}
	})
}

// unmistakable makes an HTTP/1.0 connection break when h does not come to its
// end. There an answer is over when the connection is closed, so that one cut
// off would pass for the whole.
func unmistakable(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, _ := r.Context().Value(connectionKey{}).(net.Conn)
		if t, ok := c.(*tls.Conn); ok {
			c = t.NetConn()
		}
		t, ok := c.(*net.TCPConn)
		if !ok {
			h.ServeHTTP(w, r)
			return
		}
		_ = t.SetLinger(0) // an error means that it is gone, here and below
		h.ServeHTTP(w, r)
		if http.NewResponseController(w).Flush() == nil {
			_ = t.SetLinger(-1)
		}
	})
}

// connectionKey is that of a request's connection in its context.
type connectionKey struct{}

// withConnection is a Server's ConnContext.
func withConnection(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connectionKey{}, c)
}
