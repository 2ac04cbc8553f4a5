package echo

import (
	"bytes"
	"hash/maphash"
	"net/netip"
	"testing"
	"time"
)

// FuzzAnswer holds what a responder does with any packet: it answers nothing
// that is not signed, and never with more than it was sent.
func FuzzAnswer(f *testing.F) {
	signer := newSigner(secret, packets)
	for _, k := range []kind{0, askSmall, askFull, answered, askCount, counted, counted + 1} {
		for _, size := range []int{smallest, smallest + 1, 1400} {
			packet := make([]byte, size)
			header{kind: k, seq: 7, session: 1, name: []byte("n1")}.put(packet)
			f.Add(packet, false)
			f.Add(packet, true)
		}
	}
	f.Add([]byte(magic), true)
	f.Add(make([]byte, largest+1), true)
	a := newAnswerer(NewResponder(Config{Node: "n2", Keys: always(secret)}))
	f.Fuzz(func(t *testing.T, packet []byte, sign bool) {
		if sign && len(packet) >= signatureSize {
			signer.sign(packet)
		}
		asked := bytes.Clone(packet)
		size, outcome := a.answer(packet, netip.AddrFrom4([4]byte{127, 0, 0, 1}), time.Now(), 0)
		if outcome != outcomeAnswered {
			if size != 0 || !bytes.Equal(asked, packet) {
				t.Fatalf("%d bytes for a request that is %s", size, outcomes[outcome])
			}
			return
		}
		if !sign && !signer.signed(asked) {
			t.Fatal("answered without a signature")
		}
		if size < smallest || size > len(asked) {
			t.Fatalf("%d bytes for %d", size, len(asked))
		}
		h, ok := parse(packet[:size])
		if !ok || string(h.name) != "n2" || !signer.signed(packet[:size]) || h.kind != answered && h.kind != counted {
			t.Fatalf("the answer is %+v", h)
		}
		if _, outcome := a.answer(packet[:size], netip.AddrFrom4([4]byte{127, 0, 0, 1}), time.Now(), 0); outcome != outcomeMalformed {
			t.Fatal("an answer is answered: two responders would talk for ever")
		}
	})
}

func TestAnyChangeBreaksTheSignature(t *testing.T) {
	t.Parallel()
	s := newSigner(secret, packets)
	packet := make([]byte, smallest+9)
	header{kind: askFull, name: []byte("n1")}.put(packet)
	s.sign(packet)
	if !s.signed(packet) || newSigner(nil, packets).signed(packet) || newSigner(secret, pages).signed(packet) {
		t.Fatal("the signature proves nothing")
	}
	for i := range packet {
		packet[i] ^= 1
		if s.signed(packet) {
			t.Errorf("byte %d is not signed", i)
		}
		packet[i] ^= 1
	}
}

func TestSessions(t *testing.T) {
	t.Parallel()
	s := sessions{seed: maphash.MakeSeed()}
	now := time.Duration(1)
	for _, seq := range []uint16{0, 3, 3, 255} { // one came twice
		s.arrived(42, seq, now)
	}
	if got := s.count(42, now); got != 3 {
		t.Errorf("%d arrived", got)
	}
	if got := s.count(42, now+sessionAge); got != 0 {
		t.Errorf("after its time: %d", got)
	}
	if got := s.arrived(42, 1, now+sessionAge); got != 1 {
		t.Errorf("begun again: %d", got)
	}
	// However many come, the last ones are known.
	now += sessionAge
	for id := range uint64(100_000) {
		now++
		id += 1000
		s.arrived(id, 0, now)
		if s.count(id, now) != 1 {
			t.Fatalf("session %d is not known", id)
		}
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	l := limits{seed: maphash.MakeSeed()}
	one, now := netip.MustParseAddr("10.0.0.1"), time.Duration(1)
	granted := 0
	for range 10 * sourceBurst {
		if l.allow(one, now) {
			granted++
		}
	}
	if granted != sourceBurst {
		t.Errorf("%d at once", granted)
	}
	granted = 0
	for range 10 * sourceRate { // ten times too many within a second
		if now += time.Second / (10 * sourceRate); l.allow(one, now) {
			granted++
		}
	}
	if granted < sourceRate-1 || granted > sourceRate+1 {
		t.Errorf("%d a second", granted)
	}
	refused := 0
	for i := range byte(100) {
		if !l.allow(netip.AddrFrom4([4]byte{10, 0, 1, i}), now) {
			refused++
		}
	}
	if refused > 3 { // who shares its bucket
		t.Errorf("%d others are refused too", refused)
	}
}

func TestFlood(t *testing.T) {
	t.Parallel()
	f := flood{}
	now := time.Second
	for range 1000 {
		now += 2 * floodWindow / floodPackets // half of what is too much
		if d := f.pause(now); d > 0 {
			t.Fatal("paused")
		}
	}
	f, now = flood{}, time.Second
	for range 100_000 { // as fast as can be: 1 µs each
		now += time.Microsecond
		now += f.pause(now)
	}
	if rate := 100_000 / (now - time.Second).Seconds(); rate > 1.01*floodPackets/floodWindow.Seconds() {
		t.Errorf("%.0f packets a second", rate)
	}
}
