package real

import (
	"context"
	"errors"
	"strings"
)

// CutPods loses every packet from pods of one node to pods of the other, on its
// arrival; the nodes themselves reach each other. Packets the other way arrive,
// but no answer to them does. The returned function ends it.
func (c *Cluster) CutPods(ctx context.Context, from, to *Node) (heal func(context.Context) error, err error) {
	table := "inet cut-from-" + from.Name
	rules := "table " + table + ` {
	chain arrived {
		type filter hook forward priority -10
		ip saddr ` + from.PodCIDR + ` ip daddr ` + to.PodCIDR + ` drop
	}
}`
	if _, err := to.Run(ctx, "nft", rules); err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		_, err := to.Run(ctx, "nft", append([]string{"delete", "table"}, strings.Fields(table)...)...)
		return err
	}, nil
}

// ForgetServices removes the rules that kube-proxy in its mode nftables has
// written on the node, and keeps it from writing them again. The returned
// function ends it, and returns when they are there.
func (n *Node) ForgetServices(ctx context.Context) (heal func(context.Context) error, err error) {
	heal = func(ctx context.Context) error {
		// A new one writes all rules; the paused one would write what changes.
		if err := errors.Join(n.Proxy.Kill(), n.Proxy.Start()); err != nil {
			return err
		}
		return n.proxyReady(ctx)
	}
	if err := n.Proxy.Pause(); err != nil {
		return nil, err
	}
	if _, err := n.Run(ctx, "nft", "delete", "table", "ip", "kube-proxy"); err != nil {
		return nil, errors.Join(err, heal(ctx))
	}
	return heal, nil
}
