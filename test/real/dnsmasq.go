package real

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// DNSMasqOptions says what StartDNSMasq makes. Binary is required.
type DNSMasqOptions struct {
	Binary  string
	Address string // to listen on, for UDP and TCP; empty: 127.0.0.1
	Port    int    // 0: a free one
	// Args are dnsmasq's own: "--address=/kubernetes.default.svc.cluster.local/10.96.0.1".
	// Without any, every name outside is REFUSED.
	Args []string
}

// DNSMasq is Debian's DNS server on loopback. It reads no file of the
// machine and asks no server but those of the options.
type DNSMasq struct {
	*Process
	Address netip.AddrPort
}

// StartDNSMasq returns when the server answers. ctx bounds the start, not the
// life of the server.
func StartDNSMasq(ctx context.Context, o DNSMasqOptions) (*DNSMasq, error) {
	if o.Address == "" {
		o.Address = "127.0.0.1"
	}
	var d *DNSMasq
	err := withFreshPorts(func() (err error) {
		port := o.Port
		if port == 0 {
			if port, err = FreePort(); err != nil {
				return err
			}
		}
		d, err = startDNSMasq(ctx, o, port)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("starting dnsmasq: %w", err)
	}
	return d, nil
}

func startDNSMasq(ctx context.Context, o DNSMasqOptions, port int) (*DNSMasq, error) {
	address, err := netip.ParseAddrPort(net.JoinHostPort(o.Address, strconv.Itoa(port)))
	if err != nil {
		return nil, err
	}
	d := &DNSMasq{Address: address}
	d.Process = NewProcess(Command{Name: "dnsmasq", Path: o.Binary, Args: append([]string{
		"--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--pid-file",
		"--log-facility=-", "--user=root", "--bind-interfaces", "--cache-size=0",
		"--listen-address=" + o.Address, "--port=" + strconv.Itoa(port),
	}, o.Args...)})
	if err := d.Process.Start(); err != nil {
		return nil, err
	}
	return d, awaitReady(ctx, d.Process, d.answers)
}

// Start runs a server that has ended again, at the same address.
func (d *DNSMasq) Start(ctx context.Context) error {
	if err := d.Process.Start(); err != nil {
		return err
	}
	return awaitReady(ctx, d.Process, d.answers)
}

// answers sends one query and takes any answer.
func (d *DNSMasq) answers(ctx context.Context) error {
	query := dnsmessage.Message{Questions: []dnsmessage.Question{{
		Name: dnsmessage.MustNewName("ready."), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET,
	}}}
	packet, err := query.Pack()
	if err != nil {
		return err
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "udp", d.Address.String())
	if err != nil {
		return err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
	if _, err := conn.Write(packet); err != nil {
		return err
	}
	_, err = conn.Read(make([]byte, 512))
	return err
}

// NeedDNSMasq starts a DNS server that ends with the test. Binary may be
// empty.
func NeedDNSMasq(tb testing.TB, o DNSMasqOptions) *DNSMasq {
	tb.Helper()
	if o.Binary == "" {
		o.Binary = Binary(tb, "dnsmasq")
	}
	d, err := StartDNSMasq(tb.Context(), o)
	if err != nil {
		tb.Fatal(err)
	}
	showLog(tb, d.Process)
	stopAtEnd(tb, d)
	return d
}
