package exchange

import (
	"context"
	"errors"
)

// ErrRefused is wrapped by the error of a call whose peer does not take us:
// the way to it works.
var ErrRefused = errors.New("refused us")

// Ping asks the peer called name at address for a sign of life, over the
// connection that an exchange would use. Whatever the peer is busy with, it
// answers at once.
func (x *Exchange) Ping(ctx context.Context, name, address string) error {
	c, reused, err := x.take(ctx, name, address)
	if err != nil {
		return err
	}
	_, err = c.ask(ctx, message{kind: kindPing}, kindPong)
	if err != nil && reused && ctx.Err() == nil && !refused(err) {
		// The peer has closed an idle connection, or was restarted.
		_ = c.Close()
		if c, err = x.dial(ctx, name, address); err != nil {
			return err
		}
		_, err = c.ask(ctx, message{kind: kindPing}, kindPong)
	}
	if err != nil {
		_ = c.Close()
		return err
	}
	x.putBack(c)
	return nil
}
