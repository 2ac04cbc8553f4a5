package real

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// MeshKeys are the keys of a mesh of agents, made as the README says.
type MeshKeys struct {
	tb      testing.TB
	program string
	pki     string // directory of the authority and what it has issued

	GossipKey string // file
}

// NeedMeshKeys makes an authority and a key for the gossip.
func NeedMeshKeys(tb testing.TB) MeshKeys {
	tb.Helper()
	dir := tb.TempDir()
	k := MeshKeys{tb: tb, program: Binary(tb, "grapevine"), pki: filepath.Join(dir, "pki"), GossipKey: filepath.Join(dir, "gossip.key")}
	k.keygen("ca", "--dir="+k.pki)
	if err := os.WriteFile(k.GossipKey, k.keygen("gossip"), 0o600); err != nil {
		tb.Fatal(err)
	}
	return k
}

// Flags issues a certificate to a node, and returns the agent's flags for all
// its keys.
func (k MeshKeys) Flags(node string) []string {
	k.tb.Helper()
	k.keygen("cert", "--dir="+k.pki, "--node="+node)
	file := func(name string) string { return filepath.Join(k.pki, name) }
	return []string{
		"--mesh.key-file=" + k.GossipKey, "--mesh.tls-ca=" + file("ca.crt"),
		"--mesh.tls-cert=" + file(node+".crt"), "--mesh.tls-key=" + file(node+".key"),
	}
}

// Certificates is the directory of the authority's certificate and the nodes'.
func (k MeshKeys) Certificates() string { return k.pki }

func (k MeshKeys) keygen(args ...string) []byte {
	k.tb.Helper()
	cmd := exec.CommandContext(k.tb.Context(), k.program, append([]string{"keygen"}, args...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		k.tb.Fatalf("%v: %v", cmd, err)
	}
	return out
}
