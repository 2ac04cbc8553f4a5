package web

import (
	"context"
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
		h.ServeHTTP(w, r.WithContext(ctx))
	})
}
