package web

import (
	"errors"
	"io"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
)

// Who takes protobuf gets the native buckets of the node's own registry
// beside the classic ones.
func TestLocalShowsNativeHistograms(t *testing.T) {
	cfg, reg := config()
	cfg.Local = reg
	h := handler(cfg)
	ask(h, "GET", "/-/healthy")
	answer := ask(h, "GET", "/metrics/local",
		"Accept", "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited")
	decoder := expfmt.NewDecoder(answer.Body, expfmt.ResponseFormat(answer.Header()))
	for {
		var mf dto.MetricFamily
		if err := decoder.Decode(&mf); errors.Is(err, io.EOF) {
			t.Fatal("no grapevine_web_request_duration_seconds")
		} else if err != nil {
			t.Fatal(err)
		}
		if mf.GetName() != "grapevine_web_request_duration_seconds" {
			continue
		}
		got := mf.Metric[0].Histogram
		if len(got.Bucket) != 4 || got.GetSchema() != -1 || got.Schema == nil || got.GetZeroThreshold() == 0 ||
			len(got.PositiveSpan) != 1 || got.PositiveSpan[0].GetLength() != 1 || len(got.PositiveDelta) != 1 || got.PositiveDelta[0] != 1 {
			t.Errorf("one request is shown as %v", got)
		}
		return
	}
}
