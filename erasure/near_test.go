package erasure

import (
	"slices"
	"testing"
	"time"

	"github.com/sherd-io/sherd/disk"
	"github.com/sherd-io/sherd/placement"
)

// near has exactly these slots of ref on drives of this node.
func (c *cluster) near(ref BlobRef, slots ...int) {
	for slot := range 6 {
		d := c.on(ref, slot)
		d.set(func() { d.near = slices.Contains(slots, slot) })
	}
}

// farReads counts the reads so far of other nodes' drives, and forgets them.
func (c *cluster) farReads() (n int) {
	for _, d := range c.mem {
		d.set(func() {
			if !d.near {
				n += d.reads
			}
			d.reads = 0
		})
	}
	return n
}

// TestNearParity: each parity slot of this node's drives spares a read of another node's, whichever slots are near and whatever the length,
// and the bytes are the same.
func TestNearParity(t *testing.T) {
	const unit = 16 << 10
	c := newCluster(t, 4, 2, unit, 0, nil)
	for _, size := range []int{1, 4 << 10, 5000, unit + 1, 4 * unit, 4*unit + 1, 9*unit + 77, 12 * unit} {
		ref := c.mustPut("a", size).Blob(0)
		lay := layout(c.m.Load().Pools[testPool], ref.Size)
		for pattern := range 1 << 6 {
			var slots []int
			for slot := range 6 {
				if pattern&(1<<slot) != 0 {
					slots = append(slots, slot)
				}
			}
			c.near(ref, slots...)
			want := 0
			for i := range lay.Stripes() {
				want += farNeeded(func(slot int) bool { return lay.UnitBytes(i, slot) > 0 }, slots)
			}
			c.farReads()
			c.mustGet("a")
			if got := c.farReads(); got != want {
				t.Errorf("%d bytes, near %v: %d reads of other nodes' drives, want %d", size, slots, got, want)
			}
		}
	}
	if got := c.reports(); got != nil {
		t.Errorf("reported %v", got)
	}
}

// farNeeded is how many data slots must come from other nodes.
func farNeeded(stored func(slot int) bool, near []int) (far int) {
	for slot := range 4 {
		if stored(slot) && !slices.Contains(near, slot) {
			far++
		}
	}
	for slot := 4; slot < 6 && far > 0; slot++ {
		if slices.Contains(near, slot) {
			far--
		}
	}
	return far
}

// TestNearParityOfParts: a part of a stripe is read from the data slots alone: parity would be more bytes.
func TestNearParityOfParts(t *testing.T) {
	const unit = 16 << 10
	c := newCluster(t, 4, 2, unit, 0, nil)
	ref := c.mustPut("a", 4*unit).Blob(0)
	c.near(ref, 4, 5)
	for off, n := range map[int64]int64{0: 4*unit - 1, 1: 4*unit - 1, 100: 50} {
		if err := c.get("a", off, n); err != nil {
			t.Error(err)
		}
	}
	for _, slot := range []int{4, 5} {
		if d := c.on(ref, slot); d.reads > 0 {
			t.Errorf("%d reads of slot %d", d.reads, slot)
		}
	}
}

// TestNearParityFails: what is wrong with a parity slot that is near is told the healer, and costs no read that could be answered.
func TestNearParityFails(t *testing.T) {
	const size = 300_000
	for what, of := range map[string]struct {
		do     func(*cluster, BlobRef)
		report []string
	}{
		"missing": {func(c *cluster, ref BlobRef) { c.lose(ref, 4) }, []string{"missing 4"}},
		"corrupt": {func(c *cluster, ref BlobRef) { c.corrupt(ref, 4) }, []string{"corrupt 4"}},
		"hung": {func(c *cluster, ref BlobRef) {
			c.store.hedges.saved.Store(hedgesMax)
			d := c.on(ref, 4)
			d.set(func() { d.slow = make(chan struct{}) })
			c.t.Cleanup(d.heal)
		}, nil},
		"one other data slot too": {func(c *cluster, ref BlobRef) { c.lose(ref, 4); c.lose(ref, 3) }, []string{"missing 3", "missing 4"}},
	} {
		c := newCluster(t, 4, 2, 16<<10, 0, func(o *Options) { o.SlowAfter = 20 * time.Millisecond })
		ref := c.mustPut("a", size).Blob(0)
		c.near(ref, 4)
		of.do(c, ref)
		c.mustGet("a")
		if got := c.reports(); !slices.Equal(got, of.report) {
			t.Errorf("%s: reported %v, want %v", what, got, of.report)
		}
	}
}

// TestNearParityUnasked: parity is not asked for that is known not to be there.
func TestNearParityUnasked(t *testing.T) {
	for what, do := range map[string]func(c *cluster, ref BlobRef, drive int){
		"failing": func(c *cluster, _ BlobRef, drive int) {
			c.mem[drive].set(func() { c.mem[drive].health = disk.Suspect })
		},
		"down": func(c *cluster, _ BlobRef, drive int) { c.state(drive, placement.DriveDown) },
		"still being filled": func(c *cluster, ref BlobRef, _ int) {
			c.change(func(m *placement.Map) { m.Pools[ref.Pool].PGs[ref.PG].Slots[4].Complete = false })
		},
	} {
		for _, size := range []int{4 << 10, 300_000} {
			c := newCluster(t, 4, 2, 16<<10, 0, nil)
			ref := c.mustPut("a", size).Blob(0)
			c.near(ref, 4)
			d := c.on(ref, 4)
			do(c, ref, slices.Index(c.mem, d))
			c.mustGet("a")
			if got := c.reports(); d.reads > 0 || got != nil {
				t.Errorf("%s, %d bytes: %d reads, reported %v", what, size, d.reads, got)
			}
		}
	}
}
