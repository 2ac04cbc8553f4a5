package agent

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-kit/log/level"

	"github.com/grapevine-mesh/grapevine/internal/control"
	"github.com/grapevine-mesh/grapevine/mesh"
)

// echoKeys are those of the gossip: echo packets are signed with keys derived
// from them, and follow a rotation.
func (a *Agent) echoKeys() [][]byte { return a.mesh.GossipKeys() }

// reloadKeys takes in what has changed in the files of the mesh's keys and
// certificates.
func (a *Agent) reloadKeys() error {
	err := a.mesh.RenewCertificate()
	if a.cfg.MeshKeyFile == "" {
		return err
	}
	keys, keyErr := readKeys(a.cfg.MeshKeyFile)
	if keyErr != nil {
		return errors.Join(err, fmt.Errorf("--mesh.key-file: %w", keyErr))
	}
	return errors.Join(err, a.mesh.ReplaceGossipKeys(keys))
}

// serveControl answers who may read the storage path, until ctx ends. An agent
// without it lacks nothing else.
func (a *Agent) serveControl(ctx context.Context) {
	l, err := control.Listen(a.cfg.StoragePath)
	if err != nil {
		level.Warn(a.cfg.Logger).Log("msg", "grapevine keyring cannot ask this agent", "err", err)
		return
	}
	control.Serve(ctx, l, a.control)
}

// control does what grapevine keyring asks for.
func (a *Agent) control(ctx context.Context, r control.Request) (k mesh.Keyring, err error) {
	switch r.Do {
	case control.List:
		k, err = a.mesh.Keys(ctx)
	case control.Add:
		k, err = a.mesh.AddKey(ctx, r.Key)
	case control.Use:
		k, err = a.mesh.UseKey(ctx, r.Fingerprint, r.Force)
	case control.Remove:
		k, err = a.mesh.RemoveKey(ctx, r.Fingerprint, r.Force)
	default:
		return k, fmt.Errorf("this agent, %s, does not know how to %.100q", a.cfg.Version, r.Do)
	}
	if r.Do != control.List {
		level.Info(a.cfg.Logger).Log("msg", "asked to change the gossip's keys", "do", r.Do, "force", r.Force, "members", len(k.Members),
			"silent", len(k.Silent), "err", err)
	}
	return k, err
}
