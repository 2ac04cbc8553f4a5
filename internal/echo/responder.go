package echo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/go-kit/log"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
)

// Config is what a Responder needs.
type Config struct {
	Node string // tells the askers who answered
	// Keys sign everything; requests without a signature of one of them get no
	// answer.
	Keys     Keys
	Logger   log.Logger
	Registry prometheus.Registerer // nil: no metrics
	// Now is the clock whose time the answers tell; nil: the node's.
	Now func() time.Time
}

// Responder answers the probes of other nodes.
type Responder struct {
	cfg      Config
	requests requests
	udp      *net.UDPConn // nil before Listen
	tcp      net.Listener
}

// NewResponder opens no port and starts nothing.
func NewResponder(cfg Config) *Responder {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = log.NewNopLogger()
	}
	return &Responder{cfg: cfg, requests: newRequests(cfg.Registry)}
}

// Listen opens address, which is host:port, for UDP and for TCP. Port 0 takes
// one that is free for both.
func (r *Responder) Listen(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	for attempt := 1; ; attempt++ {
		if err = r.listen(host, port); err == nil || port != "0" || attempt == 20 {
			return err
		}
	}
}

func (r *Responder) listen(host, port string) error {
	ctx := context.Background() // looks up no name that is not local
	udp, err := (&net.ListenConfig{Control: tune}).ListenPacket(ctx, "udp", net.JoinHostPort(host, port))
	if err != nil {
		return err
	}
	port = strconv.Itoa(udp.LocalAddr().(*net.UDPAddr).Port)
	tcp, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(host, port))
	if err != nil {
		_ = udp.Close() // nothing was sent
		return err
	}
	r.udp, r.tcp = udp.(*net.UDPConn), tcp
	return nil
}

// Close ends what Listen has opened, when there will be no Run.
func (r *Responder) Close() {
	_ = r.udp.Close() // nothing was sent
	_ = r.tcp.Close()
}

// Addr is what Listen has opened.
func (r *Responder) Addr() netip.AddrPort {
	return r.udp.LocalAddr().(*net.UDPAddr).AddrPort()
}

// Run answers until ctx ends, and closes what Listen has opened.
func (r *Responder) Run(ctx context.Context) error {
	if r.udp == nil {
		return errors.New("echo: Run before Listen")
	}
	server := r.httpServer()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return ending(ctx, "UDP", r.serveUDP()) })
	group.Go(func() error { return ending(ctx, "TCP", r.serveTCP(server)) })
	group.Go(func() error {
		<-ctx.Done()
		_ = r.udp.Close() // whoever still waits for an answer asks again
		_ = server.Close()
		return nil
	})
	return group.Wait()
}

// ending is what to make of the end of a listener: nothing when it was asked.
func ending(ctx context.Context, what string, err error) error {
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("echo over %s: %w", what, err)
	}
	return nil
}
