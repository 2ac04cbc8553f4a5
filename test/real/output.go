package real

import (
	"bytes"
	"io"
	"sync"
)

const tailSize = 64 << 10

// tail keeps the end of what a process writes and passes it on line by line.
type tail struct {
	prefix string
	next   io.Writer // nil: nowhere

	mu   sync.Mutex // guards all below
	kept []byte     // at most twice tailSize; String cuts it
	line []byte     // an unfinished line for next
}

func newTail(name string, next io.Writer) *tail {
	return &tail{prefix: name + ": ", next: next}
}

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, b...)
	if len(t.kept) > 2*tailSize {
		t.kept = append(t.kept[:0], t.kept[len(t.kept)-tailSize:]...)
	}
	if t.next == nil {
		return len(b), nil
	}
	t.line = append(t.line, b...)
	for {
		i := bytes.IndexByte(t.line, '\n')
		if i < 0 {
			break
		}
		t.pass(t.line[:i+1])
		t.line = t.line[i+1:]
	}
	return len(b), nil
}

// pass writes one line in one call, so that a next shared by several processes
// (a locked one, or a file) keeps lines whole. An error of next is no reason
// to block the process that speaks.
func (t *tail) pass(line []byte) {
	_, _ = t.next.Write(append([]byte(t.prefix), line...))
}

func (t *tail) flush() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.line) > 0 && t.next != nil {
		t.pass(append(t.line, '\n'))
	}
	t.line = nil
}

func (t *tail) reset() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept, t.line = nil, nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.kept[max(0, len(t.kept)-tailSize):])
}

// shared makes w safe for several processes that write at once; nil stays nil.
func shared(w io.Writer) io.Writer {
	if w == nil {
		return nil
	}
	return &lockedWriter{w: w}
}

type lockedWriter struct {
	mu sync.Mutex // guards w
	w  io.Writer
}

func (l *lockedWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}
