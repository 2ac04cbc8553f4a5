package exchange

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/grapevine-mesh/grapevine/mesh/frame"
	"github.com/grapevine-mesh/grapevine/mesh/state"
)

// Inquire asks the peer called name at address how old everybody's word is,
// and for the verdicts that have changed; it gives the peer this node's own
// frame if that is not there yet. It returns the mean size of the frames that
// the peer holds, in bytes; 0 if it holds none.
func (x *Exchange) Inquire(ctx context.Context, name, address string) (mean int, err error) {
	err = x.with(ctx, name, address, func(ctx context.Context, c *conn) error {
		mean, err = x.inquire(ctx, c)
		return err
	})
	return mean, err
}

func (x *Exchange) inquire(ctx context.Context, c *conn) (mean int, _ error) {
	store := x.cfg.Store
	q := store.Inquire()
	own := state.Have{Name: x.cfg.Node, Version: store.Version(x.cfg.Node)}
	told, err := c.ask(ctx, message{kind: kindInquire, sums: q.Sums, have: []state.Have{own}}, kindTold)
	if err != nil {
		return 0, err
	}
	wants, err := store.Hear(q, told.chapters)
	if err != nil {
		return 0, garbage(err)
	}
	if len(wants) > 0 {
		bare, err := c.ask(ctx, message{kind: kindBare, names: wants}, kindNews)
		if err != nil {
			return 0, err
		}
		if err := x.takeIn(ctx, c.peer, c, bare.frames); err != nil {
			return 0, err
		}
	}
	if len(told.names) > 0 {
		return told.size, x.push(ctx, c, store.Frames([]string{x.cfg.Node}, deltaBudget))
	}
	return told.size, nil
}

// told answers an inquiry.
func (x *Exchange) told(peer string, request message) (message, error) {
	store := x.cfg.Store
	chapters, err := store.Tell(peer, request.sums)
	if err != nil {
		return message{}, garbage(err)
	}
	answer := message{kind: kindTold, chapters: chapters, size: int(store.MeanBytes())}
	for _, h := range request.have {
		if h.Name == peer && store.Lacks(h) {
			answer.names = []string{peer}
		}
	}
	return answer, nil
}

func encodeChapter(c state.Chapter) []byte {
	if c.Nodes == nil {
		return frame.AppendBytes(nil, 1, c.Ages)
	}
	var b []byte
	for _, n := range c.Nodes {
		e := frame.AppendString(nil, 1, n.Name)
		e = frame.AppendUint(e, 2, n.Sum)
		e = frame.AppendUint(e, 3, uint64(max(0, n.Age.Milliseconds()))+1) // rounded up
		b = frame.AppendBytes(b, 2, e)
	}
	return b
}

func decodeChapter(b []byte, items *int) (c state.Chapter, _ error) {
	return c, frame.Fields(b, func(n protowire.Number, v frame.Value) error {
		switch n {
		case 1:
			c.Ages = v.Bytes
		case 2:
			if *items++; *items > maxItems {
				return fmt.Errorf("more than %d entries in a message", maxItems)
			}
			var node state.Verdicts
			err := frame.Fields(v.Bytes, func(n protowire.Number, v frame.Value) error {
				switch n {
				case 1:
					node.Name = string(v.Bytes)
				case 2:
					node.Sum = v.Uint
				case 3:
					node.Age = time.Duration(min(v.Uint, uint64(frame.MaxAge.Milliseconds()))) * time.Millisecond
				}
				return nil
			})
			c.Nodes = append(c.Nodes, node)
			return err
		}
		return nil
	})
}
