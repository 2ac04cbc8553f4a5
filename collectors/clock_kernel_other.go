//go:build !linux

package collectors

import "errors"

func readKernelClock() (kernelClock, error) {
	return kernelClock{}, errors.ErrUnsupported
}
