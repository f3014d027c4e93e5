package erasure

import (
	"fmt"
	"math/bits"
	"testing"
)

// TestAnyLossReadsBack writes bodies of lengths near every border, and reads them with every pattern of lost slots.
func TestAnyLossReadsBack(t *testing.T) {
	const unit = 8 << 10
	blob := 300_000
	if testing.Short() { // the race detector makes bytes dear: still more than four stripes
		blob = 140_000
	}
	for _, p := range [][3]int{{1, 0, 1}, {1, 1, 1}, {2, 1, 0}, {2, 2, 1}, {4, 2, 0}, {4, 2, 1}} {
		k, m := p[0], p[1]
		t.Run(fmt.Sprintf("%d+%d/%d", k, m, p[2]), func(t *testing.T) {
			c := newCluster(t, k, m, unit, 0, func(o *Options) {
				o.BlobBytes = int64(blob)
				if p[2] == 1 { // the streaming writer
					o.wholeMax = 1
				}
			})
			for _, size := range []int{1, 4095, 4096, 4097, unit, unit + 1, k * unit, k*unit + 1, 3*k*unit - 1, blob, blob + 1, 3 * blob} {
				c.mustPut("x", size)
				e := c.bodies["x"].w.Extent
				for lost := range 1 << (k + m) {
					if bits.OnesCount(uint(lost)) > m || size > 4*k*unit && lost%3 != 0 {
						continue
					}
					restore := c.hide(e, lost)
					c.mustGet("x")
					for _, off := range []int{0, 1, size / 2, size - 1} {
						for _, n := range []int{1, 4096, unit, size} {
							n = min(n, size-off)
							if err := c.get("x", int64(off), int64(n)); err != nil {
								t.Errorf("size %d lost %b [%d,+%d): %v", size, lost, off, n, err)
							}
						}
					}
					restore()
				}
			}
		})
	}
}

// hide takes the slots in lost of all blobs away until the returned function is called.
func (c *cluster) hide(e Extent, lost int) (restore func()) {
	var back []func()
	for i := range e.PGs {
		ref := e.Blob(i)
		for slot := range 16 {
			if lost>>slot&1 == 1 {
				d, key := c.on(ref, slot), ref.Chunk(slot)
				ch := d.chunks[key]
				if ch != nil {
					d.set(func() { delete(d.chunks, key) })
					back = append(back, func() { d.set(func() { d.chunks[key] = ch }) })
				}
			}
		}
	}
	return func() {
		for _, f := range back {
			f()
		}
	}
}
