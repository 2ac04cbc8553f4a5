package main

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// The comparison in small: it starts the programs, checks that both tell the
// same, and prints the lines that are promised.
func TestScrape(t *testing.T) {
	t.Parallel()
	var out, progress strings.Builder
	args := []string{"scrape", "--nodes=10", "--peers=grapevine,client_golang", "--format=text,text+gzip,openmetrics+gzip,protobuf", "--runs=3", "--time=0s"}
	if code := run(t.Context(), args, &out, &progress); code != 0 {
		t.Fatalf("exit code %d\n%s%s", code, out.String(), progress.String())
	}
	figures := ` p50_ms=[0-9.]+ p99_ms=[0-9.]+ cpu_s=0\.[0-9]+ bytes=[1-9][0-9]{3,} rss_mb=[1-9][0-9.]+ vs_pushgateway=none runs=3 samples=1000`
	for _, peer := range []string{"grapevine", "client_golang"} {
		for _, form := range []string{"format=text encoding=identity", "format=text encoding=gzip", "format=openmetrics encoding=gzip", "format=protobuf encoding=identity"} {
			for _, kind := range []string{"first", "next"} {
				line := "case=" + peer + "-" + kind + " nodes=10 " + form + figures
				if !regexp.MustCompile("(?m)^" + line + "$").MatchString(out.String()) {
					t.Errorf("no line like %s in\n%s", line, out.String())
				}
			}
		}
	}
	if !strings.Contains(progress.String(), " nodes=10 format=protobuf encoding=identity: client_golang\n") {
		t.Errorf("the progress is not told:\n%s", progress.String())
	}
}

// Pushgateway comes first, whatever the order in which it is asked for: the
// others are held against it as soon as they are known.
func TestLists(t *testing.T) {
	t.Parallel()
	var o scrapeOptions
	o.series, o.effort.runs = 100, 3
	for range 2 { // a second time, as kingpin may
		if err := o.set("10,5000", "text,protobuf+zstd", "federate,grapevine,pushgateway"); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(o.nodes, []int{10, 5000}) ||
		!slices.Equal(o.forms, []form{{"text", "identity"}, {"protobuf", "zstd"}}) ||
		!slices.Equal(o.peers, []string{"pushgateway", "federate", "grapevine"}) {
		t.Errorf("got %+v", o)
	}
}

func TestPercentile(t *testing.T) {
	t.Parallel()
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[i] = time.Duration(i + 1)
	}
	for _, c := range []struct {
		sorted []time.Duration
		p      float64
		want   time.Duration
	}{
		{hundred, 0.5, 50}, {hundred, 0.99, 99}, {hundred, 1, 100}, {hundred, 0, 1},
		{hundred[:3], 0.5, 2}, {hundred[:3], 0.99, 3}, {hundred[:4], 0.5, 2}, {hundred[:1], 0.5, 1}, {hundred[:1], 0.99, 1},
	} {
		if got := percentile(c.sorted, c.p); got != c.want {
			t.Errorf("percentile %v of %d durations is %d, want %d", c.p, len(c.sorted), got, c.want)
		}
	}
}

// A target is met or not by what was measured, and not spoken of otherwise.
func TestTargets(t *testing.T) {
	t.Parallel()
	gzip := form{"text", "gzip"}
	took := func(d time.Duration, cpu, rss float64) figures {
		return figures{took: []time.Duration{d}, cpu: cpu, rss: rss}
	}
	r := results{
		{baseline, first, 1000, gzip}:          took(400*time.Millisecond, 0.5, 300),
		{baseline, next, 1000, gzip}:           took(400*time.Millisecond, 0.5, 300),
		{ours, first, 1000, gzip}:              took(10*time.Millisecond, 0.1, 50),
		{ours, next, 1000, gzip}:               took(8*time.Millisecond, 0.01, 100),
		{ours, first, 5000, gzip}:              took(50*time.Millisecond, 0.5, 50),
		{ours, next, 5000, gzip}:               took(80*time.Millisecond, 0.05, 100),
		{"client_golang", next, 1000, gzip}:    took(800*time.Millisecond, 1, 50),
		{ours, next, 1000, form{"text", "br"}}: took(time.Second, 1, 1),
	}
	want := []string{
		"case=target target=p50-first nodes=1000 format=text encoding=gzip vs_pushgateway=40.00 wanted=25 met=true",
		"case=target target=p50-next nodes=1000 format=text encoding=gzip vs_pushgateway=50.00 wanted=100 met=false",
		"case=target target=cpu-first nodes=1000 format=text encoding=gzip vs_pushgateway=5.00 wanted=10 met=false",
		"case=target target=rss-next nodes=1000 format=text encoding=gzip vs_pushgateway=3.00 wanted=4 met=false",
		"case=target target=growth-first nodes=5000 format=text encoding=gzip growth=5.00 wanted=6 met=true",
		"case=target target=growth-next nodes=5000 format=text encoding=gzip growth=10.00 wanted=6 met=false",
	}
	if got := r.targets(); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	line := r.line(scrapeCase{"client_golang", next, 1000, gzip}, 100_000)
	if want := "case=client_golang-next nodes=1000 format=text encoding=gzip p50_ms=800.000 p99_ms=800.000 cpu_s=1.00000 bytes=0 " +
		"rss_mb=50.0 vs_pushgateway=0.50 runs=1 samples=100000"; line != want {
		t.Errorf("got\n%s\nwant\n%s", line, want)
	}
}
