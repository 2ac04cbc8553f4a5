package real

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// LoopDisk is a small ext4 file system of its own, on a block device of its
// own: it can be filled up, turned read-only and damaged.
type LoopDisk struct {
	Dir    string // where it is mounted
	Device string // "/dev/loop3"
}

// StartLoopDisk makes and mounts an ext4 of size bytes below dir. It needs
// root, /dev/loop-control and mkfs.ext4.
func StartLoopDisk(dir string, size int64) (*LoopDisk, error) {
	if err := removeDeadMounts(); err != nil {
		return nil, err
	}
	number := diskNumber.Add(1)
	d := &LoopDisk{Dir: mountPoint(dir, number)}
	image := filepath.Join(dir, fmt.Sprintf("image-%d", number))
	f, err := os.OpenFile(image, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("making a loop disk: %w", err)
	}
	defer func() { _ = f.Close() }()
	if err := errors.Join(f.Truncate(size), os.Mkdir(d.Dir, 0o755)); err != nil {
		return nil, fmt.Errorf("making a loop disk: %w", err)
	}
	if out, err := exec.Command("mkfs.ext4", "-q", "-F", "-m", "0", image).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("making a file system: %w: %s", err, out)
	}
	device, err := attach(f)
	if err != nil {
		return nil, fmt.Errorf("attaching %s: %w", image, err)
	}
	// The mount alone keeps the device from here on.
	defer func() { _ = device.Close() }()
	d.Device = device.Name()
	// As distributions mount their root.
	if err := unix.Mount(d.Device, d.Dir, "ext4", 0, "errors=remount-ro"); err != nil {
		return nil, fmt.Errorf("mounting %s: %w", d.Device, err)
	}
	return d, nil
}

// attach makes a block device of a file. It goes when the last who has it open
// or mounted does.
func attach(image *os.File) (*os.File, error) {
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = control.Close() }()
	for {
		n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return nil, fmt.Errorf("looking for a free loop device: %w", err)
		}
		device, err := os.OpenFile(fmt.Sprintf("/dev/loop%d", n), os.O_RDWR, 0)
		if err != nil {
			return nil, err
		}
		err = unix.IoctlLoopConfigure(int(device.Fd()), &unix.LoopConfig{
			Fd: uint32(image.Fd()), Info: unix.LoopInfo64{Flags: unix.LO_FLAGS_AUTOCLEAR},
		})
		if err == nil {
			return device, nil
		}
		_ = device.Close()
		if !errors.Is(err, unix.EBUSY) { // another program was quicker
			return nil, err
		}
	}
}

// Fill writes a file until nothing is left, and returns its path.
func (d *LoopDisk) Fill() (string, error) {
	f, err := os.CreateTemp(d.Dir, "fill")
	if err != nil {
		return "", fmt.Errorf("filling %s: %w", d.Dir, err)
	}
	defer func() { _ = f.Close() }()
	for block := make([]byte, 1<<20); len(block) > 0; {
		if _, err = f.Write(block); err != nil {
			block = block[:len(block)/2]
		}
	}
	if !errors.Is(err, unix.ENOSPC) {
		return "", fmt.Errorf("filling %s: %w", d.Dir, err)
	}
	return f.Name(), nil
}

// ReadOnly mounts the file system again, so that nobody can write to it.
func (d *LoopDisk) ReadOnly() error {
	return unix.Mount("", d.Dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, "errors=remount-ro")
}

// Break makes ext4 believe that it has found damage: it counts an error, and
// lets nobody write any more.
func (d *LoopDisk) Break() error {
	trigger := filepath.Join("/sys/fs/ext4", strings.TrimPrefix(d.Device, "/dev/"), "trigger_fs_error")
	return os.WriteFile(trigger, []byte("a test"), 0)
}

// Stop takes the disk away. Who has files open there must have ended.
func (d *LoopDisk) Stop() error {
	if err := retryBusy(func() error { return unix.Unmount(d.Dir, 0) }); err != nil {
		return errors.Join(fmt.Errorf("unmounting %s: %w", d.Dir, err), unix.Unmount(d.Dir, unix.MNT_DETACH))
	}
	return nil
}
