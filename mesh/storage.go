package mesh

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
)

// storage is the directory in which a node keeps what outlives a restart.
type storage struct {
	dir    string
	logger log.Logger
}

// openStorage makes the directory and tries that it can be written.
func openStorage(dir string, logger log.Logger) (*storage, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("storage path: %w", err)
	}
	st := &storage{dir, logger}
	if err := st.write(".writable", nil); err != nil {
		return nil, err
	}
	return st, os.Remove(filepath.Join(dir, ".writable"))
}

func (st *storage) read(name string) ([]byte, error) {
	b, err := os.ReadFile(filepath.Join(st.dir, name))
	if err != nil {
		return nil, fmt.Errorf("storage path: %w", err)
	}
	return b, nil
}

// write replaces a file as a whole: after a crash it is the old or the new one.
func (st *storage) write(name string, content []byte) error {
	err := func() error {
		f, err := os.CreateTemp(st.dir, "."+name+"-*")
		if err != nil {
			return err
		}
		defer os.Remove(f.Name())
		_, err = f.Write(content)
		if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
			return err
		}
		if err := os.Rename(f.Name(), filepath.Join(st.dir, name)); err != nil {
			return err
		}
		d, err := os.Open(st.dir)
		if err != nil {
			return err
		}
		return errors.Join(d.Sync(), d.Close())
	}()
	if err != nil {
		return fmt.Errorf("storage path: writing %s: %w", name, err)
	}
	return nil
}

// remove deletes a file, if it is there.
func (st *storage) remove(name string) error {
	if err := os.Remove(filepath.Join(st.dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("storage path: %w", err)
	}
	return nil
}

// setAside moves a file that cannot be used out of the way, for a person to
// look at, and says so.
func (st *storage) setAside(name string, why error) error {
	aside := fmt.Sprintf("%s.corrupt-%d", name, time.Now().Unix())
	level.Warn(st.logger).Log("msg", "set aside a file of an earlier run that cannot be used",
		"file", filepath.Join(st.dir, name), "now", aside, "err", why)
	if err := os.Rename(filepath.Join(st.dir, name), filepath.Join(st.dir, aside)); err != nil {
		return fmt.Errorf("storage path: %w", err)
	}
	return nil
}

// memory is what a node remembers of its earlier life: in which epoch it
// spoke and whom it knew, so that it finds the others with no seed alive.
type memory struct {
	Format  int      `json:"format"`
	Cluster string   `json:"cluster"`
	Node    string   `json:"node"`
	Epoch   uint64   `json:"epoch"`
	Peers   []string `json:"peers"` // host:port of their gossip
}

const (
	memoryFile   = "state.json"
	memoryFormat = 1
	// maxPeers bounds the peers remembered: enough that some are alive.
	maxPeers = 256
)

// recall reads what an earlier run of the same node remembered. A file that
// is damaged, or another node's, is set aside: a machine that is put to a new
// use must not join its old cluster.
func (st *storage) recall(cluster, node string) (memory, error) {
	blank := memory{Format: memoryFormat, Cluster: cluster, Node: node}
	b, err := st.read(memoryFile)
	if errors.Is(err, fs.ErrNotExist) {
		return blank, nil
	}
	if err != nil {
		return memory{}, err
	}
	m, err := parseMemory(b)
	if err == nil && (m.Cluster != cluster || m.Node != node) {
		err = fmt.Errorf("it is of node %q in cluster %q", m.Node, m.Cluster)
	}
	if err != nil {
		return blank, st.setAside(memoryFile, err)
	}
	return m, nil
}

// parseMemory reads the form of memoryFile.
func parseMemory(b []byte) (m memory, err error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	switch err := d.Decode(&m); {
	case err != nil:
		return m, err
	case d.More():
		return m, errors.New("something follows its end")
	case m.Format != memoryFormat:
		return m, fmt.Errorf("its format is %d, this program reads %d", m.Format, memoryFormat)
	case len(m.Peers) > maxPeers || m.Epoch > 1<<48:
		return m, errors.New("its values are beyond what this program writes")
	}
	return m, nil
}

func (st *storage) remember(m memory) error {
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	return st.write(memoryFile, append(b, '\n'))
}
