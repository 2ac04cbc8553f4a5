package agent

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-kit/log"

	"github.com/grapevine-mesh/grapevine/collectors"
)

// running is an agent on loopback.
type running struct {
	*Agent
	t    *testing.T
	logs *logBuffer
	stop func() error // ends it and returns what Run did; may be called again
}

type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// testConfig is that of an agent with one check, of a directory of its own.
func testConfig(t *testing.T, name string) (Config, *logBuffer) {
	t.Helper()
	logs := &logBuffer{}
	return Config{
		Node: name, Version: "1.2.3", Paths: collectors.DefaultPaths(), StoragePath: t.TempDir(), ConfigFile: writeConfig(t, "grapevine.yml", diskConfig(t.TempDir())),
		WebListen: "127.0.0.1:0", MeshBind: "127.0.0.1:0", MeshExchange: "127.0.0.1:0", EchoListen: "127.0.0.1:0", MeshCluster: "test",
		StaleAfter: 2 * time.Minute, ForgetAfter: time.Hour,
		Collectors: map[string]bool{"apiserver": false, "dns": false, "etcd": false},
		Logger:     log.NewLogfmtLogger(log.NewSyncWriter(logs)),
	}, logs
}

// diskConfig probes dir and is content with any disk.
func diskConfig(dir string) string {
	return "checks:\n  disk:\n    interval: 2s\n    timeout: 1s\n    paths: [" + dir + "]\n" +
		"    thresholds:\n      fsync: {warning: 0s, critical: 0s}\n      usage: {warning: 0, critical: 0}\n      inodes: {warning: 0, critical: 0}\n"
}

func writeConfig(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func start(t *testing.T, cfg Config, logs *logBuffer) *running {
	t.Helper()
	a, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	r := &running{Agent: a, t: t, logs: logs}
	r.stop = sync.OnceValue(func() error {
		cancel()
		begin := time.Now()
		err := <-ended
		if took := time.Since(begin); took > 20*time.Second {
			t.Errorf("%s took %v to stop", cfg.Node, took)
		}
		return err
	})
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Errorf("%s ended with %v", cfg.Node, err)
		}
		http.DefaultClient.CloseIdleConnections()
		if t.Failed() {
			t.Logf("log of %s:\n%s", cfg.Node, logs)
		}
	})
	return r
}

func (r *running) get(path string) (int, string) {
	r.t.Helper()
	response, err := http.Get("http://" + r.WebAddr() + path)
	if err != nil {
		r.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

func (r *running) shows(path string, lines ...string) error {
	code, body := r.get(path)
	if code != http.StatusOK {
		return fmt.Errorf("%s of %s answers %d: %s", path, r.cfg.Node, code, body)
	}
	for _, line := range lines {
		if !strings.Contains(body, line) {
			return fmt.Errorf("%s of %s does not show %s", path, r.cfg.Node, line)
		}
	}
	return nil
}

// eventually waits until f is content. It fails much later than that ever takes:
// machines stall.
func eventually(t *testing.T, f func() error) {
	t.Helper()
	const patience = 2 * time.Minute
	var err error
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if err = f(); err == nil {
			return
		}
	}
	t.Fatalf("after %v: %v", patience, err)
}
