package web

import (
	"bytes"
	"log/slog"
	"testing"

	"github.com/go-kit/log"
	sloggokit "github.com/tjhop/slog-gokit"
)

func TestNoKeyStandsTwice(t *testing.T) {
	var lines bytes.Buffer
	logger := log.With(log.NewLogfmtLogger(&lines), "ts", "now", "caller", "here")
	slog.New(bare{sloggokit.NewGoKitHandler(logger, nil)}).With("a", 1).WithGroup("g").Info("hello", "b", 2)
	if want := "ts=now caller=here level=info msg=hello a=1 g.b=2\n"; lines.String() != want {
		t.Errorf("got %swant %s", &lines, want)
	}
}
