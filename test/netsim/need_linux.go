package netsim

import (
	"os"
	"os/exec"
	"testing"
)

// NeedHosts makes hosts that end with the test. Without root, or without ip,
// the test is skipped, or fails when CI=true.
func NeedHosts(tb testing.TB, o HostsOptions) *Hosts {
	tb.Helper()
	why := ""
	if os.Geteuid() != 0 {
		why = "network namespaces need root"
	} else if _, err := exec.LookPath("ip"); err != nil {
		why = "network namespaces need ip: apt-get install iproute2"
	} else if _, err := os.Stat("/dev/net/tun"); err != nil {
		why = "hosts on a simulated network need /dev/net/tun: modprobe tun"
	}
	if why != "" {
		if os.Getenv("CI") == "true" {
			tb.Fatal(why)
		}
		tb.Skip(why)
	}
	h, err := StartHosts(o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := h.Stop(); err != nil {
			tb.Error(err)
		}
	})
	return h
}
