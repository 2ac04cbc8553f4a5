package smoke

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/grapevine-mesh/grapevine/internal/echo"
)

// serve answers until it is stopped or its time is up: also when no kubelet is
// there any more to stop it.
func (t *Task) serve(ctx context.Context, stdout io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, t.limit())
	defer cancel()
	responder := echo.NewResponder(echo.Config{Node: t.Node, Keys: t.keys()})
	if err := responder.Listen(":" + strconv.Itoa(echoPort)); err != nil {
		return err
	}
	h, err := t.listenHeard(":" + strconv.Itoa(heardPort))
	if err != nil {
		responder.Close()
		return err
	}
	_, _ = fmt.Fprintln(stdout, t.greeting())
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return responder.Run(ctx) })
	group.Go(func() error { return h.run(ctx) })
	return group.Wait()
}

// greeting is what a server says on its output.
func (t *Task) greeting() string { return "smoke server of run " + t.Run + " on " + t.Node }

// heard takes the names of nodes by UDP and tells them over TCP: so the
// client beside a server learns whether what others send arrives at all.
type heard struct {
	key string
	udp net.PacketConn
	tcp net.Listener

	mu    sync.Mutex
	nodes map[string]bool
}

func (t *Task) listenHeard(address string) (*heard, error) {
	ctx := context.Background() // looks up no name
	udp, err := new(net.ListenConfig).ListenPacket(ctx, "udp", address)
	if err != nil {
		return nil, err
	}
	tcp, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		_ = udp.Close() // nothing was sent
		return nil, err
	}
	return &heard{key: t.Key, udp: udp, tcp: tcp, nodes: map[string]bool{}}, nil
}

func (h *heard) run(ctx context.Context) error {
	var both sync.WaitGroup
	both.Go(h.take)
	both.Go(h.tell)
	<-ctx.Done()
	_ = h.udp.Close()
	_ = h.tcp.Close()
	both.Wait()
	return nil
}

// maxHeard bounds what is kept of names: a run has two nodes.
const maxHeard = 16

func (h *heard) take() {
	b := make([]byte, 1024)
	for {
		n, _, err := h.udp.ReadFrom(b)
		if err != nil {
			return
		}
		key, node, _ := strings.Cut(string(b[:n]), " ")
		h.mu.Lock()
		if key == h.key && len(h.nodes) < maxHeard {
			h.nodes[node] = true
		}
		h.mu.Unlock()
	}
}

func (h *heard) tell() {
	for {
		c, err := h.tcp.Accept()
		if err != nil {
			return
		}
		h.mu.Lock()
		text, _ := json.Marshal(h.nodes) // strings alone
		h.mu.Unlock()
		_ = c.SetDeadline(time.Now().Add(time.Second))
		_, _ = c.Write(text)
		_ = c.Close()
	}
}
