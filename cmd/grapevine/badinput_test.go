package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/grapevine-mesh/grapevine/internal/pki"
)

// execute runs the program as main does.
func execute(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	// What is refused must be refused at once: an agent that starts in spite
	// of its input ends here, with another exit code.
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var out, errs bytes.Buffer
	code = run(ctx, args, &out, &errs)
	return code, out.String(), errs.String()
}

func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// agentArgs are those of an agent on loopback, before more.
func agentArgs(t *testing.T, more ...string) []string {
	t.Helper()
	args := map[string]string{
		"--node.name": "n1", "--storage.path": t.TempDir(),
		"--web.listen-address": "127.0.0.1:0", "--mesh.bind": "127.0.0.1:0", "--mesh.exchange": "127.0.0.1:0", "--echo.listen-address": "127.0.0.1:0",
	}
	line := []string{"agent"}
	for _, arg := range more {
		flag, _, _ := strings.Cut(arg, "=")
		delete(args, flag)
		line = append(line, arg)
	}
	for flag, value := range args {
		line = append(line, flag+"="+value)
	}
	return line
}

func TestBadInput(t *testing.T) {
	dir, notDir := t.TempDir(), file(t, "file", "")
	absent := filepath.Join(dir, "absent")
	config := func(text string) string { return "--config.file=" + file(t, "grapevine.yml", text) }
	key := func(n int) string {
		return "--mesh.key-file=" + file(t, "gossip.key", base64.StdEncoding.EncodeToString(make([]byte, n)))
	}

	for _, err := range []error{pki.NewCA(dir, time.Hour), pki.NewCertificate(dir, "n1", nil, time.Minute), pki.NewCertificate(dir, "n2", nil, time.Minute)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	ca, cert, certKey := "--mesh.tls-ca="+dir+"/ca.crt", "--mesh.tls-cert="+dir+"/n1.crt", "--mesh.tls-key="+dir+"/n1.key"

	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	taken := tcp.Addr().String()

	locked := t.TempDir()
	lock, err := os.Create(filepath.Join(locked, "lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}

	tests := []struct {
		name string
		args []string // of the agent, unless the first is another command
		want []string // what each line on stderr says
	}{
		{"unknown key", []string{config("checks:\n  etcd:\n    intervall: 1s\n")}, []string{`grapevine.yml:3: unknown key "intervall"`}},
		{"unknown check", []string{config("checks:\n  skydns: {}\n")}, []string{`grapevine.yml:2: unknown key "skydns"`}},
		{"wrong type", []string{config("checks:\n  disk:\n    paths: 3\n")}, []string{`grapevine.yml:3: paths: "3", where a list is wanted`}},
		{"impossible interval", []string{config("checks:\n  etcd:\n    interval: 0s\n")}, []string{`grapevine.yml:3: etcd: interval: 0s`}},
		{"impossible threshold", []string{config("checks:\n  disk:\n    thresholds:\n      usage: {warning: 2}\n")}, []string{`grapevine.yml:4: disk: thresholds: usage: `}},
		{"two mistakes, two lines", []string{config("checks:\n  etcd:\n    a: 1\n  disk:\n    interval: x\n")}, []string{`grapevine.yml:3: `, `grapevine.yml:5: `}},
		{"no configuration file", []string{"--config.file=" + absent}, []string{absent + ": no such file or directory"}},
		{"a directory as configuration", []string{"--config.file=" + dir}, []string{dir + ": is a directory"}},

		{"no certificate file", []string{ca, "--mesh.tls-cert=" + absent, certKey}, []string{absent}},
		{"no authority file", []string{"--mesh.tls-ca=" + absent, cert, certKey}, []string{absent}},
		{"a key as authority", []string{"--mesh.tls-ca=" + dir + "/n1.key", cert, certKey}, []string{dir + "/n1.key"}},
		{"a certificate and another's key", []string{ca, cert, "--mesh.tls-key=" + dir + "/n2.key"}, []string{dir + "/n2.key"}},
		{"another node's certificate", []string{ca, "--mesh.tls-cert=" + dir + "/n2.crt", "--mesh.tls-key=" + dir + "/n2.key"}, []string{"n2"}},
		{"only a certificate", []string{cert}, []string{"--mesh.tls-key: missing"}},
		{"no authority", []string{cert, certKey}, []string{"--mesh.tls-ca: missing"}},
		{"a budget that is no number", []string{"--mesh.byte-budget=lots"}, []string{`--mesh.byte-budget: "lots" is not a number of bytes`}},
		{"a budget below nothing", []string{"--mesh.byte-budget=-1kB"}, []string{`--mesh.byte-budget: "-1kB" is not`}},
		{"no key file", []string{"--mesh.key-file=" + absent}, []string{"--mesh.key-file: "}},
		{"a directory as key file", []string{"--mesh.key-file=" + dir}, []string{"--mesh.key-file: " + dir}},
		{"a key file that never ends", []string{"--mesh.key-file=/dev/zero"}, []string{"--mesh.key-file: /dev/zero"}},
		{"an empty key file", []string{"--mesh.key-file=" + notDir}, []string{"--mesh.key-file: " + notDir}},
		{"a short key", []string{key(5)}, []string{"of 5 bytes"}},
		{"no base64", []string{"--mesh.key-file=" + file(t, "key", "%%%")}, []string{"base64"}},
		{"a second line that is no key", []string{"--mesh.key-file=" + file(t, "key", "AAAAAAAAAAAAAAAAAAAAAA==\nAAAA\n")}, []string{"key:2: holds a key of 3 bytes"}},
		{"a key twice", []string{"--mesh.key-file=" + file(t, "key", strings.Repeat("AAAAAAAAAAAAAAAAAAAAAA==\n", 2))}, []string{"--mesh.key-file: key number 2 is there twice"}},
		{"too many keys", []string{"--mesh.key-file=" + file(t, "key", strings.Repeat("AAAAAAAAAAAAAAAAAAAAAA==\n", 9))}, []string{"--mesh.key-file: 9 keys"}},

		{"web port in use", []string{"--web.listen-address=" + taken}, []string{"--web.listen-address: listen tcp " + taken}},
		{"exchange port in use", []string{"--mesh.exchange=" + taken}, []string{"--mesh.exchange: listen tcp " + taken}},
		{"gossip port in use", []string{"--mesh.bind=" + taken}, []string{"--mesh.bind: "}},
		{"no port", []string{"--web.listen-address=127.0.0.1"}, []string{`--web.listen-address: "127.0.0.1"`}},
		{"gossip beyond loopback", []string{"--mesh.bind=:0"}, []string{"--mesh.bind: :0 is not loopback"}},
		{"echo beyond loopback", []string{"--echo.listen-address=0.0.0.0:0"}, []string{"--echo.listen-address: 0.0.0.0:0 is not loopback"}},
		{"echo port in use", []string{"--echo.listen-address=" + taken}, []string{"--echo.listen-address: listen tcp " + taken}},
		{"no duration of grace", []string{"--start-grace=soon"}, []string{`--start-grace: "soon" is not a duration`}},
		{"exchange beyond loopback", []string{"--mesh.exchange=0.0.0.0:0"}, []string{"--mesh.insecure"}},
		{"web beyond loopback", []string{"--web.listen-address=[::]:0"}, []string{"--web.listen-address: [::]:0 is not loopback"}},
		{"a key alone is not enough", []string{"--mesh.bind=:0", key(32)}, []string{"--mesh.insecure"}},
		{"certificates alone are not enough", []string{"--mesh.bind=:0", ca, cert, certKey}, []string{"--mesh.insecure"}},

		{"storage below a file", []string{"--storage.path=" + notDir + "/x"}, []string{"--storage.path: "}},
		{"storage nobody can write", []string{"--storage.path=/proc/grapevine"}, []string{"--storage.path: "}},
		{"storage in use", []string{"--storage.path=" + locked}, []string{"--storage.path: " + locked + ": in use by another agent"}},
		{"no storage", []string{"--storage.path="}, []string{"--storage.path: "}},

		{"scrapes below none", []string{"--web.max-requests=-1"}, []string{`--web.max-requests: "-1" is not a number`}},
		{"scrapes that are no number", []string{"--web.max-requests=many"}, []string{`--web.max-requests: "many" is not a number`}},
		{"no web config file", []string{"--web.config.file=" + absent}, []string{"--web.config.file: "}},
		{"web config with unknown key", []string{"--web.config.file=" + file(t, "web.yml", "tls: {}\n")}, []string{"--web.config.file: "}},
		{"web config without its certificate", []string{"--web.config.file=" + file(t, "web.yml", "tls_server_config: {cert_file: a, key_file: b}\n")}, []string{"--web.config.file: "}},

		{"stale at once", []string{"--mesh.stale-after=1s"}, []string{"--mesh.stale-after: "}},
		{"forgotten before stale", []string{"--mesh.forget-after=1m"}, []string{"--mesh.forget-after: "}},
		{"a negative time", []string{"--mesh.forget-after=-1m"}, []string{"--mesh.forget-after: "}},
		{"no name", []string{"--node.name="}, []string{"--node.name: "}},
		{"no cluster", []string{"--mesh.cluster="}, []string{"--mesh.cluster: "}},
		{"unknown level", []string{"--log.level=loud"}, []string{"--log.level: "}},
		{"unknown format", []string{"--log.format=xml"}, []string{"--log.format: "}},
		{"unknown flag", []string{"--collector.nothing"}, []string{"--collector.nothing"}},

		{"no command", []string{""}, []string{"--help"}},
		{"unknown command", []string{"agnt"}, []string{`"agnt"`}},
		{"unknown check by name", []string{"check", "nothing"}, []string{`"nothing"`}},
		{"bad configuration for check", []string{"check", config("a: b")}, []string{`grapevine.yml:1: unknown key "a"`}},
		{"unknown output", []string{"status", "-o", "xml"}, []string{"--output: "}},
		{"bad URL", []string{"status", "--url=localhost:9797"}, []string{"--url: "}},
		{"bad HTTP client configuration", []string{"members", "--http.config.file=" + absent}, []string{"--http.config.file: "}},
		{"certificate without authority", []string{"keygen", "cert", "--dir=" + t.TempDir(), "--node=n1"}, []string{"keygen ca"}},
		{"certificate without node", []string{"keygen", "cert", "--dir=" + dir}, []string{"--node"}},
		{"certificate for ever", []string{"keygen", "cert", "--dir=" + dir, "--node=n3", "--valid=long"}, []string{"--valid: "}},
		{"keys of no agent", []string{"keyring", "list", "--storage.path=" + dir}, []string{"no agent runs here that keeps its state in " + dir}},
		{"no key to add", []string{"keyring", "add", "--storage.path=" + dir, "--key-file=" + notDir}, []string{"--key-file: " + notDir + " is not one line of base64"}},
		{"no file with a key to add", []string{"keyring", "add", "--storage.path=" + dir, "--key-file=" + dir + "/absent"}, []string{"--key-file: open " + dir + "/absent"}},
		{"no key to use", []string{"keyring", "use", "--storage.path=" + dir}, []string{"fingerprint"}},
		{"authority once more", []string{"keygen", "ca", "--dir=" + dir}, []string{"file exists"}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			args := tc.args
			switch {
			case args[0] == "":
				args = nil
			case strings.HasPrefix(args[0], "--"):
				args = agentArgs(t, args...)
			}
			code, stdout, stderr := execute(t, args...)
			if code != badInput || stdout != "" {
				t.Errorf("exit code %d, stdout %q; want %d and none", code, stdout, badInput)
			}
			lines := strings.Split(strings.TrimSuffix(stderr, "\n"), "\n")
			if len(lines) != len(tc.want) {
				t.Fatalf("stderr has %d lines, want %d:\n%s", len(lines), len(tc.want), stderr)
			}
			for i, want := range tc.want {
				if !strings.HasPrefix(lines[i], "grapevine: ") || !strings.Contains(lines[i], want) {
					t.Errorf("line %d is %q, want it to say %q", i+1, lines[i], want)
				}
			}
		})
	}
}
