package mesh

import (
	"sync"
	"time"
)

// oncePerMinute keeps what strangers can cause as often as they like from
// filling the log.
type oncePerMinute struct {
	mu   sync.Mutex // guards last
	last map[string]time.Time
}

// maxTopics bounds the topics remembered; past it all are due again.
const maxTopics = 1000

func newOncePerMinute() *oncePerMinute { return &oncePerMinute{last: map[string]time.Time{}} }

// due reports whether topic has not been due within the last minute.
func (o *oncePerMinute) due(topic string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if time.Since(o.last[topic]) < time.Minute {
		return false
	}
	if len(o.last) >= maxTopics {
		clear(o.last)
	}
	o.last[topic] = time.Now()
	return true
}
