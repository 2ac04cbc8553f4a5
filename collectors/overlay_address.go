package collectors

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// overlayInterfaces are the interfaces that pod networks give to a node
// itself, by which its pods' network answers for the node. The first that has
// an address is taken, so a tunnel stands before the bridge behind it.
var overlayInterfaces = []string{
	"flannel.1", "flannel-v6.1", "flannel-wg", "flannel-wg-v6", "flannel0", // flannel, Canal, k3s
	"cilium_host",                                                              // Cilium
	"vxlan.calico", "vxlan-v6.calico", "tunl0", "wireguard.cali", "wg-v6.cali", // Calico
	"ovn-k8s-mp0", "ovn0", // OVN-Kubernetes, Kube-OVN
	"antrea-gw0",   // Antrea
	"weave",        // Weave Net
	"kube-bridge",  // kube-router
	"cni0", "cbr0", // the bridge and kubenet plugins
}

// OverlayAddrs returns this node's own addresses in the pod network, at most
// one of each family, IPv4 first. s is the block "overlay" of the
// configuration file; its defaults when nil. The error wraps ErrAbsent when
// the node has none.
func OverlayAddrs(s Settings) ([]netip.Addr, error) {
	settings, ok := s.(*overlaySettings)
	if s == nil {
		settings, ok = defaultOverlaySettings(), true
	}
	if !ok {
		return nil, fmt.Errorf("finding this node's address in the pod network: %T are settings of another check", s)
	}
	at, err := settings.find(net.Interfaces)
	return at.addrs, err
}

// overlayPlace is where a node's own end of the pod network is.
type overlayPlace struct {
	names []string // of the interfaces; none when the address was configured
	addrs []netip.Addr
}

// find looks at the interfaces of this node.
func (s *overlaySettings) find(interfaces func() ([]net.Interface, error)) (overlayPlace, error) {
	if s.Address != "" {
		addr, err := netip.ParseAddr(s.Address)
		return overlayPlace{addrs: []netip.Addr{addr}}, err
	}
	names := overlayInterfaces
	if s.Interface != "" {
		names = []string{s.Interface}
	}
	all, err := interfaces()
	if err != nil {
		return overlayPlace{}, fmt.Errorf("listing the network interfaces: %w", err)
	}
	var at overlayPlace
	for _, name := range names {
		i := slices.IndexFunc(all, func(i net.Interface) bool { return i.Name == name })
		if i < 0 {
			continue
		}
		addrs, err := all[i].Addrs()
		if err != nil {
			return overlayPlace{}, fmt.Errorf("reading the addresses of %s: %w", name, err)
		}
		at.add(name, addrs)
	}
	if len(at.addrs) > 0 {
		at.addrs = oneOfEach(at.addrs) // IPv4 first
		return at, nil
	}
	if s.Interface != "" {
		return at, fmt.Errorf("this node's pod network is %w: the configured interface %s has no address", ErrAbsent, s.Interface)
	}
	return at, fmt.Errorf("this node's pod network is %w: none of the interfaces %s has an address, and neither interface nor address is configured",
		ErrAbsent, strings.Join(overlayInterfaces, ", "))
}

// add takes the first address of each family that there is none of yet.
func (at *overlayPlace) add(name string, addrs []net.Addr) {
	var usable []netip.Addr
	for _, a := range addrs {
		prefix, err := netip.ParsePrefix(a.String())
		if err == nil && prefix.Addr().IsGlobalUnicast() {
			usable = append(usable, prefix.Addr())
		}
	}
	for _, addr := range oneOfEach(usable) {
		had := slices.ContainsFunc(at.addrs, func(a netip.Addr) bool { return a.Is6() == addr.Is6() })
		if had {
			continue
		}
		at.addrs = append(at.addrs, addr)
		if !slices.Contains(at.names, name) {
			at.names = append(at.names, name)
		}
	}
}

// errLost says that an address is no longer this node's.
var errLost = errors.New("this node does not have the address any more")

// holds tells whether the address is this node's, by taking a port of it.
func holds(addr netip.Addr) error {
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, 0)))
	if err != nil {
		return errLost
	}
	return conn.Close()
}
