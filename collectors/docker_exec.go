package collectors

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/client"
)

// maxExecOutput bounds what is read of what a command in a container writes.
const maxExecOutput = 64 << 10

// Exec runs a command in a container and returns what it has written to its
// standard output, up to 64 KiB, and its exit code. What it has written to
// standard error is part of the error when the code is not 0.
func (d *Docker) Exec(ctx context.Context, containerID string, env, command []string) (output []byte, code int, err error) {
	made, err := d.ExecCreate(ctx, containerID, client.ExecCreateOptions{AttachStdout: true, AttachStderr: true, Env: env, Cmd: command})
	if err != nil {
		return nil, 0, err
	}
	attached, err := d.raw.ExecAttach(ctx, made.ID, client.ExecAttachOptions{})
	if err != nil {
		return nil, 0, err
	}
	defer attached.Close()
	stop := context.AfterFunc(ctx, attached.Close) // else nothing ends the reading
	defer stop()
	var stdout, stderr bytes.Buffer
	if _, err := stdcopy.StdCopy(&stdout, &stderr, io.LimitReader(attached.Reader, maxExecOutput)); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, 0, err
	}
	ended, err := d.ExecInspect(ctx, made.ID, client.ExecInspectOptions{})
	if err != nil {
		return nil, 0, err
	}
	if ended.ExitCode != 0 {
		err = fmt.Errorf("%s ended with exit code %d: %s", command[0], ended.ExitCode, clip(stderr.String()+stdout.String(), 200))
	}
	return stdout.Bytes(), ended.ExitCode, err
}
