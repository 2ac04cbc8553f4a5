//go:build !linux

package mesh

import "syscall"

// giveUp leaves it to the system when it breaks a connection.
func giveUp(_, _ string, _ syscall.RawConn) error { return nil }
