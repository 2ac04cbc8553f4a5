package health_test

import (
	"testing"

	"github.com/grapevine-mesh/grapevine/health"
)

func TestStatusWords(t *testing.T) {
	for s := health.OK; s <= health.Unknown; s++ {
		text, err := s.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		var back health.Status
		if err := back.UnmarshalText(text); err != nil || back != s {
			t.Errorf("%v came back as %v (%v)", s, back, err)
		}
	}
	var s health.Status
	if err := s.UnmarshalText([]byte("fine")); err == nil {
		t.Error("a fifth word was accepted")
	}
}

func TestWorst(t *testing.T) {
	of := func(all ...health.Status) []health.Result {
		var results []health.Result
		for _, s := range all {
			results = append(results, health.Result{Status: s})
		}
		return results
	}
	for _, tc := range []struct {
		results []health.Result
		want    health.Status
	}{
		{nil, health.Unknown},
		{of(health.OK, health.OK), health.OK},
		{of(health.OK, health.Unknown), health.Unknown},
		{of(health.Unknown, health.Warning), health.Warning},
		{of(health.Critical, health.Warning, health.Unknown), health.Critical},
		{of(health.OK, health.Status(9)), health.Status(9)}, // a newer version's word is not OK
	} {
		if got := health.Worst(tc.results); got != tc.want {
			t.Errorf("%v: %v, want %v", tc.results, got, tc.want)
		}
	}
}
