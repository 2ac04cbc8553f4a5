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
	_, err := x.over(ctx, name, address, func(ctx context.Context, c *conn) error {
		_, err := c.ask(ctx, message{kind: kindPing}, kindPong)
		return err
	})
	return err
}
