package collectors

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// seconds words a time in seconds with three digits: "0.612 s".
func seconds(v float64) string { return strconv.FormatFloat(v, 'g', 3, 64) + " s" }

// percent words a ratio: "82 %".
func percent(v float64) string { return strconv.FormatFloat(100*v, 'f', 0, 64) + " %" }

// day words a moment: "2026-11-21 07:00 UTC".
func day(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

// size words a number of bytes: "1.9 GiB".
func size(v float64) string {
	for _, unit := range []string{"bytes", "KiB", "MiB", "GiB"} {
		if v < 1024 {
			return strconv.FormatFloat(v, 'g', 3, 64) + " " + unit
		}
		v /= 1024
	}
	return strconv.FormatFloat(v, 'f', 1, 64) + " TiB"
}

// clip makes s one printable line of at most limit bytes. What came over the
// network never gets into a reason without it.
func clip(s string, limit int) string {
	s = strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, strings.ToValidUTF8(s, "?"))), " ")
	if len(s) <= limit {
		return s
	}
	const ellipsis = "..."
	cut := limit - len(ellipsis)
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + ellipsis
}

// timedOut tells whether err says that the time of the probe was up.
func timedOut(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) ||
		status.Code(err) == codes.DeadlineExceeded
}

// The words in which gRPC and net/http wrap what went wrong below them.
var wrapping = regexp.MustCompile(`^(connection error: |last connection error: |desc = |"|transport: |` +
	`Error while dialing: |authentication handshake failed: |error reading server preface: |` +
	`dial (tcp|unix) \S+: |connect: |(read|write) (tcp|unix) \S+: |read: |write: |net/http: HTTP/1.x transport connection broken: |net/http: )`)

// cause words the innermost reason of a failed request, without the layers
// around it: "connection refused". waited is how long the request took.
func cause(err error, waited time.Duration) string {
	var errno syscall.Errno
	var dns *net.DNSError
	var untrusted *tls.CertificateVerificationError
	var request *url.Error
	switch {
	case timedOut(err):
		return fmt.Sprintf("no answer within %s", seconds(waited.Round(time.Millisecond).Seconds()))
	case errors.As(err, &errno):
		return errno.Error()
	case errors.As(err, &dns):
		return clip("resolving "+dns.Name+": "+dns.Err, 200)
	case errors.As(err, &untrusted):
		return distrust(untrusted.Err)
	case errors.As(err, &request):
		return cause(request.Err, waited)
	case errors.Is(err, io.EOF):
		return closedSilently
	}
	text := err.Error()
	if s, ok := status.FromError(err); ok {
		text = s.Message()
	}
	if strings.HasPrefix(text, "connection error: ") {
		text = strings.TrimSuffix(text, `"`) // closes what is stripped
	}
	for {
		stripped := wrapping.ReplaceAllString(text, "")
		if stripped == text {
			break
		}
		text = stripped
	}
	switch {
	case text == "EOF":
		return closedSilently
	case strings.HasPrefix(text, "malformed HTTP "):
		return clip("what answers there does not speak HTTP: "+text, 200)
	case strings.HasPrefix(text, "readLoopPeekFailLocked"): // net/http's words for talk on an idle connection
		return "what answers there does not speak HTTP: it talks without being asked"
	}
	return clip(text, 200)
}

const closedSilently = "it closed the connection without an answer"

// distrust words why a server's certificate did not verify. Dates are by the
// clock of this node, which may be what is wrong.
func distrust(err error) string {
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) && invalid.Reason == x509.Expired && invalid.Cert != nil {
		if now := time.Now(); now.Before(invalid.Cert.NotBefore) {
			return fmt.Sprintf("its certificate is not valid before %s, and here it is %s", day(invalid.Cert.NotBefore), day(now))
		}
		return "its certificate has expired on " + day(invalid.Cert.NotAfter)
	}
	return clip(err.Error(), 200)
}

// refusesCertificate tells whether the other side closed the handshake
// because of our client certificate, or because we sent none.
func refusesCertificate(err error) bool {
	_, alert, found := strings.Cut(err.Error(), "remote error: tls: ")
	return found && (strings.Contains(alert, "certificate") || strings.Contains(alert, "access denied"))
}
