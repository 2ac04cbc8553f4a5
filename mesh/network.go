package mesh

import (
	"context"
	"net"

	"github.com/hashicorp/memberlist"
)

// Network is how a mesh reaches the others. Config takes one so that a whole
// cluster can run inside a test, in virtual time and with faults of the
// network as it likes (package meshtest).
type Network interface {
	// Listen opens the port of the exchange at host:port. What it accepts
	// behaves like TCP.
	Listen(address string) (net.Listener, error)
	// Dial reaches the exchange of a peer at host:port.
	Dial(ctx context.Context, address string) (net.Conn, error)
	// Gossip opens the port of the gossip at host:port. With nil, nil
	// memberlist opens it itself, on the host's network.
	Gossip(address string) (memberlist.Transport, error)
}

// hostNetwork is the network of the host we run on.
type hostNetwork struct{ net.Dialer }

// Listen implements Network.
func (*hostNetwork) Listen(address string) (net.Listener, error) { return net.Listen("tcp", address) }

// Dial implements Network.
func (n *hostNetwork) Dial(ctx context.Context, address string) (net.Conn, error) {
	return n.DialContext(ctx, "tcp", address)
}

// Gossip implements Network.
func (*hostNetwork) Gossip(string) (memberlist.Transport, error) { return nil, nil } //nolint:nilnil // says "yours"
