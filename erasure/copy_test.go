package erasure

import (
	"context"
	"slices"
	"testing"

	"github.com/sherd-io/sherd/placement"
)

// TestMovedShardsAreCopied: of a slot that moves only the owner before is read; where it cannot be, the shard is made of the others.
func TestMovedShardsAreCopied(t *testing.T) {
	const unit = 16 << 10
	ctx := context.Background()
	for _, size := range []int{1, 5000, 900_000, 12 * 4 * unit} {
		for _, fault := range []string{"", "lost", "corrupt"} {
			for _, wholeMax := range []int64{0, 1} { // short and long shards
				c := newCluster(t, 4, 2, unit, 1, func(o *Options) { o.wholeMax = wholeMax })
				ref := c.mustPut("a", size).Blob(0)
				old := c.on(ref, 0)
				spare := slices.IndexFunc(c.mem, func(d *memDrive) bool { return len(d.chunks) == 0 })
				switch fault {
				case "lost":
					c.lose(ref, 0)
				case "corrupt":
					c.corrupt(ref, 0)
				}
				c.change(func(m *placement.Map) {
					pg := m.Pools[testPool].PGs[ref.PG]
					pg.Epoch++
					pg.Slots[0] = placement.Slot{Drive: c.ids[spare], Since: pg.Epoch, From: pg.Slots[0].Drive}
				})
				if err := c.store.Rebuild(ctx, ref, []uint8{0}); err != nil {
					t.Fatalf("%d bytes, %s: %v", size, fault, err)
				}
				others := 0
				for _, d := range c.mem {
					if d != old {
						others += d.reads
					}
				}
				if (others == 0) != (fault == "") {
					t.Errorf("%d bytes, %s: %d reads of other drives", size, fault, others)
				}
				st, err := c.store.VerifyBlob(ctx, ref)
				if err != nil || !st.Clean() || c.mem[spare].chunks[ref.Chunk(0)].h.Epoch != 2 {
					t.Errorf("%d bytes, %s: %v %v", size, fault, st.Bad, err)
				}
			}
		}
	}
}
