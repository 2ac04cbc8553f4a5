// Package logging sets up the logger that every constructor takes. It stands
// beside the line along which data flows and imports nothing of ours.
package logging

import (
	"fmt"
	"io"
	"time"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
)

// Levels and Formats are the words that New takes, the default first.
var (
	Levels  = []string{"info", "debug", "warn", "error"}
	Formats = []string{"logfmt", "json"}
)

// callerDepth is the distance from a caller of level.Info(logger).Log, through
// the level's context and filter, to the valuer that looks for it.
const callerDepth = 5

// New returns a logger that writes lines of levelName and above to w, with a
// time stamp in UTC and the place of the caller. It is safe for use by many
// goroutines.
func New(w io.Writer, levelName, format string) (log.Logger, error) {
	var logger log.Logger
	switch format {
	case "logfmt":
		logger = log.NewLogfmtLogger(log.NewSyncWriter(w))
	case "json":
		logger = log.NewJSONLogger(log.NewSyncWriter(w))
	default:
		return nil, fmt.Errorf("log format %q is none of %v", format, Formats)
	}
	least, err := level.Parse(levelName)
	if err != nil {
		return nil, fmt.Errorf("log level %q is none of %v", levelName, Levels)
	}
	stamp := log.TimestampFormat(func() time.Time { return time.Now().UTC() }, "2006-01-02T15:04:05.000Z07:00")
	logger = log.With(logger, "ts", stamp, "caller", log.Caller(callerDepth))
	return level.NewFilter(logger, level.Allow(least)), nil
}
