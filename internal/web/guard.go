package web

import (
	"errors"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// response remembers the status code that went out, 0 until one has, and the
// first error of a Write.
type response struct {
	http.ResponseWriter
	code int
	err  error
}

func (w *response) WriteHeader(code int) {
	if w.code == 0 && code >= 200 {
		w.code = code
	}
	w.ResponseWriter.WriteHeader(code)
}

func (w *response) Write(p []byte) (int, error) {
	if w.code == 0 {
		w.code = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(p)
	if w.err == nil {
		w.err = err
	}
	return n, err
}

// Unwrap lets http.ResponseController reach the connection.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// guarded answers 500 when h panics. When part of an answer is out already it
// cuts the connection, so that nobody takes that part for the whole.
func guarded(h http.HandlerFunc, logger log.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		out := &response{ResponseWriter: w}
		defer func() {
			switch p := recover(); p {
			case nil:
			case http.ErrAbortHandler:
				panic(p)
			default:
				level.Error(logger).Log("msg", "Request panicked", "path", r.URL.Path, "panic", p, "stack", debug.Stack())
				if out.code != 0 {
					panic(http.ErrAbortHandler)
				}
				http.Error(out, "internal error, see the log", http.StatusInternalServerError)
			}
		}()
		h(out, r)
	})
}

// measured counts and times the requests that mux answers, by the path of the
// pattern that matched: what matches none is "other", so that a scanner makes
// no series.
func measured(mux *http.ServeMux, reg prometheus.Registerer) http.Handler {
	auto := promauto.With(reg)
	requests := auto.NewCounterVec(prometheus.CounterOpts{
		Name: "grapevine_web_requests_total",
		Help: "HTTP requests answered, by path and status code.",
	}, []string{"handler", "code"})
	duration := auto.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "grapevine_web_request_duration_seconds",
		Help:    "Time from reading an HTTP request's header to the end of the answer, by path.",
		Buckets: []float64{0.01, 0.1, 1, 10},
		// Scrapes take a millisecond or a minute, by how many nodes are asked
		// for: four buckets tell little of that. Steps of four cost up to 11
		// bytes of every frame for each path, steps of two up to 18.
		NativeHistogramBucketFactor:     4,
		NativeHistogramMaxBucketNumber:  20,        // beyond a microsecond to a week: never reached
		NativeHistogramMinResetDuration: time.Hour, // if it is, nothing is coarser for long
	}, []string{"handler"})

	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		out, start := &response{ResponseWriter: w}, time.Now()
		defer func() {
			_, handler, found := strings.Cut(r.Pattern, " ")
			switch {
			case found:
				handler = strings.TrimSuffix(handler, "{$}")
			case r.Pattern != "":
				handler = r.Pattern
			default:
				handler = "other"
			}
			code := out.code
			if code == 0 {
				code = http.StatusOK // what net/http sends for an empty answer
			}
			requests.WithLabelValues(handler, strconv.Itoa(code)).Inc()
			duration.WithLabelValues(handler).Observe(time.Since(start).Seconds())
		}()
		mux.ServeHTTP(out, r)
	})
}

// localOnly answers 403 to everybody who is not on this host.
func localOnly(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := fromLoopback(r); err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		h(w, r)
	}
}

func fromLoopback(r *http.Request) error {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !peer.Addr().Unmap().IsLoopback() {
		return errors.New("only answered on this host, over a loopback address")
	}
	// A proxy on this host makes everybody look local.
	for _, header := range []string{"Forwarded", "X-Forwarded-For", "X-Real-Ip"} {
		if r.Header.Get(header) != "" {
			return errors.New("not answered through a proxy")
		}
	}
	return nil
}
