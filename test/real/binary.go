package real

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Root is the root of the repository, found from the working directory.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("finding the repository: %w", err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", errors.New("finding the repository: no go.mod here or above")
		}
		dir = up
	}
}

// FindBinary returns the path of a built program: bin/NAME at the root of the
// repository, else from $PATH.
func FindBinary(name string) (string, error) {
	root, err := Root()
	if err == nil {
		if path, err := exec.LookPath(filepath.Join(root, "bin", name)); err == nil {
			return path, nil
		}
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("bin/%s is not built: run make tools build", name)
	}
	return path, nil
}
