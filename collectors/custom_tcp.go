package collectors

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
)

// customTCP connects to an address.
type customTCP struct {
	Address string `yaml:"address"` // host:port
	// Send is sent once the connection stands; what comes back, the first 4
	// KiB of it, is to contain Expect.
	Send   string `yaml:"send"`
	Expect string `yaml:"expect"`

	Thresholds customTCPThresholds `yaml:"thresholds"`
}

type customTCPThresholds struct {
	// Latency until the connection stands, or what is expected has come.
	Latency DurationLimits `yaml:"latency"`
}

// maxTCPAnswer bounds what is read, in bytes.
const maxTCPAnswer = 4 << 10

func (s *customTCP) validate() error {
	host, port, err := net.SplitHostPort(s.Address)
	number, errPort := strconv.Atoi(port)
	switch {
	case err != nil || errPort != nil || host == "" || number < 1 || number > 65535:
		return fmt.Errorf("address: %q is not host:port", clip(s.Address, 100))
	case len(s.Expect) > maxTCPAnswer:
		return fmt.Errorf("expect: longer than %d bytes", maxTCPAnswer)
	}
	return validLatency(s.Thresholds.Latency)
}

// tcpProbe connects to an address.
type tcpProbe struct {
	customTCP
	status health.Status
}

func (p *tcpProbe) look(ctx context.Context, r customReport, a *assessment) string {
	a.about += ": " + clip(p.Address, 100)
	begun := time.Now()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", p.Address)
	if err != nil {
		a.add(p.status, "cannot be connected to: %s", cause(err, time.Since(begun)))
		return ""
	}
	defer conn.Close()
	r.sample(&customConnect, time.Since(begun).Seconds())
	if err := p.talk(ctx, conn); err != nil {
		a.add(p.status, "%s", err)
		return ""
	}
	took := time.Since(begun).Seconds()
	limits := p.Thresholds.Latency.seconds()
	if _, limit := limits.judge(0); limit > 0 {
		a.measured = health.Evidence{Value: took, Threshold: limit, Unit: "seconds"}
	}
	a.hold(took, limits, "seconds", "took %s", seconds(took))
	return ""
}

// talk sends and reads until what is expected has come.
func (p *tcpProbe) talk(ctx context.Context, conn net.Conn) error {
	begun := time.Now()
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline) // a connection that cannot says so at once
	}
	// The check may also be told to end before its deadline.
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if p.Send != "" {
		if _, err := io.WriteString(conn, p.Send); err != nil {
			return fmt.Errorf("takes nothing: %s", cause(err, time.Since(begun)))
		}
	}
	if p.Expect == "" {
		return nil
	}
	var got []byte
	buffer := make([]byte, maxTCPAnswer)
	for len(got) < maxTCPAnswer {
		n, err := conn.Read(buffer[:maxTCPAnswer-len(got)])
		got = append(got, buffer[:n]...)
		switch {
		case bytes.Contains(got, []byte(p.Expect)):
			return nil
		case errors.Is(err, io.EOF):
			return fmt.Errorf("closed the connection without %q; it said: %q", clip(p.Expect, 80), clip(string(got), 100))
		case err != nil:
			return fmt.Errorf("did not say %q: %s; it said: %q", clip(p.Expect, 80), cause(err, time.Since(begun)), clip(string(got), 100))
		}
	}
	return fmt.Errorf("did not say %q in its first %d bytes: %q", clip(p.Expect, 80), maxTCPAnswer, clip(string(got), 100))
}
