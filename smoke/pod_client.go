package smoke

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/grapevine-mesh/grapevine/internal/echo"
)

// ask takes all steps at once, and each again until it goes well or its time
// is up: a route or a name of a new pod may need a moment.
func (t *Task) ask(ctx context.Context) Findings {
	ctx, cancel := context.WithTimeout(ctx, t.limit())
	defer cancel()
	attempts := map[string]func(context.Context) error{
		StepTCP: t.tcp, StepUDP: t.udp, StepService: t.throughService, StepDNS: t.resolve, StepAPI: t.reachAPI,
		StepPolicy: t.keptOut(), StepVolume: t.write,
	}
	found := Findings{Node: t.Node, Findings: make([]Finding, len(t.Steps))}
	var all sync.WaitGroup
	for i, step := range t.Steps {
		f := &found.Findings[i]
		f.Step = step
		attempt := attempts[step]
		if attempt == nil {
			f.Fault = "the image is older than the runner, and does not know this step"
			continue
		}
		all.Go(func() {
			began := time.Now()
			err := untilWell(ctx, attempt)
			f.Seconds = time.Since(began).Seconds()
			if err == nil {
				return
			}
			f.Fault = clip(err.Error(), 350)
			_, f.Partly = errors.AsType[partly](err)
			if step == StepTCP || step == StepUDP {
				f.Heard = t.heardOther()
			}
		})
	}
	all.Wait()
	return found
}

// attemptPatience is how long one attempt may take, longer than the second
// after which TCP tries to connect once more.
const attemptPatience = 1500 * time.Millisecond

// untilWell attempts again and again until ctx ends, and returns what was
// wrong the last time that an attempt had its time.
func untilWell(ctx context.Context, attempt func(context.Context) error) error {
	var last error
	for {
		short, cancel := context.WithTimeout(ctx, attemptPatience)
		err := attempt(short)
		cancel()
		if err == nil {
			return nil
		}
		if last == nil || ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return last
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// partly is what went well, but not as it should.
type partly struct{ error }

func (t *Task) prober() echo.Prober { return echo.Prober{Node: t.Node, Keys: t.keys()} }

// tcp gets an answer of the peer at each of its addresses.
func (t *Task) tcp(ctx context.Context) error {
	for _, addr := range t.Peer.Addrs {
		t.sayHello(ctx, addr)
		at := netip.AddrPortFrom(addr, echoPort)
		if _, node, err := t.prober().Get(ctx, at); err != nil {
			return fmt.Errorf("the pod at %v does not answer over TCP: %s", at, why(err))
		} else if node != t.Peer.Node {
			return fmt.Errorf("at %v answers a pod on %s, not on %s", at, node, t.Peer.Node)
		}
	}
	return nil
}

const burstSize = 10

func (t *Task) udp(ctx context.Context) error {
	for _, addr := range t.Peer.Addrs {
		t.sayHello(ctx, addr)
		if err := t.burst(ctx, netip.AddrPortFrom(addr, echoPort), "the pod at"); err != nil {
			return err
		}
	}
	return nil
}

// burst wants each of some packets to be answered.
func (t *Task) burst(ctx context.Context, at netip.AddrPort, what string) error {
	ctx, cancel := context.WithTimeout(ctx, attemptPatience/2)
	defer cancel()
	b, err := t.prober().Burst(ctx, at, burstSize, 2*time.Millisecond)
	switch {
	case err != nil:
		return fmt.Errorf("%s %v does not answer over UDP: %s", what, at, why(err))
	case b.Refused:
		return fmt.Errorf("%s %v does not answer over UDP: connection refused", what, at)
	case len(b.Answers) == 0:
		return fmt.Errorf("%s %v does not answer over UDP: no answer to %d packets", what, at, b.Sent)
	case len(b.Answers) < burstSize:
		return partly{fmt.Errorf("%s %v has answered %d of %d packets over UDP", what, at, len(b.Answers), b.Sent)}
	}
	return nil
}

// throughService wants an answer of any of the servers, over TCP and UDP.
func (t *Task) throughService(ctx context.Context) error {
	if _, _, err := t.prober().Get(ctx, t.Service); err != nil {
		return fmt.Errorf("the service at the cluster address %v does not answer over TCP: %s", t.Service, why(err))
	}
	return t.burst(ctx, t.Service, "the service at the cluster address")
}

// sayHello lets the server at addr know that something of this node arrives.
func (t *Task) sayHello(ctx context.Context, addr netip.Addr) {
	c, err := new(net.Dialer).DialContext(ctx, "udp", netip.AddrPortFrom(addr, heardPort).String())
	if err != nil {
		return
	}
	_, _ = fmt.Fprintf(c, "%s %s", t.Key, t.Node)
	_ = c.Close() // nothing is waited for
}

// heardOther asks the server beside this client whether what the other node
// sends arrives; nil: it does not say.
func (t *Task) heardOther() *bool {
	if t.Peer.Node == t.Node {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	for _, addr := range t.Beside.Addrs {
		c, err := new(net.Dialer).DialContext(ctx, "tcp", netip.AddrPortFrom(addr, heardPort).String())
		if err != nil {
			continue
		}
		_ = c.SetDeadline(time.Now().Add(time.Second))
		var nodes map[string]bool
		err = json.NewDecoder(io.LimitReader(c, 8<<10)).Decode(&nodes)
		_ = c.Close() // all was read
		if err == nil {
			return pointer(nodes[t.Peer.Node])
		}
	}
	return nil
}
