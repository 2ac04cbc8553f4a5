package config

import (
	"strings"
	"testing"

	"github.com/grapevine-mesh/grapevine/collectors"
)

// Checks of one's own are a list of blocks; a mistake in one names its line.
func TestCustomChecks(t *testing.T) {
	const good = `checks:
  custom:
    interval: 30s
    checks:
      - name: raid
        interval: 5m
        script:
          path: /usr/local/lib/check_raid
          args: [-w, "1"]
          env: {LANG: de_DE.UTF-8}
          thresholds:
            temperature: {warning: 60, critical: 70}
      - name: registry
        http:
          url: https://registry.example.org/v2/
          status: [200, 401]
          thresholds:
            latency: {warning: 1s, critical: 5s}
            certificate_left: {warning: 336h}
      - name: redis
        severity: warning
        tcp: {address: "127.0.0.1:6379", send: "PING\r\n", expect: "+PONG"}
      - name: cron
        process: {program: cron, min: 1, max: 1}
      - name: backup
        file_age: {path: "/var/backups/*.tgz", min_size: 1000, thresholds: {age: {critical: 26h}}}
`
	file := write(t, good)
	if _, err := Load(file, collectors.All()); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ old, new, want string }{
		{"path: /usr", "path: usr", `8: custom: checks: 1: script: path: "usr/local/lib/check_raid" is not an absolute path`},
		{"args:", "arg:", `9: unknown key "arg"; known here: path, args, shell, directory, env, thresholds`},
		{"warning: 60", "warning: 80", `12: custom: checks: 1: script: thresholds: temperature: warning is above critical`},
		{"https://registry", "registry", `15: custom: checks: 2: http: url: "registry.example.org/v2/" is not of the form https://host/path`},
		{"severity: warning", "severity: mild", `21: custom: checks: 3: severity: "mild" is neither warning nor critical`},
		{"name: cron", "name: redis", `23: custom: checks: 4: name: redis is the name of check 3 already`},
		{"        process: {program: cron, min: 1, max: 1}\n", "", `23: custom: checks: 4: name: cron has 0 of the blocks script, http, tcp, process, file_age; one is wanted`},
		{"26h", "soon", `26: critical: "soon" is not a duration such as 15s or 2m30s`},
	} {
		text := strings.Replace(good, tc.old, tc.new, 1)
		file := write(t, text)
		if _, err := Load(file, collectors.All()); err == nil || err.Error() != file+":"+tc.want {
			t.Errorf("%s: error %v, want line %s", tc.new, err, tc.want)
		}
	}
}
