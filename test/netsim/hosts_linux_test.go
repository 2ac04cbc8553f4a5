package netsim

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"
)

// echoing answers every datagram to a port of all the host's addresses.
func echoing(t *testing.T, host *Host) {
	t.Helper()
	err := host.Do(func() error {
		conn, err := net.ListenPacket("udp", ":7998")
		if err != nil {
			return err
		}
		t.Cleanup(func() { _ = conn.Close() })
		go func() {
			buffer := make([]byte, 2000)
			for {
				n, from, err := conn.ReadFrom(buffer)
				if err != nil {
					return
				}
				_, _ = conn.WriteTo(buffer[:n], from)
			}
		}()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// answers tells whether a datagram of so many bytes comes back within half
// a second, and how soon.
func answers(t *testing.T, host *Host, addr netip.Addr, size int) (time.Duration, bool) {
	t.Helper()
	var took time.Duration
	err := host.Do(func() error {
		conn, err := net.Dial("udp", netip.AddrPortFrom(addr, 7998).String())
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close() }()
		start := time.Now()
		if err := conn.SetDeadline(start.Add(500 * time.Millisecond)); err != nil {
			return err
		}
		if _, err := conn.Write(make([]byte, size)); err != nil {
			return err
		}
		_, err = conn.Read(make([]byte, size))
		took = time.Since(start)
		return err
	})
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%s to %s: %v", host.Name, addr, err)
	}
	return took, err == nil
}

func TestHosts(t *testing.T) {
	t.Parallel()
	h := NeedHosts(t, HostsOptions{Count: 3, Overlay: true})
	n1, n2, n3 := h.Host(1), h.Host(2), h.Host(3)
	for _, host := range h.hosts {
		echoing(t, host)
	}
	expect := func(what string, from *Host, addr netip.Addr, size int, want bool) {
		t.Helper()
		if _, got := answers(t, from, addr, size); got != want {
			t.Errorf("%s: %s hears %s: %v", what, from.Name, addr, got)
		}
	}
	for _, addr := range []netip.Addr{n2.Addr, n2.Addr6, n2.Overlay, n3.Overlay} {
		expect("all well", n1, addr, 100, true)
	}

	h.DropOverlay(1, 2)
	expect("overlay dropped", n1, n2.Overlay, 100, false)
	expect("overlay dropped", n2, n1.Overlay, 100, false)
	expect("overlay dropped", n1, n3.Overlay, 100, true)
	expect("overlay dropped", n1, n2.Addr, 100, true)

	h.Heal()
	h.Link(1, 2, Link{Delay: 50 * time.Millisecond, MTU: 1400})
	expect("small MTU", n1, n2.Addr, 1300, true)
	expect("small MTU", n1, n2.Addr, 1400, false)
	expect("small MTU", n1, n2.Overlay, 1300, true)
	expect("small MTU", n1, n2.Overlay, 1360, false)
	if took, _ := answers(t, n1, n2.Addr, 100); took < 50*time.Millisecond {
		t.Errorf("delayed by 50 ms, but answered after %v", took)
	}

	h.Heal()
	if err := n2.Carrier(false); err != nil {
		t.Fatal(err)
	}
	expect("cable pulled", n1, n2.Addr, 100, false)
	out, err := n2.Command("cat", "/sys/class/net/eth0/carrier").CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != "0" {
		t.Errorf("carrier of a pulled cable: %q, %v", out, err)
	}
	if err := n2.Carrier(true); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for ctx.Err() == nil {
		if _, heard := answers(t, n1, n2.Overlay, 100); heard {
			break
		}
	}
	expect("cable back", n1, n2.Overlay, 100, true)
}

func TestHostsOfADeadProgramGo(t *testing.T) {
	t.Parallel()
	NeedHosts(t, HostsOptions{Count: 0})
	prefix, err := netnsPrefix()
	if err != nil {
		t.Fatal(err)
	}
	left := prefix + "n1"
	if err := runIP("", "netns", "add", left); err != nil {
		t.Fatal(err)
	}
	netnsClaims.Lock() // as when this program has ended
	err = netnsClaims.held[prefix].Close()
	delete(netnsClaims.held, prefix)
	netnsClaims.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	// A program that another test starts holds on to the closed claim for a
	// moment, between fork and exec.
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if _, err := netnsPrefix(); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(netnsDir + "/" + left); errors.Is(err, os.ErrNotExist) {
			return
		}
	}
	t.Errorf("%s is still there", left)
}
