package collectors

import (
	"context"
	"crypto/tls"
	"net"
	"net/http/httptrace"
	"net/url"
	"time"
)

// etcdDoor makes a connection of its own now and then, and asks nothing over
// it. The one that requests go over is kept: it tells neither that nobody new
// gets in, nor that the certificate was renewed or has expired.
type etcdDoor struct {
	url    *url.URL
	next   time.Time // when to knock again
	last   httpAnswer
	expiry time.Time // of the certificate it last showed; zero: it showed none yet
}

// knockEvery is how old a door's last answer may be while all is well.
const knockEvery = time.Minute

// knock connects, and shakes hands where the endpoint wants it. With alert it
// then waits a moment for the server to refuse our certificate: over TLS 1.3
// that comes after the handshake.
func (d *etcdDoor) knock(ctx context.Context, conf *tls.Config, alert bool) {
	clock := &phaseClock{begun: time.Now()}
	d.last = httpAnswer{}
	var expiry time.Time
	if expiry, d.last.err = shake(ctx, clock, d.url, conf, alert); d.last.err != nil {
		expiry = refusedExpiry(d.last.err)
	}
	if !expiry.IsZero() {
		d.expiry = expiry
	}
	clock.read(&d.last)
	d.next = time.Now().Add(knockEvery)
}

// report exports what the door told last, and judges its certificate.
// request is the time of a request over the connection that is kept.
func (d *etcdDoor) report(r *Report, a *assessment, limits ExpiryLimits, subject string, request time.Duration) {
	d.last.phases.export(r, &etcdPhase, subject, request)
	if d.expiry.IsZero() {
		return
	}
	r.Sample(&etcdExpiry, float64(d.expiry.Unix()), subject)
	if d.last.err == nil { // else it was said why
		a.expiry(d.expiry, time.Now(), limits)
	}
}

// shake makes one connection and returns when the first of the server's
// certificates expires.
func shake(ctx context.Context, clock *phaseClock, endpoint *url.URL, conf *tls.Config, alert bool) (time.Time, error) {
	trace := clock.trace()
	conn, err := new(net.Dialer).DialContext(httptrace.WithClientTrace(ctx, trace), "tcp", endpoint.Host)
	if err != nil {
		return time.Time{}, err
	}
	defer conn.Close()
	if endpoint.Scheme != "https" {
		return time.Time{}, nil
	}
	conf = conf.Clone()
	conf.ServerName, conf.NextProtos = endpoint.Hostname(), []string{"h2"}
	secure := tls.Client(conn, conf)
	trace.TLSHandshakeStart()
	err = secure.HandshakeContext(ctx)
	if err != nil && ctx.Err() != nil {
		return time.Time{}, ctx.Err() // the phase stays open
	}
	trace.TLSHandshakeDone(tls.ConnectionState{}, err)
	if err != nil {
		return time.Time{}, err
	}
	expiry := firstExpiry(secure.ConnectionState().PeerCertificates)
	if !alert {
		return expiry, nil
	}
	_ = conn.SetReadDeadline(time.Now().Add(alertWait))
	if _, err = secure.Read(make([]byte, 1)); err == nil || timedOut(err) {
		return expiry, nil
	}
	return expiry, err
}

// alertWait is how long a server is given to refuse a handshake.
const alertWait = 300 * time.Millisecond
