package mesh

import (
	"maps"
	"sync"
	"time"
)

// oncePerMinute keeps what strangers can cause as often as they like from
// filling the log.
type oncePerMinute struct {
	mu   sync.Mutex // guards last
	last map[string]time.Time
}

// maxTopics bounds the topics of a minute. Those past it are not logged: who
// can invent topics could fill the log as well.
const maxTopics = 100

func newOncePerMinute() *oncePerMinute { return &oncePerMinute{last: map[string]time.Time{}} }

// due reports whether topic has not been due within the last minute.
func (o *oncePerMinute) due(topic string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if time.Since(o.last[topic]) < time.Minute {
		return false
	}
	if len(o.last) >= maxTopics {
		maps.DeleteFunc(o.last, func(_ string, at time.Time) bool { return time.Since(at) >= time.Minute })
		if len(o.last) >= maxTopics {
			return false
		}
	}
	o.last[topic] = time.Now()
	return true
}
