//go:build unix && !linux

package real

import "syscall"

// dieWithParent does nothing: only Linux ties a child to its parent's life.
func dieWithParent(*syscall.SysProcAttr) {}

// awaitStopped does not wait: only Linux tells without taking the news away.
func awaitStopped(int) {}
