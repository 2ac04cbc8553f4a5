package agent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What scripts write on one node is seen on every other, as what it was.
func TestTextfilesReachEveryNode(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	text := `# HELP backup_runs_total Runs of the backup.
# TYPE backup_runs_total counter
backup_runs_total{target="s3"} 17
# TYPE backup_seconds histogram
backup_seconds_bucket{le="1"} 2
backup_seconds_bucket{le="+Inf"} 3
backup_seconds_sum 12.5
backup_seconds_count 3
`
	for name, content := range map[string]string{"backup.prom": text, "bad.prom": "a 1\nb x\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg, logs := testConfig(t, "n1")
	cfg.ConfigFile = writeConfig(t, "grapevine.yml", "checks:\n  textfile:\n    directory: "+dir+"\n    interval: 1s\n    timeout: 500ms\n")
	cfg.Collectors = map[string]bool{"apiserver": false, "etcd": false, "disk": false}
	writer := start(t, cfg, logs)
	cfg, logs = testConfig(t, "n2")
	cfg.MeshJoin = []string{writer.GossipAddr()}
	other := start(t, cfg, logs)

	want := []string{
		"# HELP backup_runs_total Runs of the backup.\n# TYPE backup_runs_total counter\n" + `backup_runs_total{node="n1",target="s3"} 17` + "\n",
		"# TYPE backup_seconds histogram\n" + `backup_seconds_bucket{node="n1",le="1"} 2` + "\n",
		`backup_seconds_count{node="n1"} 3` + "\n",
		`grapevine_check_status{check="textfile",node="n1",subject="bad.prom"} 1` + "\n",
		`grapevine_textfile_mtime_timestamp_seconds{file="backup.prom",node="n1"} `,
	}
	eventually(t, func() error { return other.shows("/metrics?collect[]=textfile", want...) })
	eventually(t, func() error {
		return writer.shows("/metrics/local?collect[]=textfile", `backup_runs_total{node="n1",target="s3"} 17`)
	})
	for _, path := range []string{"/metrics?collect[]=disk", "/metrics?collect[]=textfile"} {
		_, body := other.get(path)
		if strings.Contains(body, "go_goroutines") || strings.Contains(path, "disk") && strings.Contains(body, "backup_") {
			t.Errorf("%s shows what is not asked for:\n%s", path, body)
		}
	}
	if strings.Contains(writer.logs.String(), "does not reach the others") {
		t.Errorf("log: %s", writer.logs)
	}
}
