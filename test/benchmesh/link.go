package main

import "time"

// link is what a node knows of its connection to a peer that has died: what
// package exchange and the kernel would know. The peer's host vanished, which
// takes longest to notice.
type link struct {
	sent     bool          // something, since the peer died
	broken   time.Duration // when the kernel gives up
	failures int           // in a row
	failed   time.Duration // when the last attempt to connect ended
	retry    time.Duration // until when the peer is left alone
}

const (
	kernelGivesUp = 10 * time.Second // TCP_USER_TIMEOUT of package mesh
	dialTimeout   = 3 * time.Second  // these as in package exchange
	retryFirst    = 5 * time.Second
	retryMost     = 2 * time.Minute
)

func (l *link) reachable(now time.Duration) bool { return now < l.failed || now >= l.retry }

// write reports whether what is cast at now leaves this node.
func (l *link) write(now time.Duration) bool {
	if !l.sent {
		l.sent, l.broken = true, now+kernelGivesUp
	}
	if now < l.broken {
		return true
	}
	if now >= l.retry {
		l.failed = now + dialTimeout
		l.retry = l.failed + min(retryFirst<<l.failures, retryMost)
		l.failures = min(l.failures+1, 9)
	}
	return false
}

// ask reports whether a request at now leaves this node. It remains without
// an answer, and so ends the connection.
func (l *link) ask(now time.Duration) bool {
	open := !l.sent || now < l.broken
	l.sent, l.broken = true, min(now, max(l.broken, now))
	return open
}
