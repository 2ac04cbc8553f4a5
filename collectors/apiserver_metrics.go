package collectors

import "github.com/grapevine-mesh/grapevine/health"

// What the apiserver check exports. Labels: endpoint is host:port as asked;
// operation is livez, readyz, get, list or create; path is /livez or /readyz.
var (
	apiUp = Metric{
		Name: "grapevine_apiserver_up", Type: health.Gauge, Labels: []string{"endpoint"},
		Help: "Whether the endpoint answered as an API server does in the last run.",
	}
	apiInfo = Metric{
		Name: "grapevine_apiserver_endpoint_info", Type: health.Gauge, Labels: []string{"endpoint", "via"},
		Help: "How the endpoint is known: configured (or in the kubeconfig), own (runs on this node), discovered (another instance) or service; always 1.",
	}
	apiChecks = Metric{
		Name: "grapevine_apiserver_checks", Type: health.Gauge, Labels: []string{"endpoint", "path"},
		Help: "Checks of its own that the API server answered with; 0 when it did not say.",
	}
	apiChecksFailed = Metric{
		Name: "grapevine_apiserver_checks_failed", Type: health.Gauge, Labels: []string{"endpoint", "path"},
		Help: "How many of the API server's own checks failed.",
	}
	apiCheckFailed = Metric{
		Name: "grapevine_apiserver_check_failed", Type: health.Gauge, Labels: []string{"endpoint", "path", "name"},
		Help: "A check of the API server's own that failed, the first few by name; always 1, absent while it passes.",
	}
	apiSeconds = Metric{
		Name: "grapevine_apiserver_request_duration_seconds", Type: health.Histogram, Labels: []string{"endpoint", "operation"},
		Help:    "Time of answered requests, without connecting.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
	}
	apiLast = Metric{
		Name: "grapevine_apiserver_request_last_duration_seconds", Type: health.Gauge, Labels: []string{"endpoint", "operation"},
		Help: "Time the last request took without connecting; when it failed, the time until then.",
	}
	apiPhase = Metric{
		Name: "grapevine_apiserver_request_phase_seconds", Type: health.Gauge, Labels: []string{"endpoint", "phase"},
		Help: "Time of the parts of a request: resolve, dial and tls of the newest connection, made once a minute and when the endpoint fails, and request.",
	}
	apiSuccess = Metric{
		Name: "grapevine_apiserver_request_success", Type: health.Gauge, Labels: []string{"endpoint", "operation"},
		Help: "Whether the last request was answered as it should be; for livez and readyz, that all checks passed.",
	}
	apiCode = Metric{
		Name: "grapevine_apiserver_response_code", Type: health.Gauge, Labels: []string{"endpoint", "operation"},
		Help: "HTTP status code of the last answer, 0 when there was none.",
	}
	apiExpiry = Metric{
		Name: "grapevine_apiserver_certificate_expiry_timestamp_seconds", Type: health.Gauge, Labels: []string{"endpoint"},
		Help: "When the first of the certificates that the endpoint shows expires, in seconds since the epoch.",
	}
)

var apiMetrics = []Metric{
	apiUp, apiInfo, apiChecks, apiChecksFailed, apiCheckFailed,
	apiSeconds, apiLast, apiPhase, apiSuccess, apiCode, apiExpiry,
}
