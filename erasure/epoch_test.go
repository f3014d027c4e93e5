package erasure

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/sherd-io/sherd/disk"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/placement"
)

// behind is a cluster whose map at hand is older than what the drives know: slots of a body have moved, the old owners have dropped
// their chunks, and only a reload tells.
type behind struct {
	*real
	ref BlobRef
}

func newBehind(t *testing.T, at place, size int, slots ...int) *behind {
	r := newReal(t, 2, 2, 3, at, func(o *Options) { o.MapWait = 20 * time.Millisecond })
	b := &behind{r, r.mustPut("a", size).Blob(0)}
	old := r.m.Load()
	r.change(func(m *placement.Map) {
		pg := m.Pools[testPool].PGs[b.ref.PG]
		for i, slot := range slots {
			pg.Epoch++
			pg.Slots[slot] = placement.Slot{Drive: r.ids[(int(b.ref.PG)+4+i)%7], Since: pg.Epoch, From: pg.Slots[slot].Drive}
		}
	})
	ctx := context.Background()
	for _, slot := range slots {
		if err := r.store.Rebuild(ctx, b.ref, []uint8{uint8(slot)}); err != nil {
			t.Fatal(err)
		}
	}
	r.change(func(m *placement.Map) {
		for _, slot := range slots {
			sl := &m.Pools[testPool].PGs[b.ref.PG].Slots[slot]
			sl.Complete, sl.From = true, ids.Drive{}
		}
	})
	epoch := r.m.Load().Pools[testPool].PGs[b.ref.PG].Epoch
	for slot, sl := range old.Pools[testPool].PGs[b.ref.PG].Slots {
		d := r.disk[slices.Index(r.ids, sl.Drive)]
		if err := d.RaiseEpoch(ctx, testPool, b.ref.PG, epoch); err != nil {
			t.Fatal(err)
		}
		if slices.Contains(slots, slot) {
			if err := d.Quarantine(ctx, b.ref.Chunk(slot), "moved"); err != nil {
				t.Fatal(err)
			}
		}
	}
	now := r.m.Load()
	r.m.Store(old)
	r.mu.Lock()
	r.later = func() { r.m.Store(now) }
	r.mu.Unlock()
	r.reports()
	return b
}

// etcdIsAway: no reload brings anything.
func (b *behind) etcdIsAway() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.later = nil
}

// behindSizes have short and long shards.
func behindSizes() []int { return []int{5000, scaled(800_000), scaled(3 << 20)} }

// TestI5_AbsentUnderANewerEpoch: the reader loads the map again and finds the chunk at its new owner; nothing is damaged.
func TestI5_AbsentUnderANewerEpoch(t *testing.T) {
	eachPlace(t, func(t *testing.T, at place) {
		for _, size := range behindSizes() {
			b := newBehind(t, at, size, 0, 1, 3) // more than parity could replace
			b.mustGet("a")
			if got := b.reports(); len(got) > 0 {
				t.Errorf("%d bytes: reported %v", size, got)
			}
			b = newBehind(t, at, size, 0, 1, 3)
			st, err := b.store.VerifyBlob(context.Background(), b.ref)
			if err != nil || !st.Clean() {
				t.Errorf("%d bytes: %v %v %v", size, st.Bad, st.Errs, err)
			}
		}
	})
}

// TestI5_NoNewerMap: without etcd what parity gives is read, and nobody calls a chunk missing or a blob lost.
func TestI5_NoNewerMap(t *testing.T) {
	eachPlace(t, func(t *testing.T, at place) {
		ctx := context.Background()
		for _, size := range behindSizes() {
			b := newBehind(t, at, size, 0)
			b.etcdIsAway()
			b.mustGet("a")
			if got := b.reports(); len(got) > 0 {
				t.Errorf("%d bytes: reported %v", size, got)
			}
			if st, err := b.store.VerifyBlob(ctx, b.ref); err != nil || st.Bad[0] != Unavailable || len(st.Slots(Missing)) > 0 {
				t.Errorf("%d bytes: %v %v", size, st.Bad, err)
			}
			before := len(b.all(0))
			if err := b.store.Rebuild(ctx, b.ref, []uint8{0}); !errors.Is(err, disk.ErrEpoch) || len(b.all(0)) != before {
				t.Errorf("%d bytes: a chunk was made for who may not be the owner: %v", size, err)
			}
			b = newBehind(t, at, size, 0, 1, 3)
			b.etcdIsAway()
			if err := b.get("a", 0, int64(size)); !errors.Is(err, ErrUnavailable) {
				t.Errorf("%d bytes: %v", size, err)
			}
			if got := b.reports(); len(got) > 0 {
				t.Errorf("%d bytes: reported %v", size, got)
			}
		}
	})
}

