package logging

import (
	stdlog "log"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
)

// TakeStandard makes what libraries write to the standard logger, such as
// net/http of a server that speaks out of turn, lines of logger at level
// debug: what matters of it is in the verdicts. It is for main alone.
func TakeStandard(logger log.Logger) {
	stdlog.SetFlags(0)
	stdlog.SetOutput(log.NewStdlibAdapter(level.Debug(logger)))
}
