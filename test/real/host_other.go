//go:build unix && !linux

package real

import (
	"context"
	"errors"
)

// HostOptions says what host StartHost makes.
type HostOptions struct{ NetNS string }

// Host is a machine within this machine; there are none but on Linux.
type Host struct {
	*Process
	Dir, work string
}

var errNoHost = errors.New("starting a host: only Linux has namespaces")

// StartHost fails.
func StartHost(context.Context, HostOptions) (*Host, error) { return nil, errNoHost }

// Stop has nothing to stop.
func (h *Host) Stop() error { return nil }

// Run fails.
func (h *Host) Run(context.Context, string, ...string) (string, error) { return "", errNoHost }

func (h *Host) enter() error { return errNoHost }
