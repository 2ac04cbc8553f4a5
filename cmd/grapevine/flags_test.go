package main

import "testing"

func TestRate(t *testing.T) {
	for text, want := range map[string]int{
		"0": 0, "128kB": 128_000, "128kB/s": 128_000, "128 kB/s": 128_000, "1.5MiB": 3 << 19, "200": 200, "200B": 200, "1GB": 1e9,
		"": -1, "kB": -1, "lots": -1, "-1": -1, "NaN": -1, "1e30": -1, "Inf": -1, "128kb": -1, "1 2": -1,
	} {
		got := -1
		r := &rate{"--x", &got}
		if err := r.Set(text); got != want || (err == nil) != (want >= 0) {
			t.Errorf("%q: %d, %v; want %d", text, got, err, want)
		}
	}
}
