package collectors

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/grapevine-mesh/grapevine/health"
)

func TestAssessmentSaysTheWorstFirst(t *testing.T) {
	r := NewReport(time.Now)
	a := assessment{about: "disk"}
	a.add(health.Unknown, "is odd")
	a.hold(0.3, Limits{Warning: 0.1, Critical: 1}, "seconds", "is slow")
	a.hold(2, Limits{Warning: 0.1, Critical: 1}, "seconds", "is stuck")
	a.hold(2, Limits{}, "seconds", "is off")
	a.add(health.Unknown, "is odd")
	a.verdict(r, "sda")
	_, results := r.Take()
	got := results[0]
	if got.Reason != "disk is stuck; is slow; is odd" || got.Status != health.Critical ||
		got.Evidence != (health.Evidence{Value: 2, Threshold: 1, Unit: "seconds"}) {
		t.Errorf("got %+v", got)
	}
}

func TestCause(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"errno":       {&url.Error{Op: "Get", URL: "http://x", Err: &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}}, "connection refused"},
		"deadline":    {fmt.Errorf("asking: %w", context.DeadlineExceeded), "no answer within 1.5 s"},
		"certificate": {&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}, "x509: certificate signed by unknown authority"},
		"name":        {&net.DNSError{Err: "no such host", Name: "nowhere"}, "resolving nowhere: no such host"},
		"plain":       {errors.New("two\nlines\x00here"), "two lines here"},
		"grpc refused": {status.Error(codes.Unavailable, `connection error: desc = "transport: Error while dialing: dial tcp 127.0.0.1:1: connect: connection refused"`),
			"connection refused"},
		"grpc tls": {status.Error(codes.Unavailable, `connection error: desc = "transport: authentication handshake failed: tls: failed to verify certificate: x509: certificate signed by unknown authority"`),
			"tls: failed to verify certificate: x509: certificate signed by unknown authority"},
		"grpc late": {status.Error(codes.DeadlineExceeded, "context deadline exceeded"), "no answer within 1.5 s"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := cause(c.err, 1500*time.Millisecond); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestClip(t *testing.T) {
	for in, want := range map[string]string{
		"short":                      "short",
		"a\x1b[31m b\n\nc":           "a [31m b c",
		strings.Repeat("ä", 20):      strings.Repeat("ä", 8) + "...",
		"bad \xff byte":              "bad ? byte",
		"exactly twenty bytes":       "exactly twenty bytes",
		"one more than twenty.":      "one more than twe...",
		"\u202edirection\u202cspoof": "direction spoof",
	} {
		if got := clip(in, 20); got != want {
			t.Errorf("clip(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestParallelRaisesPanicsOnTheCaller(t *testing.T) {
	defer func() {
		if v := recover(); v == nil || !strings.Contains(fmt.Sprint(v), "broken") {
			t.Errorf("recovered %v", v)
		}
	}()
	var p parallel
	p.run(func() { panic("broken") })
	p.run(func() {})
	p.wait()
}

func TestLimits(t *testing.T) {
	for name, c := range map[string]struct {
		l  namedLimits
		ok bool
	}{
		"fine":       {namedLimits{"x", Limits{1, 2}, false}, true},
		"off":        {namedLimits{"x", Limits{}, true}, true},
		"crossed":    {namedLimits{"x", Limits{2, 1}, false}, false},
		"negative":   {namedLimits{"x", Limits{-1, 1}, false}, false},
		"no ratio":   {namedLimits{"x", Limits{0.8, 95}, true}, false},
		"no warning": {namedLimits{"x", Limits{0, 1}, true}, true},
	} {
		if err := validateLimits(c.l); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}
