// Package bufpool lends byte buffers whose memory starts on a 4 KiB border, as
// O_DIRECT wants it, so that a buffer travels from codec to drive without a copy.
package bufpool

import (
	"math/bits"
	"sync"
	"sync/atomic"
	"unsafe"
)

// Align is the border, in bytes, on which every buffer's memory starts.
const Align = 4096

const (
	minShift = 12 // 4 KiB
	maxShift = 24 // 16 MiB; larger buffers are made and dropped
)

// Pool lends buffers by size classes, powers of two. The zero Pool is ready. It is safe for concurrent use.
type Pool struct {
	classes [maxShift - minShift + 1]sync.Pool
	lent    atomic.Int64
}

// Buf is a borrowed buffer. It has one owner, who hands it on or calls Release, once.
type Buf struct {
	B     []byte // as long as asked for; the owner may reslice it
	full  []byte
	class int
	pool  *Pool
	refs  atomic.Int32
}

// Get lends a buffer of n bytes, n >= 0. Its content is undefined. It has one reference.
func (p *Pool) Get(n int) *Buf {
	class := max(bits.Len(uint(max(n, 1)-1)), minShift) - minShift
	if class >= len(p.classes) {
		class = -1
	}
	var b *Buf
	if class >= 0 {
		b, _ = p.classes[class].Get().(*Buf)
	}
	if b == nil {
		size := n
		if class >= 0 {
			size = 1 << (class + minShift)
		}
		b = &Buf{full: aligned(size), class: class, pool: p}
	}
	b.B = b.full[:n]
	b.refs.Store(1)
	p.lent.Add(int64(len(b.full)))
	return b
}

// Lent is how many bytes are out now.
func (p *Pool) Lent() int64 { return p.lent.Load() }

// Retain adds a reference: Release must be called once more.
func (b *Buf) Retain() { b.refs.Add(1) }

// Release drops a reference; the last one gives the buffer back. Nil is allowed.
func (b *Buf) Release() {
	if b == nil {
		return
	}
	switch n := b.refs.Add(-1); {
	case n > 0:
		return
	case n < 0:
		panic("bufpool: released more often than retained")
	}
	b.pool.lent.Add(-int64(len(b.full)))
	b.B = nil
	if b.class >= 0 {
		b.pool.classes[b.class].Put(b)
	}
}

// Cap is how many bytes b can be resliced to.
func (b *Buf) Cap() int { return len(b.full) }

func aligned(n int) []byte {
	if n == 0 {
		return nil
	}
	n = (n + Align - 1) &^ (Align - 1)
	raw := make([]byte, n+Align)
	skip := int(-uintptr(unsafe.Pointer(unsafe.SliceData(raw))) & (Align - 1))
	return raw[skip : skip+n : skip+n]
}