// all are the chunks of drive i.
func (r *real) all(i int) []disk.ChunkInfo {
	r.t.Helper()
	list, err := r.disk[i].AllChunks(context.Background(), nil, 1<<20)
	if err != nil {
		r.t.Fatal(err)
	}
	return list
}

// TestI5_NoNewerMapIsNotAwaitedByAll: one read waits for it in vain, those after it do not.
func TestI5_NoNewerMapIsNotAwaitedByAll(t *testing.T) {
	b := newBehind(t, place{}, 5000, 0)
	b.etcdIsAway()
	b.store.opt.lagPause = time.Hour
	b.mustGet("a")
	b.store.opt.MapWait = testPatience
	began := time.Now()
	if b.store.Renewed(context.Background(), testPool, b.ref.PG, 1); time.Since(began) > testPatience/2 {
		t.Errorf("it took %s", time.Since(began))
	}
}

// TestI5_DeleteUnderANewerEpoch: a delete that a drive answers under a newer epoch reaches the owners of that one, or is not done.
func TestI5_DeleteUnderANewerEpoch(t *testing.T) {
	eachPlace(t, func(t *testing.T, at place) {
		ctx := context.Background()
		b := newBehind(t, at, 5000, 3)
		later := b.later
		b.etcdIsAway()
		if err := b.store.Delete(ctx, b.ref); !errors.Is(err, disk.ErrEpoch) {
			t.Errorf("called deleted: %v", err)
		}
		b.mu.Lock()
		b.later = later
		b.mu.Unlock()
		b.store.lagging.Store(0)
		if err := b.store.Delete(ctx, b.ref); err != nil {
			t.Error(err)
		}
		for i := range b.disk {
			if left := b.all(i); len(left) > 0 {
				t.Errorf("drive %d has %d chunks", i, len(left))
			}
		}
	})
}

// TestI5_WriteOfAnOldEpoch: what no owner but one knows yet is enough to have the write done under the new epoch: the new owner has its
// chunk, the old one's is not counted.
func TestI5_WriteOfAnOldEpoch(t *testing.T) {
	eachPlace(t, func(t *testing.T, at place) {
		for _, size := range behindSizes() {
			r := newReal(t, 2, 2, 3, at, nil)
			old := r.m.Load()
			r.change(func(m *placement.Map) {
				for i, pg := range m.Pools[testPool].PGs {
					pg.Epoch++
					pg.Slots[2] = placement.Slot{Drive: r.ids[(i+4)%7], Since: pg.Epoch}
				}
			})
			now := r.m.Load()
			for i, pg := range now.Pools[testPool].PGs {
				if err := r.disk[slices.Index(r.ids, pg.Slots[3].Drive)].RaiseEpoch(context.Background(), testPool, ids.PG(i), pg.Epoch); err != nil {
					t.Fatal(err)
				}
			}
			r.m.Store(old)
			r.later = func() { r.m.Store(now) }
			w := r.mustPut("a", size)
			if len(w.Missed) > 0 {
				t.Errorf("%d bytes: missed %v", size, w.Missed)
			}
			for slot, sl := range now.Pools[testPool].PGs[w.PGs[0]].Slots {
				list := r.all(slices.Index(r.ids, sl.Drive))
				if !slices.ContainsFunc(list, func(c disk.ChunkInfo) bool { return c.Key == w.Blob(0).Chunk(slot) }) && layout(now.Pools[testPool], int64(size)).Stored(slot) {
					t.Errorf("%d bytes: slot %d is not on its owner", size, slot)
				}
			}
			r.mustGet("a")
		}
	})
}
