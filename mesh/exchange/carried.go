package exchange

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/grapevine-mesh/grapevine/mesh/state"
)

// Carry brings a request to a peer and its answer back, both as they are on
// the wire.
type Carry func(request []byte) (answer []byte, err error)

// SyncBy is Sync with carry in place of a connection, so that thousands of
// exchanges can be run beside each other in virtual time.
func (x *Exchange) SyncBy(ctx context.Context, peer string, carry Carry) error {
	return x.sync(ctx, peer, carry)
}

// Answer does what a message on the wire asks for and returns the answer; nil
// to a cast.
func (x *Exchange) Answer(peer string, wire []byte) ([]byte, error) {
	request, err := readMessage(bytes.NewReader(wire))
	if err != nil {
		return nil, err
	}
	answer, err := x.answer(peer, request)
	if err != nil || answer.kind == 0 {
		return nil, err
	}
	return answer.marshal()
}

// EncodeCast returns what Cast puts on the wire.
func EncodeCast(groups int, d state.Delta) ([]byte, error) {
	m := message{kind: kindCast, groups: groups, frames: d.Frames, blobs: d.Blobs}
	return m.marshal()
}

// ask implements asker.
func (carry Carry) ask(_ context.Context, request message, want ...kind) (message, error) {
	b, err := request.marshal()
	if err != nil {
		return message{}, err
	}
	if b, err = carry(b); err != nil {
		return message{}, err
	}
	answer, err := readMessage(bytes.NewReader(b))
	if err == nil && !slices.Contains(want, answer.kind) {
		err = fmt.Errorf("an answer of kind %d", answer.kind)
	}
	return answer, err
}
