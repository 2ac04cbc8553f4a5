package netsim

import (
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"
)

// wire is a port made of channels.
type wire struct {
	out, in chan []byte // as the device behind the port sees them
	closed  chan struct{}
}

func newWire() *wire {
	return &wire{out: make(chan []byte), in: make(chan []byte, 1000), closed: make(chan struct{})}
}

func (w *wire) Read(b []byte) (int, error) {
	select {
	case frame := <-w.out:
		return copy(b, frame), nil
	case <-w.closed:
		return 0, io.EOF
	}
}

func (w *wire) Write(b []byte) (int, error) {
	w.in <- append([]byte(nil), b...)
	return len(b), nil
}

func (w *wire) Close() error {
	close(w.closed)
	return nil
}

// frame is a UDP datagram over IPv4 of so many bytes.
func frame(to net.HardwareAddr, port uint16, size int) []byte {
	f := make([]byte, ethernetHeader+size)
	copy(f, to)
	binary.BigEndian.PutUint16(f[12:], 0x0800)
	f[14], f[14+9] = 0x45, 17
	binary.BigEndian.PutUint16(f[14+20+2:], port)
	return f
}

func TestLinks(t *testing.T) {
	t.Parallel()
	broadcast := net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	tests := []struct {
		name   string
		link   Link // from 1 to 2
		frame  []byte
		at2    bool
		at3    bool
		atOnce bool
	}{
		{"plain", Link{}, frame(MAC(2), 1, 100), true, false, true},
		{"broadcast", Link{}, frame(broadcast, 1, 100), true, true, true},
		{"broadcast past a cut", Link{Cut: true}, frame(broadcast, 1, 100), false, true, true},
		{"delayed", Link{Delay: 30 * time.Millisecond, Jitter: 10 * time.Millisecond}, frame(MAC(2), 1, 100), true, false, false},
		{"lost", Link{Loss: 1}, frame(MAC(2), 1, 100), false, false, true},
		{"fits", Link{MTU: 1400}, frame(MAC(2), 1, 1400), true, false, true},
		{"too large", Link{MTU: 1400}, frame(MAC(2), 1, 1401), false, false, true},
		{"port dropped", Link{Drop: UDPTo(8472)}, frame(MAC(2), 8472, 100), false, false, true},
		{"another port dropped", Link{Drop: UDPTo(8472)}, frame(MAC(2), 8473, 100), true, false, true},
		{"another protocol dropped", Link{Drop: TCPTo(8472)}, frame(MAC(2), 8472, 100), true, false, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w1, w2, w3 := newWire(), newWire(), newWire()
			s := NewSwitch(w1, w2, w3)
			s.Set(1, 2, test.link)
			start := time.Now()
			w1.out <- test.frame
			if test.at2 {
				if got := <-w2.in; len(got) != len(test.frame) {
					t.Errorf("%d bytes arrived of %d", len(got), len(test.frame))
				}
				if took := time.Since(start); !test.atOnce && took < 20*time.Millisecond {
					t.Errorf("came after %v, too early", took)
				}
			}
			if err := s.Close(); err != nil { // waits for the readers
				t.Error(err)
			}
			if len(w2.in) != 0 || (len(w3.in) == 1) != test.at3 {
				t.Errorf("%d more frames at 2, %d at 3", len(w2.in), len(w3.in))
			}
		})
	}
}

func TestLossIsOneWay(t *testing.T) {
	t.Parallel()
	w1, w2 := newWire(), newWire()
	s := NewSwitch(w1, w2)
	s.Set(1, 0, Link{Loss: 0.3})
	for range 500 {
		w1.out <- frame(MAC(2), 1, 100)
		w2.out <- frame(MAC(1), 1, 100)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if n := len(w2.in); n < 250 || n > 450 {
		t.Errorf("%d of 500 passed a link that loses 30 %%", n)
	}
	if n := len(w1.in); n != 500 {
		t.Errorf("%d of 500 came back", n)
	}
}
