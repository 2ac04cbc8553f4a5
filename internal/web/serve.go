package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
	"github.com/prometheus/exporter-toolkit/web"
	sloggokit "github.com/tjhop/slog-gokit"
)

// How long a client may take. Thirty seconds is more than a scraper waits;
// what is slower than that is not reading. Scrapes have less, see patience.
const (
	headerTimeout = 10 * time.Second
	readTimeout   = 30 * time.Second
	writeTimeout  = 30 * time.Second
	byteTimeout   = 10 * time.Second // for any byte of HTTP/2, whose streams wait for each other's
	idleTimeout   = 5 * time.Minute  // longer than the usual scrape intervals
	stopTimeout   = 3 * time.Second  // for requests under way when ctx ends
)

// CheckConfig returns, in one line, why configFile cannot be used; an empty
// name is no file and fine. See Serve.
func CheckConfig(configFile string) error {
	if err := web.Validate(configFile); err != nil {
		return fmt.Errorf("web config file %s: %s", configFile, oneLine(err))
	}
	return nil
}

func oneLine(err error) string {
	return strings.Join(strings.Fields(err.Error()), " ")
}

// Serve answers on l with h until ctx ends, then gives requests under way
// three seconds and returns nil. It closes l in any case. configFile, if not
// empty, sets TLS and basic authentication in the format of
// prometheus/exporter-toolkit; it is read again as it changes.
func Serve(ctx context.Context, l net.Listener, h http.Handler, configFile string, logger log.Logger) error {
	defer l.Close()
	handler := bare{sloggokit.NewGoKitHandler(logger, slog.LevelDebug)} // logger itself filters
	srv := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		ConnContext:       withConnection,
		HTTP2:             &http.HTTP2Config{WriteByteTimeout: byteTimeout},
		// Broken handshakes and the like: the other side's doing.
		ErrorLog: slog.NewLogLogger(handler, slog.LevelDebug),
	}

	served := make(chan error, 1)
	go func() {
		served <- web.Serve(l, srv, &web.FlagConfig{WebConfigFile: &configFile}, slog.New(handler))
	}()
	select {
	case err := <-served:
		return fmt.Errorf("serving on %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}

	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	if err := srv.Shutdown(stop); err != nil {
		level.Warn(logger).Log("msg", "Requests were cut off", "address", l.Addr(), "err", err)
		_ = srv.Close() // cuts them off; its error would tell nothing more
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving on %s: %w", l.Addr(), err)
	}
	return nil
}
