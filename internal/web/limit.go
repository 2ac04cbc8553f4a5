package web

import (
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
	"github.com/prometheus/client_golang/prometheus"
)

// Why a scrape had no answer, or no whole one.
const (
	overLimit     = "limit"
	overPeerLimit = "peer_limit"
	unfinished    = "unfinished"
)

// newUnanswered counts scrapes that were refused or cut off. Who asks for it a
// second time gets the same.
func newUnanswered(reg prometheus.Registerer) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "grapevine_web_unanswered_scrapes_total",
		Help: "Scrapes without a whole answer, by reason: limit (as many were under way as --web.max-requests allows), " +
			"peer_limit (the same, of other nodes that relay a scrape), or unfinished (the client went away or did not read in time).",
	}, []string{"reason"})
	if err := reg.Register(c); err != nil {
		var registered prometheus.AlreadyRegisteredError
		if !errors.As(err, &registered) {
			panic(err)
		}
		return registered.ExistingCollector.(*prometheus.CounterVec)
	}
	for _, reason := range []string{overLimit, overPeerLimit, unfinished} {
		c.WithLabelValues(reason)
	}
	return c
}

const (
	// retryAfter is in seconds. Scrapes take milliseconds; what holds up many
	// of them are clients that do not read, and these are cut off.
	retryAfter = "5"
	// refusalLogged is how often the log says that scrapes are refused.
	refusalLogged = time.Minute
)

// limit bounds how many scrapes are answered at once.
type limit struct {
	slots   chan struct{} // nil: any number
	refused prometheus.Counter
	logger  log.Logger
	logged  atomic.Int64 // when the log last said so, in nanoseconds since 1970
}

func newLimit(requests int, refused prometheus.Counter, logger log.Logger) *limit {
	l := &limit{refused: refused, logger: logger}
	if requests > 0 {
		l.slots = make(chan struct{}, requests)
	}
	return l
}

// hold answers 503 to what would be one too many for h.
func (l *limit) hold(h http.Handler) http.Handler {
	if l.slots == nil {
		return h
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case l.slots <- struct{}{}:
			defer func() { <-l.slots }()
			h.ServeHTTP(w, r)
		default:
			l.refuse(w, r)
		}
	})
}

func (l *limit) refuse(w http.ResponseWriter, r *http.Request) {
	l.refused.Inc()
	last, now := l.logged.Load(), time.Now().UnixNano()
	if now-last > int64(refusalLogged) && l.logged.CompareAndSwap(last, now) {
		level.Warn(l.logger).Log("msg", "Scrapes are refused: as many are under way as are answered at once",
			"flag", "--web.max-requests", "limit", cap(l.slots), "peer", r.RemoteAddr)
	}
	w.Header().Set("Retry-After", retryAfter)
	http.Error(w, fmt.Sprintf("%d scrapes are under way, as many as --web.max-requests lets this node answer at once: try again, or see who scrapes it",
		cap(l.slots)), http.StatusServiceUnavailable)
}
