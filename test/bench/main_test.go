package main

import (
	"os"
	"strings"
	"testing"
)

// benchRole makes this test binary play the program.
const benchRole = "GRAPEVINE_TEST_BENCH"

func TestMain(m *testing.M) {
	if os.Getenv(benchRole) != "" {
		main()
	}
	// For what the tests start. The race detector would sleep at its end.
	_ = os.Setenv(benchRole, "1")
	_ = os.Setenv("GORACE", "atexit_sleep_ms=0 "+os.Getenv("GORACE"))
	os.Exit(m.Run())
}

func TestNoCommandIsHelp(t *testing.T) {
	t.Parallel()
	var out, errs strings.Builder
	if code := run(t.Context(), nil, &out, &errs); code != 0 || errs.Len() > 0 {
		t.Errorf("exit code %d: %s", code, errs.String())
	}
	for _, command := range []string{"agent [<flags>]", "serve [<flags>]", "scrape [<flags>]"} {
		if strings.Count(out.String(), command) != 1 {
			t.Errorf("%q is not in the help once:\n%s", command, out.String())
		}
	}
	if strings.Contains(out.String(), "\npeer") {
		t.Errorf("peer is not hidden:\n%s", out.String())
	}
}

// What makes no sense is refused before anything is started.
func TestBadArguments(t *testing.T) {
	t.Parallel()
	for args, complaint := range map[string]string{
		"agent --duration=1s":              "--interval",
		"agent --peers=51":                 "--peers",
		"serve --nodes=0":                  "0 nodes",
		"serve --series=0":                 "0 series",
		"serve --own-series=2":             "own series",
		"serve --change-interval=-1s":      "--change-interval",
		"serve --listen=127.0.0.1:nowhere": "listening",
		"scrape --nodes=10,":               `"" is not a number`,
		"scrape --nodes=1e3":               `"1e3" is not a number`,
		"scrape --nodes=0":                 "0 nodes",
		"scrape --format=gzip":             `"gzip" is not FORMAT`,
		"scrape --format=text+":            `"text+" is not FORMAT`,
		"scrape --format=text+brotli":      "identity, zstd",
		"scrape --peers=prometheus":        "client_golang, federate, grapevine, pushgateway",
		"scrape --runs=2":                  "--runs",
		"scrape --time=-1s":                "--time",
		"scrape --own-series=NaN":          "own series",
		"sing":                             "sing",
	} {
		var out, errs strings.Builder
		code := run(t.Context(), strings.Fields(args), &out, &errs)
		if code != 1 || !strings.Contains(errs.String(), complaint) || out.Len() > 0 {
			t.Errorf("%s: exit code %d, %s%s", args, code, errs.String(), out.String())
		}
	}
}
