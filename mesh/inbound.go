package mesh

import (
	"io"
	stdlog "log"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

// inbound notes from whom packets of the gossip arrive. When nothing comes
// back from a peer, it tells whether our packets get lost or its.
type inbound struct {
	now func() time.Time

	mu    sync.Mutex                   // guards heard
	heard map[netip.AddrPort]time.Time // by the addresses to listen for; zero: nothing yet
}

// listenFor makes addresses the ones whose packets are noted, and so bounds
// what strangers can make this node remember.
func (in *inbound) listenFor(addresses []netip.AddrPort) {
	in.mu.Lock()
	defer in.mu.Unlock()
	heard := make(map[netip.AddrPort]time.Time, len(addresses))
	for _, a := range addresses {
		heard[a] = in.heard[a]
	}
	in.heard = heard
}

// last is when a packet last came from address; zero: none did.
func (in *inbound) last(address netip.AddrPort) time.Time {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.heard[address]
}

func (in *inbound) note(from net.Addr) {
	var address netip.AddrPort
	if udp, ok := from.(*net.UDPAddr); ok {
		address = udp.AddrPort()
	} else {
		address, _ = netip.ParseAddrPort(from.String()) // of a network for tests; none: nobody listens for it
	}
	address = netip.AddrPortFrom(address.Addr().Unmap(), address.Port())
	in.mu.Lock()
	defer in.mu.Unlock()
	if _, ok := in.heard[address]; ok {
		in.heard[address] = in.now()
	}
}

// noting is a transport of memberlist whose packets are noted.
type noting struct {
	memberlist.Transport
	packets chan *memberlist.Packet
	closing chan struct{} // closed when packets are dropped from now on
	ended   chan struct{} // closed when none will come any more
	pass    sync.WaitGroup
	once    sync.Once
}

// noted passes the packets of t on, and notes where they come from. It owns
// t, and is to be shut down.
func (in *inbound) noted(t memberlist.Transport) *noting {
	n := &noting{
		Transport: t, packets: make(chan *memberlist.Packet),
		closing: make(chan struct{}), ended: make(chan struct{}),
	}
	n.pass.Go(func() {
		for {
			select {
			case <-n.ended:
				return
			case p := <-t.PacketCh():
				in.note(p.From)
				select {
				case n.packets <- p:
				case <-n.closing:
				}
			}
		}
	})
	return n
}

// PacketCh implements memberlist.Transport.
func (n *noting) PacketCh() <-chan *memberlist.Packet { return n.packets }

// Shutdown implements memberlist.Transport. It may be called again.
func (n *noting) Shutdown() error {
	var err error
	n.once.Do(func() {
		// The transport waits for its readers, which wait for us to take
		// their last packet.
		close(n.closing)
		err = n.Transport.Shutdown()
		close(n.ended)
		n.pass.Wait()
	})
	return err
}

// listenPackets opens the gossip's port, UDP and TCP; port 0 takes one that is
// free for both.
func listenPackets(host string, port int, logs io.Writer) (*memberlist.NetTransport, error) {
	for attempt := 1; ; attempt++ {
		t, err := memberlist.NewNetTransport(&memberlist.NetTransportConfig{
			BindAddrs: []string{host}, BindPort: port, Logger: stdlog.New(logs, "", stdlog.LstdFlags),
		})
		if err == nil || port != 0 || attempt == 10 {
			return t, err
		}
	}
}
