package web

import (
	"context"
	"log/slog"
	"time"
)

// bare leaves out of a record what our logger puts on every line itself: a
// second time and a second caller would be keys twice.
type bare struct{ slog.Handler }

// Handle implements slog.Handler.
func (h bare) Handle(ctx context.Context, r slog.Record) error {
	r.Time, r.PC = time.Time{}, 0
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h bare) WithAttrs(attrs []slog.Attr) slog.Handler { return bare{h.Handler.WithAttrs(attrs)} }

// WithGroup implements slog.Handler.
func (h bare) WithGroup(name string) slog.Handler { return bare{h.Handler.WithGroup(name)} }
