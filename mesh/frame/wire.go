package frame

import (
	"fmt"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// Value is one field of a message: Uint for varints, Bytes for the rest.
type Value struct {
	Uint  uint64
	Bytes []byte
}

func (v Value) hash(h *Hash) error {
	if len(v.Bytes) != len(h) {
		return fmt.Errorf("hash of %d bytes", len(v.Bytes))
	}
	copy(h[:], v.Bytes)
	return nil
}

// text returns the bytes as a string if it is UTF-8 and within limit.
func (v Value) text(limit int) (string, error) {
	if len(v.Bytes) > limit {
		return "", fmt.Errorf("text of %d bytes, allowed are %d, it begins with %.40q", len(v.Bytes), limit, v.Bytes)
	}
	if !utf8.Valid(v.Bytes) {
		return "", fmt.Errorf("text that is not UTF-8: %.40q", v.Bytes)
	}
	return string(v.Bytes), nil
}

// Fields calls do for each varint and bytes field of a message, in order.
// Fields of other kinds are skipped: a later version may have added them.
func Fields(b []byte, do func(protowire.Number, Value) error) error {
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		var v Value
		switch kind {
		case protowire.VarintType:
			v.Uint, n = protowire.ConsumeVarint(b)
		case protowire.BytesType:
			v.Bytes, n = protowire.ConsumeBytes(b)
		default:
			n = protowire.ConsumeFieldValue(number, kind, b)
		}
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		if kind != protowire.VarintType && kind != protowire.BytesType {
			continue
		}
		if err := do(number, v); err != nil {
			return err
		}
	}
	return nil
}

// AppendUint appends a field.
func AppendUint(b []byte, n protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, n, protowire.VarintType), v)
}

// AppendBytes appends a field.
func AppendBytes(b []byte, n protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, n, protowire.BytesType), v)
}

// AppendString appends a field.
func AppendString(b []byte, n protowire.Number, v string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, n, protowire.BytesType), v)
}
