package collectors

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"os"
	"runtime"
	"strings"
	"time"
)

// CanaryRepository is the name of the canary's image, whose tag is made of
// its content.
const CanaryRepository = "docker.io/grapevine/canary"

// BinaryImage is a container image that holds one static binary as /grapevine
// and nothing else.
type BinaryImage struct {
	Name    string            // with a tag
	Command string            // the argument it is run with
	Labels  map[string]string // of the image
	Created time.Time         // zero: the beginning of the epoch, so that the same binary gives the same image
	binary  *os.File
	size    int64
	layer   string // digest, hex
}

// OpenCanaryImage makes the image of the canary of the binary at path.
func OpenCanaryImage(path string) (*BinaryImage, error) {
	i, err := OpenBinaryImage(path)
	if err != nil {
		return nil, fmt.Errorf("the canary's image: %w", err)
	}
	i.Name, i.Command = CanaryRepository+":"+i.layer[:12], "canary"
	i.Labels = map[string]string{canaryImageLabel: "1"}
	return i, nil
}

// OpenBinaryImage makes an image of the binary at path, which is to be given a
// name. It reads it once, and keeps nothing of it in memory.
func OpenBinaryImage(path string) (*BinaryImage, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	i := &BinaryImage{binary: f, size: info.Size()}
	digest := sha256.New()
	if err := i.writeLayer(digest); err != nil {
		_ = f.Close()
		return nil, err
	}
	i.layer = hexSum(digest)
	return i, nil
}

// Close closes the binary.
func (i *BinaryImage) Close() error { return i.binary.Close() }

// layerSize is the size of a tar of one file: header, padding, two empty
// blocks at the end.
func (i *BinaryImage) layerSize() int64 {
	const block = 512
	return block + (i.size+block-1)/block*block + 2*block
}

func (i *BinaryImage) writeLayer(w io.Writer) error {
	t := tar.NewWriter(w)
	header := tar.Header{Name: "grapevine", Mode: 0o755, Size: i.size, ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR}
	if err := t.WriteHeader(&header); err != nil {
		return err
	}
	// Exactly what was measured, should the file grow meanwhile.
	if _, err := io.Copy(t, io.NewSectionReader(i.binary, 0, i.size)); err != nil {
		return err
	}
	return t.Close()
}

// Write writes the image as docker save does: docker load reads it, and ctr
// images import.
func (i *BinaryImage) Write(w io.Writer) error {
	created := i.Created
	if created.IsZero() {
		created = time.Unix(0, 0)
	}
	config, err := json.Marshal(map[string]any{
		"architecture": runtime.GOARCH, "os": runtime.GOOS, "created": created.UTC(),
		"config": map[string]any{
			"Entrypoint": []string{"/grapevine"}, "Cmd": []string{i.Command}, "User": "65534", "Labels": i.Labels,
		},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{"sha256:" + i.layer}},
	})
	if err != nil {
		return err
	}
	digest := sha256.New()
	_, _ = digest.Write(config)
	configName := hexSum(digest) + ".json"
	manifest, err := json.Marshal([]map[string]any{{
		"Config": configName, "RepoTags": []string{i.Name}, "Layers": []string{i.layer + ".tar"},
	}})
	if err != nil {
		return err
	}
	t := tar.NewWriter(w)
	for _, part := range []struct {
		name  string
		size  int64
		write func(io.Writer) error
	}{
		{i.layer + ".tar", i.layerSize(), i.writeLayer},
		{configName, int64(len(config)), writes(config)},
		{"manifest.json", int64(len(manifest)), writes(manifest)},
	} {
		if err := t.WriteHeader(&tar.Header{Name: part.name, Mode: 0o644, Size: part.size}); err != nil {
			return err
		}
		if err := part.write(t); err != nil {
			return err
		}
	}
	return t.Close()
}

func writes(b []byte) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.Copy(w, bytes.NewReader(b))
		return err
	}
}

func hexSum(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)) }

// ShortName is the name as Docker shows it: without its default registry.
func (i *BinaryImage) ShortName() string { return strings.TrimPrefix(i.Name, "docker.io/") }
