package main

import (
	"errors"
	"fmt"
	"net"

	"github.com/miekg/dns"
)

// nameServer is a DNS server over UDP and TCP.
type nameServer []*dns.Server

// startDNS starts one that knows every name by one address, the API server's in
// the cluster, and returns where it is.
func startDNS() (nameServer, string, error) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return nil, "", fmt.Errorf("starting a DNS server: %w", err)
	}
	address := conn.LocalAddr().String()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, "", errors.Join(fmt.Errorf("starting a DNS server: %w", err), conn.Close())
	}
	s := nameServer{
		{PacketConn: conn, Handler: dns.HandlerFunc(answer)},
		{Listener: listener, Handler: dns.HandlerFunc(answer)},
	}
	for _, server := range s {
		go func() { _ = server.ActivateAndServe() }()
	}
	return s, address, nil
}

func (s nameServer) stop() error {
	var errs []error
	for _, server := range s {
		errs = append(errs, server.Shutdown())
	}
	return errors.Join(errs...)
}

func answer(w dns.ResponseWriter, request *dns.Msg) {
	m := new(dns.Msg).SetReply(request)
	m.Authoritative = true
	if q := request.Question[0]; q.Qtype == dns.TypeA {
		m.Answer = []dns.RR{&dns.A{
			Hdr: dns.RR_Header{Name: q.Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 30},
			A:   net.IPv4(10, 0, 0, 1),
		}}
	}
	_ = w.WriteMsg(m)
}
