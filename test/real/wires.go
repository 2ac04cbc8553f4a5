package real

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"strings"
)

// wires are a bridge of this machine that nodes are plugged into, so that this
// program and all it starts reaches them, and their pods. All of it has
// addresses of 10.number.0.0/16.
type wires struct {
	number int // also tells clusters of several programs apart
	claim  net.Listener
}

// The numbers that wires may have: ranges that neither clusters nor the
// networks that tests run in are likely to use.
const firstWires, lastWires = 180, 219

// newWires makes a bridge. On the way it removes those that killed programs
// have left: a number is claimed by a socket in the abstract namespace, which
// ends with its program.
func newWires(ctx context.Context) (*wires, error) {
	for number := firstWires; number <= lastWires; number++ {
		l, err := net.Listen("unix", fmt.Sprintf("@grapevine-test-wires-%d", number))
		if err != nil {
			continue
		}
		w := &wires{number: number, claim: l}
		if _, err := net.InterfaceByName(w.bridge()); err == nil {
			if err := runLines(ctx, "ip link delete "+w.bridge()); err != nil {
				return nil, errors.Join(err, l.Close())
			}
		}
		err = runLines(ctx,
			fmt.Sprintf("ip link add %s type bridge", w.bridge()),
			fmt.Sprintf("ip address add %s/17 dev %s", w.address(), w.bridge()),
			fmt.Sprintf("ip link set %s up", w.bridge()),
		)
		if err != nil {
			return nil, errors.Join(err, w.remove())
		}
		return w, nil
	}
	return nil, errors.New("no number is left for another bridge")
}

func (w *wires) bridge() string { return "gvtest" + strconv.Itoa(w.number) }

// address is this machine's on the bridge.
func (w *wires) address() string { return fmt.Sprintf("10.%d.0.1", w.number) }

// node is the address of node i.
func (w *wires) node(i int) string { return fmt.Sprintf("10.%d.0.%d", w.number, 11+i) }

// pods is what nodes get parts of for their pods.
func (w *wires) pods() string { return fmt.Sprintf("10.%d.128.0/17", w.number) }

// plug gives a host its eth0.
func (w *wires) plug(ctx context.Context, h *Host, i int) error {
	plug := fmt.Sprintf("gvtest%dn%d", w.number, i)
	// The kernel takes its time to remove the one of an ended host, which had
	// this number before. It may be gone by the time it is deleted.
	if _, err := net.InterfaceByName(plug); err == nil {
		_ = runLines(ctx, "ip link delete "+plug)
	}
	err := runLines(ctx,
		fmt.Sprintf("ip link add %s type veth peer name eth0 netns %d", plug, h.Pid()),
		fmt.Sprintf("ip link set %s master %s up", plug, w.bridge()),
	)
	if err != nil {
		return err
	}
	for _, line := range []string{
		fmt.Sprintf("ip address add %s/17 dev eth0", w.node(i)),
		"ip link set eth0 up",
		"ip route add default via " + w.address(),
	} {
		words := strings.Fields(line)
		if out, err := h.Run(ctx, words[0], words[1:]...); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
	}
	_, err = h.Run(ctx, "/bin/sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")
	return err
}

// remove unplugs all.
func (w *wires) remove() error {
	return errors.Join(runLines(context.Background(), "ip link delete "+w.bridge()), w.claim.Close())
}

// runLines runs commands of this machine one after the other. The error holds
// what the failed one wrote.
func runLines(ctx context.Context, lines ...string) error {
	for _, line := range lines {
		words := strings.Fields(line)
		if out, err := exec.CommandContext(ctx, words[0], words[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", line, err, bytes.TrimSpace(out))
		}
	}
	return nil
}
