package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"time"
)

// line is a TLS connection in memory. The replayed node has the near end; what
// it sends there goes nowhere.
type line struct {
	near, far       *tls.Conn
	nearEnd, farEnd *end
	plain           []byte
}

// end is one end of a pipe. Cut loose, it reads and writes memory.
type end struct {
	net.Conn
	loose bool
	in    bytes.Reader
	out   bytes.Buffer
}

// Read implements net.Conn.
func (e *end) Read(b []byte) (int, error) {
	if e.loose {
		return e.in.Read(b)
	}
	return e.Conn.Read(b)
}

// Write implements net.Conn.
func (e *end) Write(b []byte) (int, error) {
	if e.loose {
		return e.out.Write(b)
	}
	return e.Conn.Write(b)
}

func newLine() (*line, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{
		MinVersion: tls.VersionTLS13, SessionTicketsDisabled: true,
		Certificates:       []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		InsecureSkipVerify: true, //nolint:gosec // it is a line to ourselves
	}
	a, b := net.Pipe()
	l := &line{nearEnd: &end{Conn: a}, farEnd: &end{Conn: b}}
	l.near, l.far = tls.Client(l.nearEnd, config), tls.Server(l.farEnd, config)
	shaken := make(chan error, 1)
	go func() { shaken <- l.far.Handshake() }()
	if err := l.near.Handshake(); err != nil {
		return nil, err
	}
	err = <-shaken
	l.nearEnd.loose, l.farEnd.loose = true, true
	return l, err
}

// seal makes of a message what comes to the near end. What is sealed has to be
// opened in the same order.
func (l *line) seal(m *message) error {
	l.farEnd.out.Reset()
	_, err := l.far.Write(m.bytes)
	m.bytes = bytes.Clone(l.farEnd.out.Bytes())
	return err
}

// open reads a message that was sealed. It is good until the next one.
func (l *line) open(m message) ([]byte, error) {
	l.nearEnd.in.Reset(m.bytes)
	if len(l.plain) < m.size {
		l.plain = make([]byte, 2*m.size)
	}
	_, err := io.ReadFull(l.near, l.plain[:m.size])
	return l.plain[:m.size], err
}

// send writes a message at the near end.
func (l *line) send(message []byte) error {
	l.nearEnd.out.Reset()
	_, err := l.near.Write(message)
	return err
}
