package agent

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// lockStorage makes the storage path and keeps a second agent off it: two
// would speak in one name. The lock goes with the process.
func lockStorage(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("--storage.path: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("--storage.path: %w", err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = errors.New("in use by another agent")
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("--storage.path: %s: %w", dir, err), f.Close())
	}
	return f, nil
}
