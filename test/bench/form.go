package main

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/prometheus/common/expfmt"
)

// form is in which shape an answer is asked for.
type form struct {
	format   string // a key of accepts
	encoding string // a key of decoders
}

// accepts are the Accept headers that ask for one format alone.
var accepts = map[string]string{
	"text":        "text/plain;version=0.0.4",
	"openmetrics": "application/openmetrics-text;version=1.0.0",
	"protobuf":    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited",
}

// formatTypes are what expfmt calls the formats.
var formatTypes = map[string]expfmt.FormatType{
	"text": expfmt.TypeTextPlain, "openmetrics": expfmt.TypeOpenMetrics, "protobuf": expfmt.TypeProtoDelim,
}

// decoders undo the encodings.
var decoders = map[string]func(io.Reader) (io.Reader, error){
	"identity": func(r io.Reader) (io.Reader, error) { return r, nil },
	"gzip":     func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) },
	"zstd":     func(r io.Reader) (io.Reader, error) { return zstd.NewReader(r, zstd.WithDecoderConcurrency(1)) },
}

// formOf reads FORMAT or FORMAT+ENCODING.
func formOf(s string) (form, error) {
	format, encoding, encoded := strings.Cut(s, "+")
	if !encoded {
		encoding = "identity"
	}
	f := form{format, encoding}
	if accepts[format] == "" || decoders[encoding] == nil {
		return f, fmt.Errorf("%q is not FORMAT or FORMAT+ENCODING with a format of %s and an encoding of %s",
			s, sortedKeys(accepts), sortedKeys(decoders))
	}
	return f, nil
}

func sortedKeys[V any](m map[string]V) string {
	return strings.Join(slices.Sorted(maps.Keys(m)), ", ")
}

// String is key=value, as in the lines of bench scrape.
func (f form) String() string { return "format=" + f.format + " encoding=" + f.encoding }

// unsupported is the error of an answer in another form than the one asked for.
type unsupported struct{ contentType, encoding string }

func (u unsupported) Error() string {
	return fmt.Sprintf("answered as %q, encoding %q", u.contentType, u.encoding)
}

// of returns nil if that is the form of the answer with header h.
func (f form) of(h http.Header) error {
	encoding := h.Get("Content-Encoding")
	if encoding == "" {
		encoding = "identity"
	}
	if encoding != f.encoding || expfmt.Format(h.Get("Content-Type")).FormatType() != formatTypes[f.format] {
		return unsupported{h.Get("Content-Type"), encoding}
	}
	return nil
}
