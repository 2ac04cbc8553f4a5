package exposition

import "io"

// courier writes one piece while the next one is rendered: on its own an
// answer would wait for the kernel to copy each piece before it goes on.
type courier struct {
	full chan *desk    // whose plain is to be written
	back chan returned // one at a time: the desk of the piece before
}

// returned is a desk with nothing on it, and how its piece was written.
type returned struct {
	*desk
	err error
}

// newCourier writes to w until it is stopped.
func newCourier(w io.Writer) *courier {
	c := &courier{make(chan *desk), make(chan returned, 1)}
	c.back <- returned{desk: desks.take()}
	go func() {
		defer close(c.back)
		for d := range c.full {
			_, err := w.Write(d.plain)
			d.plain = d.plain[:0]
			c.back <- returned{d, err}
		}
	}()
	return c
}

// take hands over what is on d, and returns the other desk. After an error,
// which is that of the piece before, nothing is taken.
func (c *courier) take(d *desk) (*desk, error) {
	r := <-c.back
	if r.err != nil {
		c.back <- r
		return d, r.err
	}
	c.full <- d
	return r.desk, nil
}

// stop waits until all is written, or has failed.
func (c *courier) stop() error {
	r := <-c.back
	close(c.full)
	<-c.back
	desks.giveBack(r.desk)
	return r.err
}
