package echo

import (
	"net"
	"net/netip"
	"testing"
	"time"
)

// What a request costs the responder, without the kernel's part.
func BenchmarkAnswer(b *testing.B) {
	for name, size := range map[string]int{"small": smallest, "1500": 1500 - 28} {
		b.Run(name, func(b *testing.B) {
			a := newAnswerer(NewResponder(Config{Node: "n2", Keys: always(secret)}))
			asked, packet := ask(size), make([]byte, size)
			from, now := netip.MustParseAddr("10.0.0.1"), time.Now()
			b.ReportAllocs()
			for b.Loop() {
				copy(packet, asked)
				now = now.Add(time.Second / sourceRate)
				if _, outcome := a.answer(packet, from, now, 0); outcome != outcomeAnswered {
					b.Fatal(outcomes[outcome])
				}
			}
		})
	}
}

// A request and its answer through the kernel: the asking allocates nothing,
// so what is counted is the responder's.
func TestResponderAllocatesNothing(t *testing.T) {
	r := respond(t, ":0", Config{Node: "n2", Keys: always(secret)})
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(at(r, "127.0.0.1")))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	request, answer, answers := ask(smallest), make([]byte, smallest), 0
	n := testing.AllocsPerRun(sourceBurst/2, func() {
		_, _ = c.Write(request)
		_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := c.Read(answer); err == nil {
			answers++
		}
	})
	if n > 0 || answers != sourceBurst/2+1 {
		t.Errorf("%v allocations a request, %d answers", n, answers)
	}
}

// ask is a signed request for an answer of the same size.
func ask(size int) []byte {
	request := make([]byte, size)
	header{kind: askFull, session: 1, name: []byte("n1")}.put(request)
	newSigner(secret, packets).sign(request)
	return request
}
