package echo

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"
)

// maxPage bounds what is read of an answer to a GET, header and all.
const maxPage = 8 << 10

// Connect makes a TCP connection to addr, closes it, and returns how long the
// connecting took.
func (p Prober) Connect(ctx context.Context, addr netip.AddrPort) (time.Duration, error) {
	c, took, err := connect(ctx, addr)
	if err != nil {
		return took, err
	}
	return took, c.Close()
}

func connect(ctx context.Context, addr netip.AddrPort) (net.Conn, time.Duration, error) {
	began := time.Now()
	c, err := new(net.Dialer).DialContext(ctx, "tcp", netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port()).String())
	return c, time.Since(began), err
}

// Get asks the responder at addr by HTTP, over a connection of its own, and
// returns how long that took, with the connecting, and who answered. That
// another server answers, or one with another key, is an error.
func (p Prober) Get(ctx context.Context, addr netip.AddrPort) (took time.Duration, node string, err error) {
	began := time.Now()
	c, _, err := connect(ctx, addr)
	if err != nil {
		return time.Since(began), "", err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	node, err = p.get(ctx, c, addr)
	if err != nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	return time.Since(began), node, err
}

func (p Prober) get(ctx context.Context, c net.Conn, addr netip.AddrPort) (string, error) {
	var random [nonceSize / 2]byte
	_, _ = rand.Read(random[:]) // never fails
	nonce, key := hex.EncodeToString(random[:]), p.Keys.all()[0]
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr.String()+"/echo/"+nonce+"/"+pageRequest(key, nonce), nil)
	if err != nil {
		return "", err
	}
	request.Close = true
	if err := request.Write(c); err != nil {
		return "", err
	}
	response, err := http.ReadResponse(bufio.NewReader(io.LimitReader(c, maxPage)), request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	switch {
	case response.StatusCode == http.StatusForbidden:
		return "", errors.New("refused with 403 Forbidden: its key is another one")
	case response.StatusCode != http.StatusOK:
		return "", fmt.Errorf("answered with HTTP status %d", response.StatusCode)
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return "", err
	}
	signature, node, _ := strings.Cut(strings.TrimSuffix(string(body), "\n"), "\n")
	if !hmac.Equal([]byte(signature), []byte(pageAnswer(key, nonce, node))) {
		return "", errors.New("the answer is none of a Grapevine of this cluster")
	}
	return node, nil
}
