package e2e

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/grapevine-mesh/grapevine/test/real"
)

// TestTheStory is why this program exists: the disk below one etcd member
// becomes slow. Any other node names that disk, on its node, within seconds,
// and still does when two of three members are gone.
func TestTheStory(t *testing.T) {
	t.Parallel()
	disk := real.NeedSlowDisk(t)
	const slow = 1
	others := t.TempDir()
	etcd := real.NeedEtcd(t, real.EtcdOptions{Members: size, DataDir: func(i int) string {
		if i == slow {
			return filepath.Join(disk.Dir, "etcd")
		}
		return filepath.Join(others, nodeName(i))
	}})
	c := &cluster{t: t, etcd: etcd}
	var seeds []string
	for i, m := range etcd.Members {
		c.agents = append(c.agents, real.NeedAgent(t, real.AgentOptions{
			Name: nodeName(i), Join: seeds, Checks: []string{"disk", "etcd"},
			Config: fmt.Sprintf("checks:\n  etcd: {endpoints: [%q]}\n  disk: {paths: [%q]}\n", m.ClientURL, m.DataDir),
		}))
		seeds = append(seeds, c.agents[i].Gossip)
	}
	c.converged(c.agents...)
	from := c.agents[0]
	verdict := func(value float64, check string) func(context.Context) error {
		return func(ctx context.Context) error {
			return wants(ctx, from, "grapevine_check_status", value, "node", nodeName(slow), "check", check)
		}
	}
	eventually(t, "the disk is well", verdict(0, "disk"))

	disk.Set(real.DiskFault{Fsync: 1500 * time.Millisecond})
	t.Cleanup(disk.Heal)
	eventually(t, "another node names the disk", verdict(2, "disk"))
	names := func(context.Context) error {
		out, code := grapevine(t, "status", "--url="+from.URL)
		for line := range strings.Lines(out) {
			if strings.HasPrefix(line, "CRITICAL") && strings.Contains(line, nodeName(slow)+" ") && strings.Contains(line, " disk ") && strings.Contains(line, disk.Dir) {
				return nil
			}
		}
		return fmt.Errorf("exit %d:\n%s", code, out)
	}
	eventually(t, "status says it in a line", names)

	for _, i := range []int{0, 2} {
		if err := etcd.Members[i].Kill(); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the quorum is lost, and that is said, too", func(ctx context.Context) error {
		return wants(ctx, from, "grapevine_check_status", 2, "node", nodeName(0), "check", "etcd")
	})
	eventually(t, "the disk is still named", names)
}
