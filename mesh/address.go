package mesh

import (
	"fmt"
	"net"
	"strconv"
	"strings"
)

// splitHostPort reads host:port; an empty host is every address.
func splitHostPort(s string) (string, int, error) {
	host, portText, err := net.SplitHostPort(s)
	if err != nil {
		return "", 0, err
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return "", 0, fmt.Errorf("port %q is not a number up to 65535", portText)
	}
	if host == "" {
		host = net.IPv4zero.String()
	}
	return host, int(port), nil
}

// advertised reads host[:port] and resolves the host, since gossip carries
// addresses only.
func advertised(s string, bound int) (string, int, error) {
	host, port := s, bound
	if h, p, err := splitHostPort(s); err == nil {
		host, port = h, p
	}
	host = strings.Trim(host, "[]")
	if net.ParseIP(host) != nil {
		return host, port, nil
	}
	addrs, err := net.LookupIP(host)
	if err != nil {
		return "", 0, err
	}
	return addrs[0].String(), port, nil
}

// reachable turns a bound address into what others need: all of it, or, when
// it is bound to every address, the port alone: they know the host.
func reachable(bound string) string {
	host, port, err := net.SplitHostPort(bound)
	if err != nil {
		return ""
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		return port
	}
	return bound
}

func dialable(tag, host string) string {
	if tag == "" || strings.Contains(tag, ":") {
		return tag
	}
	return net.JoinHostPort(host, tag)
}

// withPort gives an address without a port the one this node itself uses.
func withPort(address, own string) string {
	if _, _, err := net.SplitHostPort(address); err == nil {
		return address
	}
	_, port, err := net.SplitHostPort(own)
	if err != nil {
		return address
	}
	return net.JoinHostPort(address, port)
}
