package smoke

import (
	"context"
	"errors"
	"net/url"
	"os"
	"strings"
	"syscall"
	"unicode"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// clip makes one printable line of at most limit bytes.
func clip(s string, limit int) string {
	s = strings.Join(strings.FieldsFunc(strings.ToValidUTF8(s, "?"), func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }), " ")
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit-3], "") + "..."
}

// why words an error without the layers around its cause.
func why(err error) string {
	var status apierrors.APIStatus
	var errno syscall.Errno
	var request *url.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return "no answer in time"
	case errors.Is(err, context.Canceled):
		return "interrupted"
	case errors.As(err, &status):
		return clip(status.Status().Message, 400)
	case errors.As(err, &errno):
		return errno.Error()
	case errors.As(err, &request):
		return clip(request.Err.Error(), 300)
	}
	return clip(err.Error(), 300)
}

// answered tells whether err is an answer of the API server.
func answered(err error) bool {
	var status apierrors.APIStatus
	return errors.As(err, &status)
}
