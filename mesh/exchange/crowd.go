package exchange

import (
	"fmt"
	"net"
)

// admit counts a connection in, unless there are too many.
func (x *Exchange) admit(c net.Conn) error {
	host := hostOf(c)
	x.mu.Lock()
	defer x.mu.Unlock()
	waiting := 0
	for _, n := range x.waiting {
		waiting += n
	}
	switch {
	case len(x.open) >= maxConns:
		return fmt.Errorf("more than %d connections", maxConns)
	case waiting >= maxWaiting:
		return fmt.Errorf("more than %d connections of strangers", maxWaiting)
	case x.waiting[host] >= maxWaitingPerHost:
		return fmt.Errorf("more than %d connections of strangers on %s", maxWaitingPerHost, host)
	}
	x.open[c] = false
	x.waiting[host]++
	return nil
}

// known notes that the peer at the other end has proved its name.
func (x *Exchange) known(c net.Conn) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.stopWaiting(c)
	x.open[c] = true
}

func (x *Exchange) dismiss(c net.Conn) {
	x.mu.Lock()
	x.stopWaiting(c)
	delete(x.open, c)
	x.mu.Unlock()
	_ = c.Close()
}

// stopWaiting needs x.mu.
func (x *Exchange) stopWaiting(c net.Conn) {
	if x.open[c] {
		return
	}
	host := hostOf(c)
	if x.waiting[host]--; x.waiting[host] == 0 {
		delete(x.waiting, host)
	}
}

func hostOf(c net.Conn) string {
	address := c.RemoteAddr().String()
	if host, _, err := net.SplitHostPort(address); err == nil {
		return host
	}
	return address
}
