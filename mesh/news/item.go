// Package news is the form of urgent news, and who may tell how much of it: a
// verdict that has just turned critical, small enough for the gossip, so that
// it gets everywhere also when nothing but the gossip works. It knows no serf
// and opens no connection.
package news

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/mesh/frame"
)

// MaxBytes bounds an encoded item. The gossip carries 512 bytes, of which the
// names of serf's own fields and its clock take up to 50.
const MaxBytes = 460

// Item is one piece of urgent news: a verdict of a node.
type Item struct {
	Node    string
	Version frame.Version // of the node's frame that says it too
	Uptime  time.Duration // how long the node had been up when it said so

	Check, Subject string
	Status         health.Status
	Reason         string
	Observed       time.Duration // ago, when the item was made
	Since          time.Duration // ago, when the item was made
}

// Result is the verdict as a host sees it on whose clock the item was made at
// made.
func (i *Item) Result(made time.Time) health.Result {
	return health.Result{
		Check: i.Check, Subject: i.Subject, Status: i.Status, Reason: i.Reason,
		Observed: made.Add(-i.Observed), Since: made.Add(-i.Since),
	}
}

const (
	fieldBody      protowire.Number = 1
	fieldSignature protowire.Number = 2

	fieldNode     protowire.Number = 1
	fieldEpoch    protowire.Number = 2
	fieldNumber   protowire.Number = 3
	fieldUptime   protowire.Number = 4 // milliseconds
	fieldCheck    protowire.Number = 5
	fieldSubject  protowire.Number = 6
	fieldStatus   protowire.Number = 7
	fieldReason   protowire.Number = 8
	fieldObserved protowire.Number = 9  // milliseconds
	fieldSince    protowire.Number = 10 // milliseconds
)

// ErrTooLong says that the names in an item leave no room for it.
var ErrTooLong = errors.New("the names of node, check and subject are too long for urgent news")

// signedBytes is how much a signature takes with its tag and length, and the
// tag and length of the body.
const signedBytes = 2 + ed25519.SignatureSize + 3

// Encode returns the signed form of the item, which means nothing in another
// cluster. The reason is clipped to what fits.
func (i *Item) Encode(cluster string, key ed25519.PrivateKey) ([]byte, error) {
	body := frame.AppendString(nil, fieldNode, i.Node)
	body = frame.AppendUint(body, fieldEpoch, i.Version.Epoch)
	body = frame.AppendUint(body, fieldNumber, i.Version.Number)
	body = appendAge(body, fieldUptime, i.Uptime)
	body = frame.AppendString(body, fieldCheck, i.Check)
	body = frame.AppendString(body, fieldSubject, i.Subject)
	body = frame.AppendUint(body, fieldStatus, uint64(i.Status))
	body = appendAge(body, fieldObserved, i.Observed)
	body = appendAge(body, fieldSince, i.Since)
	room := MaxBytes - signedBytes - len(body)
	if room < 0 {
		return nil, ErrTooLong
	}
	if reason := clip(i.Reason, room-3); reason != "" { // its tag and length
		body = frame.AppendString(body, fieldReason, reason)
	}
	signature := ed25519.Sign(key, message(cluster, body))
	b := frame.AppendBytes(nil, fieldBody, body)
	return frame.AppendBytes(b, fieldSignature, signature), nil
}

// clip returns as much of s as fits into room bytes, whole characters only.
func clip(s string, room int) string {
	const more = "…"
	if len(s) <= room {
		return s
	}
	for room -= len(more); room > 0 && !utf8.RuneStart(s[room]); {
		room--
	}
	if room <= 0 {
		return ""
	}
	return s[:room] + more
}

// message is what is signed: a purpose, so that nobody can be tricked into
// signing it for another, the cluster and the body.
func message(cluster string, body []byte) []byte {
	b := append([]byte("grapevine news\x00"), cluster...)
	return append(append(b, 0), body...)
}

// Signed is an item as it was heard: nobody knows yet whether it is the
// node's own word.
type Signed struct {
	Item
	body, signature []byte
}

// Decode reads what Encode wrote, or a later version of it. It checks form and
// bounds, not the signature.
func Decode(payload []byte) (*Signed, error) {
	if len(payload) > MaxBytes {
		return nil, fmt.Errorf("news of %d bytes, allowed are %d", len(payload), MaxBytes)
	}
	s := &Signed{}
	if err := frame.Fields(payload, func(n protowire.Number, v frame.Value) error {
		switch n {
		case fieldBody:
			s.body = v.Bytes
		case fieldSignature:
			s.signature = v.Bytes
		}
		return nil
	}); err != nil {
		return nil, fmt.Errorf("news: %w", err)
	}
	if err := frame.Fields(s.body, s.field); err != nil {
		return nil, fmt.Errorf("news: %w", err)
	}
	switch {
	case s.Node == "" || s.Check == "":
		return nil, errors.New("news without a node or a check")
	case s.Version.Epoch == 0 || s.Version.Number == 0:
		return nil, errors.New("news without epoch or number")
	case s.Status > health.Unknown:
		return nil, fmt.Errorf("news of status %d", s.Status)
	}
	return s, nil
}

func (s *Signed) field(n protowire.Number, v frame.Value) (err error) {
	switch n {
	case fieldNode:
		s.Node, err = text(v)
	case fieldEpoch:
		s.Version.Epoch = v.Uint
	case fieldNumber:
		s.Version.Number = v.Uint
	case fieldUptime:
		s.Uptime = age(v)
	case fieldCheck:
		s.Check, err = text(v)
	case fieldSubject:
		s.Subject, err = text(v)
	case fieldStatus:
		s.Status = health.Status(min(v.Uint, uint64(health.Unknown)+1))
	case fieldReason:
		s.Reason, err = text(v)
	case fieldObserved:
		s.Observed = age(v)
	case fieldSince:
		s.Since = age(v)
	}
	return err
}

// Verify reports whether the node whose key this is has said so in cluster.
func (s *Signed) Verify(cluster string, key ed25519.PublicKey) bool {
	return ed25519.Verify(key, message(cluster, s.body), s.signature)
}

func text(v frame.Value) (string, error) {
	if !utf8.Valid(v.Bytes) {
		return "", fmt.Errorf("text that is not UTF-8: %.40q", v.Bytes)
	}
	return string(v.Bytes), nil
}

func age(v frame.Value) time.Duration {
	return time.Duration(min(v.Uint, uint64(frame.MaxAge.Milliseconds()))) * time.Millisecond
}

func appendAge(b []byte, n protowire.Number, d time.Duration) []byte {
	return frame.AppendUint(b, n, uint64(max(0, d.Milliseconds())))
}
