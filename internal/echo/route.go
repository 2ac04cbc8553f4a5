package echo

import (
	"context"
	"fmt"
	"net"
	"net/netip"
)

// Route is how this node's kernel would send to an address.
type Route struct {
	From netip.Addr // the source address
	// MTU is the largest packet in bytes, headers included: that of the
	// interface, unless the route says less, or a router on the way did.
	MTU int
}

// RouteTo asks the kernel for the route to addr. Nothing is sent.
func RouteTo(ctx context.Context, addr netip.AddrPort) (Route, error) {
	p, err := Prober{}.open(ctx, addr)
	if err != nil {
		return Route{}, err
	}
	defer p.close()
	from := p.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
	c, err := p.SyscallConn()
	if err != nil {
		return Route{}, err
	}
	mtu, err := routeMTU(c, from.Is6())
	if err != nil {
		return Route{}, fmt.Errorf("asking for the MTU of the route to %v: %w", addr.Addr(), err)
	}
	return Route{From: from, MTU: mtu}, nil
}
