package netsim

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os/exec"
)

// VXLANPort is the UDP port of the overlay between hosts: flannel's.
const VXLANPort = 8472

// OverlayMTU is what remains of the underlay's 1500 bytes within VXLAN.
const OverlayMTU = 1450

// maxHosts is what the last byte of an address has room for.
const maxHosts = 250

// HostsOptions says how many hosts to make.
type HostsOptions struct {
	Count int
	// Overlay lays a VXLAN over the hosts as flannel does: a pod network for
	// each host, reached through the device flannel.1.
	Overlay bool
}

// Hosts are network namespaces whose devices eth0 are plugged into one switch
// in this program. They have no way to anything else.
type Hosts struct {
	options HostsOptions
	hosts   []*Host
	wires   *Switch
}

// Host is one of Hosts.
type Host struct {
	Name    string // n1, n2, ...
	NetNS   string // for ip -netns and ip netns exec
	Addr    netip.Addr
	Addr6   netip.Addr
	Overlay netip.Addr // of flannel.1, in the pod network; invalid without one
	nic     TAP
}

// StartHosts makes the hosts; it needs root. They know each other's hardware
// addresses, so a fault meets what is sent and not the search for an address.
func StartHosts(o HostsOptions) (*Hosts, error) {
	if o.Count < 0 || o.Count > maxHosts {
		return nil, fmt.Errorf("making hosts: %d are not between 0 and %d", o.Count, maxHosts)
	}
	prefix, err := netnsPrefix()
	if err != nil {
		return nil, fmt.Errorf("making hosts: %w", err)
	}
	h := &Hosts{options: o}
	for i := 1; i <= o.Count; i++ {
		host := &Host{
			Name:  fmt.Sprintf("n%d", i),
			Addr:  netip.AddrFrom4([4]byte{10, 77, 0, byte(i)}),
			Addr6: netip.AddrFrom16([16]byte{0: 0xfd, 1: 0x77, 15: byte(i)}),
		}
		host.NetNS = prefix + host.Name
		if o.Overlay {
			host.Overlay = netip.AddrFrom4([4]byte{10, 244, byte(i), 0})
		}
		if err := runIP("", "netns", "add", host.NetNS); err != nil {
			return nil, errors.Join(fmt.Errorf("making hosts: %w", err), h.Stop())
		}
		h.hosts = append(h.hosts, host)
		err := inNetNS(host.NetNS, func() error {
			var err error
			host.nic, err = NewTAP("eth0")
			return err
		})
		if err == nil {
			err = batch("ip", host.NetNS, h.layout(i))
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("making hosts: %w", err), h.Stop())
		}
	}
	if o.Overlay {
		for i, host := range h.hosts {
			if err := batch("bridge", host.NetNS, h.forwarding(i+1)); err != nil {
				return nil, errors.Join(fmt.Errorf("making hosts: %w", err), h.Stop())
			}
		}
	}
	ports := make([]io.ReadWriteCloser, len(h.hosts))
	for i, host := range h.hosts {
		ports[i] = host.nic
	}
	h.wires = NewSwitch(ports...)
	return h, nil
}

// layout is what ip has to do in host i.
func (h *Hosts) layout(i int) []string {
	host := h.hosts[i-1]
	lines := []string{
		"link set lo up",
		fmt.Sprintf("link set eth0 address %s up", MAC(i)),
		fmt.Sprintf("address add %s/24 dev eth0", host.Addr),
		fmt.Sprintf("address add %s/64 dev eth0 nodad", host.Addr6),
		"route add default via 10.77.0.254 dev eth0",
	}
	if h.options.Overlay {
		lines = append(lines,
			fmt.Sprintf("link add flannel.1 type vxlan id 1 local %s dev eth0 dstport %d nolearning", host.Addr, VXLANPort),
			fmt.Sprintf("link set flannel.1 address %s mtu %d up", overlayMAC(i), OverlayMTU),
			fmt.Sprintf("address add %s/32 dev flannel.1", host.Overlay),
		)
	}
	for j := 1; j <= h.options.Count; j++ {
		if j == i {
			continue
		}
		lines = append(lines,
			fmt.Sprintf("neighbour replace 10.77.0.%d lladdr %s dev eth0 nud permanent", j, MAC(j)),
			fmt.Sprintf("neighbour replace fd77::%x lladdr %s dev eth0 nud permanent", j, MAC(j)),
		)
		if h.options.Overlay {
			lines = append(lines,
				fmt.Sprintf("neighbour replace 10.244.%d.0 lladdr %s dev flannel.1 nud permanent", j, overlayMAC(j)),
				fmt.Sprintf("route replace 10.244.%d.0/24 via 10.244.%d.0 dev flannel.1 onlink", j, j),
			)
		}
	}
	return lines
}

// forwarding tells flannel.1 of host i behind which host each of the others'
// pod networks is.
func (h *Hosts) forwarding(i int) []string {
	var lines []string
	for j, other := range h.hosts {
		if j+1 != i {
			lines = append(lines, fmt.Sprintf("fdb append %s dev flannel.1 dst %s", overlayMAC(j+1), other.Addr))
		}
	}
	return lines
}

func overlayMAC(i int) string { return fmt.Sprintf("02:67:6f:00:00:%02x", i) }

// Host returns host i, from 1 on.
func (h *Hosts) Host(i int) *Host { return h.hosts[i-1] }

// Link changes what happens to packets from one host to another: cut, lost,
// late, too large. 0 stands for every host.
func (h *Hosts) Link(from, to int, l Link) { h.wires.Set(from, to, l) }

// DropOverlay drops what the overlay of one host sends to that of another,
// while the underlay between them works. 0 stands for every host.
func (h *Hosts) DropOverlay(from, to int) {
	h.Link(from, to, Link{Drop: UDPTo(VXLANPort)})
}

// Heal ends every fault that Link and DropOverlay have made.
func (h *Hosts) Heal() { h.Link(0, 0, Link{}) }

// Stop removes the hosts. What still runs in them keeps its namespace, without
// a way out, until it ends.
func (h *Hosts) Stop() error {
	var errs []error
	if h.wires != nil {
		errs = append(errs, h.wires.Close())
	}
	for _, host := range h.hosts {
		errs = append(errs, runIP("", "netns", "delete", host.NetNS))
	}
	return errors.Join(errs...)
}

// Carrier plugs the cable of the host's eth0 in or pulls it.
func (h *Host) Carrier(plugged bool) error { return h.nic.Carrier(plugged) }

// IP runs ip in the host: "link", "set", "eth0", "down".
func (h *Host) IP(args ...string) error { return runIP(h.NetNS, args...) }

// Do calls f on a thread that is in the host. Sockets that f itself opens
// belong to the host for good; goroutines that f starts are not in it, and what
// they dial goes out from elsewhere: run a program by Command for that.
func (h *Host) Do(f func() error) error { return inNetNS(h.NetNS, f) }

// Command returns a command that runs a program in the host, with the host's
// own /sys. It is the program itself that gets its signals.
func (h *Host) Command(path string, args ...string) *exec.Cmd {
	return exec.Command("ip", append([]string{"netns", "exec", h.NetNS, path}, args...)...)
}
