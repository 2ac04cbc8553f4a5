package real

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
)

// Ports are taken from below the range of which the kernel serves outgoing
// connections and port 0 by default, and below Kubernetes' node ports: so a
// server that is down for a while finds its port free when it comes back.
const firstPort, lastPort = 20000, 29999

// startAttempts is how often a server is started anew when another program
// took a port between FreePort and the start.
const startAttempts = 5

var givenPorts sync.Map // port -> struct{}: handed out by this program before

// FreePort returns a port that is free on 127.0.0.1 for TCP and UDP, and that
// it has not returned before, here or in another program that still runs: a
// server that is down for a while must not lose its port to another test.
func FreePort() (int, error) {
	for range 1000 {
		port := firstPort + rand.IntN(lastPort-firstPort+1)
		if !claim(port) || !isFree(port) {
			continue
		}
		if _, given := givenPorts.LoadOrStore(port, struct{}{}); !given {
			return port, nil
		}
	}
	return 0, fmt.Errorf("no free port found between %d and %d on 127.0.0.1", firstPort, lastPort)
}

func isFree(port int) bool {
	ip := net.IPv4(127, 0, 0, 1)
	l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: ip, Port: port})
	if err != nil {
		return false
	}
	u, err := net.ListenUDP("udp4", &net.UDPAddr{IP: ip, Port: port})
	if err != nil {
		_ = l.Close()
		return false
	}
	return errors.Join(l.Close(), u.Close()) == nil
}

// freePorts returns n different free ports.
func freePorts(n int) ([]int, error) {
	ports := make([]int, n)
	for i := range ports {
		port, err := FreePort()
		if err != nil {
			return nil, err
		}
		ports[i] = port
	}
	return ports, nil
}

// errPortTaken marks a start that is worth another attempt.
var errPortTaken = errors.New("a port was taken by another program")

// portTaken tells from a server's last words whether it missed its port.
func portTaken(p *Process) bool {
	return !p.Running() && strings.Contains(p.Log(), "address already in use")
}

// withFreshPorts calls start, which takes new ports every time, until it
// succeeds or fails for another reason than a port.
func withFreshPorts(start func() error) error {
	var err error
	for range startAttempts {
		if err = start(); !errors.Is(err, errPortTaken) {
			return err
		}
	}
	return err
}
