package real

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
)

// Image is a container image that holds one static program, since none can be
// pulled: a tar file as docker save writes it, which docker load and ctr
// images import read.
type Image struct {
	Name    string // with registry and tag: "docker.io/library/pause:1"
	Tar     string // path
	Program string // the program in it, by its path outside
}

// PauseImage is what sandboxes of StartContainerd run.
const PauseImage = "docker.io/library/grapevine-pause:1"

// program is built into the images, and plays its part by its arguments:
// none: waits to be stopped, reaping children, as pause does;
// exit N: ends with that code; sleep: does not end at SIGTERM.
const program = `package main

import (
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "exit":
			code, _ := strconv.Atoi(os.Args[2])
			os.Exit(code)
		case "sleep":
			signal.Ignore(syscall.SIGTERM)
			time.Sleep(time.Hour)
		}
		return
	}
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGCHLD)
	for s := range signals {
		if s != syscall.SIGCHLD {
			return
		}
		for {
			if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); pid <= 0 || err != nil {
				break
			}
		}
	}
}
`

var buildProgram struct {
	sync.Mutex
	binary []byte
}

// StaticProgram builds, once, the program of the images: without arguments it
// waits for SIGTERM, "exit N" ends with that code, anything else ends well.
func StaticProgram(ctx context.Context) ([]byte, error) {
	buildProgram.Lock()
	defer buildProgram.Unlock()
	if buildProgram.binary != nil {
		return buildProgram.binary, nil
	}
	dir, err := os.MkdirTemp("", "grapevine-image-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	source, binary := filepath.Join(dir, "main.go"), filepath.Join(dir, "program")
	if err := os.WriteFile(source, []byte(program), 0o600); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", binary, source)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building the program of an image: %w: %s", err, out)
	}
	buildProgram.binary, err = os.ReadFile(binary)
	return buildProgram.binary, err
}

// WriteImage makes dir/FILE.tar of an image with that name, which runs
// /program. Labels may be nil.
func WriteImage(ctx context.Context, dir, name string, labels map[string]string) (Image, error) {
	binary, err := StaticProgram(ctx)
	if err != nil {
		return Image{}, err
	}
	image := Image{Name: name, Tar: filepath.Join(dir, fileName(name)+".tar"), Program: filepath.Join(dir, "program")}
	if err := os.WriteFile(image.Program, binary, 0o755); err != nil {
		return Image{}, err
	}
	layer, err := tarOf(tarEntry{"program", 0o755, binary})
	if err != nil {
		return Image{}, err
	}
	config, err := json.Marshal(map[string]any{
		"architecture": runtime.GOARCH, "os": "linux",
		"config": map[string]any{"Entrypoint": []string{"/program"}, "Labels": labels},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{digest(layer)}},
	})
	if err != nil {
		return Image{}, err
	}
	configFile := digest(config)[len("sha256:"):] + ".json"
	manifest, err := json.Marshal([]map[string]any{{
		"Config": configFile, "RepoTags": []string{name}, "Layers": []string{"layer.tar"},
	}})
	if err != nil {
		return Image{}, err
	}
	archive, err := tarOf(tarEntry{"layer.tar", 0o644, layer}, tarEntry{configFile, 0o644, config}, tarEntry{"manifest.json", 0o644, manifest})
	if err != nil {
		return Image{}, err
	}
	return image, os.WriteFile(image.Tar, archive, 0o600)
}

type tarEntry struct {
	name    string
	mode    int64
	content []byte
}

func tarOf(entries ...tarEntry) ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		if err := w.WriteHeader(&tar.Header{Name: e.name, Mode: e.mode, Size: int64(len(e.content))}); err != nil {
			return nil, err
		}
		if _, err := w.Write(e.content); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func digest(b []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(b)) }
