package echo

import (
	"hash/maphash"
	"math/bits"
	"time"
)

// The sessions a responder remembers, and how long.
const (
	sessionSets    = 1024 // a power of two
	sessionsPerSet = 4
	sessionAge     = time.Minute
)

// sessions counts what has arrived of each session. It never grows: in a full
// set the session that was quiet longest makes room.
type sessions struct {
	seed maphash.Seed // so that nobody can choose whom to drive out
	sets [sessionSets][sessionsPerSet]session
}

type session struct {
	id   uint64
	last time.Duration // since the responder's start; 0: free
	seen [MaxBurst / 64]uint64
}

func (s *session) count() uint32 {
	n := 0
	for _, word := range s.seen {
		n += bits.OnesCount64(word)
	}
	return uint32(n)
}

func (s *sessions) set(id uint64) *[sessionsPerSet]session {
	var key [8]byte
	for i := range key {
		key[i] = byte(id >> (8 * i))
	}
	return &s.sets[maphash.Bytes(s.seed, key[:])%sessionSets]
}

// arrived notes a request and returns how many different ones there were. now
// is the time since the responder's start, above 0.
func (s *sessions) arrived(id uint64, seq uint16, now time.Duration) uint32 {
	set := s.set(id)
	oldest := &set[0]
	for i := range set {
		e := &set[i]
		if e.last != 0 && e.id == id && now-e.last < sessionAge {
			oldest = e
			break
		}
		if e.last < oldest.last {
			oldest = e
		}
	}
	if oldest.id != id || oldest.last == 0 || now-oldest.last >= sessionAge {
		*oldest = session{id: id}
	}
	oldest.last = now
	oldest.seen[seq/64] |= 1 << (seq % 64)
	return oldest.count()
}

// count returns how many different requests of a session have arrived.
func (s *sessions) count(id uint64, now time.Duration) uint32 {
	for i := range s.set(id) {
		if e := &s.set(id)[i]; e.last != 0 && e.id == id && now-e.last < sessionAge {
			return e.count()
		}
	}
	return 0
}
