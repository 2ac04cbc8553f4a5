package smoke

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
)

// webSocket is the reading half of a WebSocket (RFC 6455), which is all that
// an exec without input needs. It goes over the HTTP client of everything
// else, so that it has its credentials.
type webSocket struct {
	body io.ReadCloser
	in   *bufio.Reader
	stop func() bool
}

// maxMessage bounds a message, in bytes.
const maxMessage = 64 << 10

// openWebSocket asks for target with one of the protocols. The end of ctx
// closes the socket.
func openWebSocket(ctx context.Context, client *http.Client, target *url.URL, protocols string) (*webSocket, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return nil, err
	}
	for name, value := range map[string]string{
		"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Protocol": protocols,
		"Sec-WebSocket-Key": base64.StdEncoding.EncodeToString([]byte(random(8))), // it is against caches, not against liars
	} {
		request.Header.Set(name, value)
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusSwitchingProtocols {
		text, _ := io.ReadAll(io.LimitReader(response.Body, 4<<10))
		_ = response.Body.Close()
		return nil, &execRefused{response.StatusCode, clip(string(text), 300)}
	}
	s := &webSocket{body: response.Body, in: bufio.NewReader(response.Body)}
	s.stop = context.AfterFunc(ctx, func() { _ = s.body.Close() })
	return s, nil
}

func (s *webSocket) close() {
	s.stop()
	_ = s.body.Close()
}

// next reads the next message. Its error is io.EOF once the other side has
// closed the socket.
func (s *webSocket) next() ([]byte, error) {
	const final, text, binaryData, closing = 0x80, 1, 2, 8
	var message []byte
	for {
		var head [2]byte
		if _, err := io.ReadFull(s.in, head[:]); err != nil {
			return nil, err
		}
		size := uint64(head[1])
		switch {
		case size == 126:
			var b [2]byte
			if _, err := io.ReadFull(s.in, b[:]); err != nil {
				return nil, err
			}
			size = uint64(binary.BigEndian.Uint16(b[:]))
		case size == 127:
			var b [8]byte
			if _, err := io.ReadFull(s.in, b[:]); err != nil {
				return nil, err
			}
			size = binary.BigEndian.Uint64(b[:])
		case size > 127:
			return nil, errors.New("a server does not mask what it sends")
		}
		if size > maxMessage-uint64(len(message)) {
			return nil, fmt.Errorf("a message is longer than %d bytes", maxMessage)
		}
		part := make([]byte, size)
		if _, err := io.ReadFull(s.in, part); err != nil {
			return nil, err
		}
		switch kind := head[0] & 0x0f; kind {
		case closing:
			return nil, io.EOF
		case 0, text, binaryData:
			message = append(message, part...)
			if head[0]&final != 0 {
				return message, nil
			}
		}
	}
}
