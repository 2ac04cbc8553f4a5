package mesh

import (
	"bytes"
	"errors"
	"slices"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
)

// serfLog turns the lines of serf and memberlist, "2006/01/02 15:04:05 [WARN]
// serf: text", into entries of our log. What they call an error is a hint to
// us, since the gossip mends itself: it is at most a warning, and lines that
// begin alike are warned of once a minute.
type serfLog struct {
	logger  log.Logger
	quiet   *oncePerMinute
	refused func(reason string, err error)
}

// reasonGossipKey is for packets and connections of the gossip that no key of
// ours opens.
const reasonGossipKey = "gossip_key"

// closedToUs are the words by which memberlist says so; it counts them nowhere.
var closedToUs = [][]byte{
	[]byte("no installed keys could decrypt"),
	[]byte("Decrypt packet failed"),
	[]byte("encryption is configured but remote state is not encrypted"),
	[]byte("remote state is encrypted and encryption is not configured"),
}

// alike is how many bytes of a line tell what it is about; names and
// addresses come later.
const alike = 40

// Write takes one line.
func (w serfLog) Write(line []byte) (int, error) {
	text, at := bytes.TrimSpace(line), level.Debug
	if _, rest, ok := bytes.Cut(text, []byte("[")); ok {
		if word, after, ok := bytes.Cut(rest, []byte("] ")); ok {
			text = after
			if slices.ContainsFunc(closedToUs, func(words []byte) bool { return bytes.Contains(text, words) }) {
				w.refused(reasonGossipKey, errors.New(string(text)))
				return len(line), nil
			}
			if (string(word) == "ERR" || string(word) == "WARN") && w.quiet.due(string(text[:min(alike, len(text))])) {
				at = level.Warn
			}
		}
	}
	return len(line), at(w.logger).Log("component", "gossip", "msg", string(text))
}
