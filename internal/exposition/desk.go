package exposition

import (
	"sync"
	"sync/atomic"
)

// desk is what one goroutine needs to render and encode.
type desk struct {
	encoder encoder
	plain   []byte
	out     []byte
}

// desks are those that nobody sits at.
var desks deskPool

// deskPool keeps one desk from scrape to scrape: a sync.Pool alone is empty
// after two collections, and each scrape would make the megabyte of an encoder
// anew.
type deskPool struct {
	kept atomic.Pointer[desk]
	more sync.Pool
}

func (p *deskPool) take() *desk {
	if d := p.kept.Swap(nil); d != nil {
		return d
	}
	if d, ok := p.more.Get().(*desk); ok {
		return d
	}
	return &desk{}
}

func (p *deskPool) giveBack(d *desk) {
	d.plain = d.plain[:0]
	if !p.kept.CompareAndSwap(nil, d) {
		p.more.Put(d)
	}
}

// forget drops what is kept.
func (p *deskPool) forget() { p.kept.Store(nil) }
