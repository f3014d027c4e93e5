package heal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sherd-io/sherd/erasure"
	"github.com/sherd-io/sherd/internal/hlc"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/internal/poll"
	"github.com/sherd-io/sherd/placement"
)

const (
	otherPool  = ids.Pool(2)
	testBucket = ids.Bucket(9) // of all bodies here
)

// newConvertible is a cluster with two pools, whose bucket uses the first.
func newConvertible(t *testing.T, change func(*Options)) *cluster {
	c := newCluster(t, 2, 1, 2, 3, change)
	c.change(func(m *placement.Map) {
		p := &placement.Pool{ID: otherPool, K: 3, M: 2, UnitBytes: 64 << 10, PGCount: 4, StorageClass: "WIDE"}
		for i := range p.PGCount {
			pg := &placement.PG{Epoch: 1}
			for slot := range p.N() {
				pg.Slots = append(pg.Slots, placement.Slot{Drive: c.ids[(slot+i)%len(c.ids)], Complete: true})
			}
			p.PGs = append(p.PGs, pg)
		}
		m.Pools[otherPool] = p
	})
	c.usePool(testPool)
	return c
}

// usePool has the bucket use a pool.
func (c *cluster) usePool(pool ids.Pool) {
	c.change(func(m *placement.Map) {
		m.Buckets = map[string]*placement.Bucket{"b": {ID: testBucket, Name: "b", Pool: pool}}
	})
}

// putVersions stores n objects.
func (c *cluster) putVersions(n int) {
	c.t.Helper()
	c.putSome(n)
	c.asVersions(func(*Item) {})
}

// asVersions makes all objects finished ones, changed by fn.
func (c *cluster) asVersions(fn func(*Item)) {
	c.rows.do(func() {
		for u, it := range c.rows.items {
			it.Version = u.Stamp()
			fn(&it)
			c.rows.items[u] = it
		}
	})
}

// refresh has the bodies say where their rows say that they are.
func (c *cluster) refresh() (pools map[ids.Pool]int) {
	pools = map[ids.Pool]int{}
	c.rows.do(func() {
		for _, it := range c.rows.items {
			o := c.bodies[it.Key]
			o.item = it
			c.bodies[it.Key] = o
			pools[it.Extent.Pool]++
		}
	})
	return pools
}

// checkClean wants every object whole, the ledger exact, and no chunk on any drive that no object has.
func (c *cluster) checkClean() {
	c.t.Helper()
	c.later()
	for range 3 {
		if err := c.healer.Reclaim(c.ctx); err != nil {
			c.t.Fatal(err)
		}
	}
	if err := c.healer.Scrub(c.ctx, ScrubFull); err != nil {
		c.t.Fatal(err)
	}
	if st := c.healer.ScrubStatus(); st.Quarantined+st.Missing+st.Corrupt+st.Lost != 0 {
		c.t.Errorf("scrub found %+v", st)
	}
	c.refresh()
	c.checkAll()
	c.checkFull()
	c.checkLedger()
}

// TestConvert: objects go to the pool that their bucket uses by now, of their size and bytes, and leave nothing behind.
func TestConvert(t *testing.T) {
	c := newConvertible(t, nil)
	c.putVersions(14)
	c.put("zpart", 70_000) // of an unfinished upload: it stays
	var bytes int64
	for _, o := range c.bodies {
		bytes += o.item.Extent.Size
	}
	if led := c.checkLedger(); len(led.Convert) != 0 || led.Pools[testPool] != (Tally{15, bytes}) {
		t.Errorf("before: %+v", led)
	}
	c.usePool(otherPool)
	if led := c.checkLedger(); led.Convert[testBucket] != (Tally{14, bytes - 70_000}) || led.Leaving[testPool] != (Tally{14, bytes - 70_000}) {
		t.Errorf("to convert: %+v, %+v, want 14 of %d", led.Convert, led.Leaving, bytes-70_000)
	}
	if err := c.healer.Convert(c.ctx); err != nil {
		t.Fatal(err)
	}
	if in := c.refresh(); in[otherPool] != 14 || in[testPool] != 1 {
		t.Errorf("bodies in pools: %v", in)
	}
	if led := c.checkLedger(); len(led.Convert) != 0 || led.Pools[otherPool] != (Tally{14, bytes - 70_000}) {
		t.Errorf("after: %+v", led)
	}
	if st := c.healer.Status().Convert; st.Bodies != 14 || st.Bytes != bytes-70_000 || st.Failed != 0 {
		t.Errorf("%+v", st)
	}
	c.checkClean()
	for i := range c.disks {
		for _, info := range c.all(i) {
			if info.Key.Pool == testPool && info.Object != "zpart" {
				t.Fatalf("drive %d has %v of %s still", i, info.Key, info.Object)
			}
		}
	}
	// Back again, part of it by class: those stay.
	c.asVersions(func(it *Item) {
		if it.Key == "a0" || it.Key == "z5" {
			it.Class = "WIDE"
		}
	})
	c.usePool(testPool)
	if err := c.healer.Convert(c.ctx); err != nil {
		t.Fatal(err)
	}
	if in := c.refresh(); in[otherPool] != 2 {
		t.Errorf("bodies in pools: %v, want those of the class in its own", in)
	}
	c.checkClean()
}

// TestConvertByItself: a kick is enough, and a pause holds.
func TestConvertByItself(t *testing.T) {
	c := newConvertible(t, func(o *Options) { o.Tick = 10 * time.Millisecond })
	c.putVersions(6)
	c.usePool(otherPool)
	c.healer.Pause()
	ctx, cancel := context.WithCancel(c.ctx)
	done := make(chan error)
	go func() { done <- c.healer.Run(ctx) }()
	defer func() { cancel(); <-done }()
	c.healer.Kick()
	poll.True(t, poll.Within, "the ledger to know", func() bool { return len(c.healer.Status().Ledger.Convert) == 1 })
	if in := c.refresh(); in[otherPool] != 0 {
		t.Errorf("converted in a pause: %v", in)
	}
	c.healer.Resume()
	poll.True(t, poll.Within, "conversion", func() bool {
		st := c.healer.Status()
		return c.refresh()[otherPool] == 6 && len(st.Ledger.Convert) == 0 && st.Ledger.Pools[otherPool].Objects == 6
	})
}

// TestI14_ConvertAgainstWriters: whoever overwrites or deletes an object while it is converted wins, and two that convert the same do no
// harm; at the end every object has the bytes that were written last, and no chunk is left over.
func TestI14_ConvertAgainstWriters(t *testing.T) {
	c := newConvertible(t, func(o *Options) {
		o.Workers = 4
		open := openReads{clock: o.Clock, open: map[*hlc.Stamp]bool{}}
		o.Reading, o.ReadMark = open.begin, open.mark
	})
	c.putVersions(20)
	c.usePool(otherPool)
	both := []*Healer{c.healer, c.another(nil)}
	var writers sync.Mutex // they change c.bodies
	g := new(errgroup.Group)
	for _, h := range both {
		g.Go(func() error { return h.Convert(c.ctx) })
	}
	for i := range 20 {
		g.Go(func() error {
			name := fmt.Sprintf("%c%d", "az"[i%2], i)
			switch i % 3 {
			case 0:
				return nil
			case 1:
				writers.Lock()
				defer writers.Unlock()
				c.supersede(name, nil)
				return c.healer.Reclaim(c.ctx)
			}
			o, missed, err := c.write(name, 1000*(i+1))
			if err != nil {
				return err
			}
			o.item.Version = o.item.Extent.Upload.Stamp()
			if len(missed) > 0 {
				return fmt.Errorf("%s misses %v", name, missed)
			}
			writers.Lock()
			defer writers.Unlock()
			c.supersede(name, &o)
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	if err := c.healer.Convert(c.ctx); err != nil {
		t.Fatal(err)
	}
	if in := c.refresh(); in[testPool] != 0 {
		t.Errorf("bodies in pools: %v", in)
	}
	c.checkClean()
}

// supersede replaces an object, wherever it is by now, by next or, with nil, by nothing, as a range does: in one step.
func (c *cluster) supersede(name string, next *body) {
	delete(c.bodies, name)
	c.rows.do(func() {
		for u, it := range c.rows.items {
			if it.Key == name {
				delete(c.rows.items, u)
				c.rows.reclaims = append(c.rows.reclaims, Reclaim{Home: it.Home, Extent: it.Extent, Died: c.clock.Now()})
			}
		}
		if next != nil {
			c.rows.items[next.item.Extent.Upload], c.bodies[name] = next.item, *next
		}
	})
}

// openReads says which reads are open, as gateways do.
type openReads struct {
	clock *hlc.Clock
	mu    sync.Mutex
	open  map[*hlc.Stamp]bool
}

func (r *openReads) begin() (ended func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := r.clock.Now()
	r.open[&at] = true
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.open, &at)
	}
}

func (r *openReads) mark(context.Context, ids.Range) (hlc.Stamp, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	oldest := hlc.Stamp(1<<64 - 1)
	for at := range r.open {
		oldest = min(oldest, *at)
	}
	return oldest, true
}

// TestI13_ConvertedBodyIsReadAsARequestReads: what dies between the walk and the read is not read at all, and what dies later stays
// until the read is over.
func TestI13_ConvertedBodyIsReadAsARequestReads(t *testing.T) {
	var c *cluster
	open, begun := 0, 0
	c = newConvertible(t, func(o *Options) {
		o.Workers = 1
		o.Reading = func() func() {
			if begun++; begun == 1 { // the last moment: nobody knows of a read yet
				c.refresh()
				c.delete("a0")
				c.later()
				if err := c.healer.Reclaim(c.ctx); err != nil {
					t.Error(err)
				}
			}
			open++
			return func() { open-- }
		}
	})
	c.put("a0", 700_000)
	c.put("a1", 5000)
	c.asVersions(func(*Item) {})
	c.usePool(otherPool)
	if err := c.healer.Convert(c.ctx); err != nil {
		t.Errorf("a body that was reclaimed before it was to be converted: %v", err)
	}
	if open != 0 || begun != 2 {
		t.Errorf("%d reads of %d are open still", open, begun)
	}
	if n := len(c.healer.reports.all()); n != 0 {
		t.Errorf("%d shards of a dead body are taken for damage", n)
	}
	c.refresh()
	c.checkClean()
}

// TestConvertUnknownOutcome: where the range did not answer, what was written stays, for a row may refer to it; what none refers to the
// scrubber finds (I1, I6), as it does after a crash.
func TestConvertUnknownOutcome(t *testing.T) {
	for _, applied := range []bool{true, false} {
		c := newConvertible(t, nil)
		c.putVersions(4)
		c.usePool(otherPool)
		lost := errors.New("no answer")
		if applied {
			c.rows.reencodeErr = lost
		} else {
			c.healer = c.another(func(o *Options) { o.Records = unreachable{c.rows, lost} })
		}
		if err := c.healer.Convert(c.ctx); !errors.Is(err, lost) {
			t.Fatal(err)
		}
		if st := c.healer.Status().Convert; st.Failed != 4 || st.Bodies != 0 {
			t.Errorf("%+v", st)
		}
		want := map[bool]ids.Pool{true: otherPool, false: testPool}[applied]
		if in := c.refresh(); in[want] != 4 {
			t.Fatalf("bodies in pools: %v", in)
		}
		c.checkAll()
		c.checkFull()
		c.rows.reencodeErr, c.healer.opt.Records = nil, c.rows
		if err := c.healer.Convert(c.ctx); err != nil { // the next process begins anew
			t.Fatal(err)
		}
		c.later()
		if err := errors.Join(c.healer.Reclaim(c.ctx), c.healer.Scrub(c.ctx, ScrubFull)); err != nil {
			t.Fatal(err)
		}
		if garbage := c.healer.ScrubStatus().Quarantined; applied != (garbage == 0) {
			t.Errorf("the row has it: %v; %d chunks are garbage", applied, garbage)
		}
		c.refresh()
		c.checkClean()
	}
}

// unreachable are rows whose Reencode is never applied, and not answered.
type unreachable struct {
	*rows
	err error
}

func (u unreachable) Reencode(context.Context, Item, erasure.Written) (bool, error) {
	return false, u.err
}

// TestConvertInTrouble: a body that cannot be read holds up no other; a pool that takes nothing ends the pass, and says why.
func TestConvertInTrouble(t *testing.T) {
	c := newConvertible(t, nil)
	c.putVersions(8)
	for slot := range 2 {
		c.lose(c.bodies["a2"].item.Extent.Blob(0), slot)
	}
	c.usePool(otherPool)
	if err := c.healer.Convert(c.ctx); !errors.Is(err, erasure.ErrLost) {
		t.Errorf("a lost body: %v", err)
	}
	if in := c.refresh(); in[testPool] != 1 || in[otherPool] != 7 {
		t.Errorf("bodies in pools: %v", in)
	}
	c.usePool(testPool)
	i := slices.Index(c.ids, c.m.Load().Pools[testPool].PGs[0].Slots[0].Drive)
	c.state(i, placement.DriveDown) // 2+1 takes nothing without one of its three
	if err := c.healer.Convert(c.ctx); !errors.Is(err, erasure.ErrNoQuorum) {
		t.Errorf("a pool that takes nothing: %v", err)
	}
	if failed := c.healer.Status().Convert.Failed; failed > 1+int64(c.healer.opt.Workers) {
		t.Errorf("%d bodies were tried", failed)
	}
	c.state(i, placement.DriveUp)
	c.later()
	if err := c.healer.Scrub(c.ctx, ScrubFull); err != nil { // of blobs of which slots were written all the same
		t.Fatal(err)
	}
	c.healer = c.another(func(o *Options) { o.Records = unreachable{c.rows, ErrRefused} })
	if err := c.healer.Convert(c.ctx); !errors.Is(err, ErrRefused) {
		t.Errorf("a pool that ranges take nothing in: %v", err)
	}
	c.later()
	if err := c.healer.Scrub(c.ctx, ScrubFull); err != nil || c.healer.ScrubStatus().Quarantined != 0 {
		t.Errorf("%v; what is refused for good is left: %+v", err, c.healer.ScrubStatus())
	}
	held := c.another(func(o *Options) { o.Held = func() bool { return true } })
	old := c.another(func(o *Options) { o.Reencodes = func() bool { return false } })
	if err := errors.Join(held.Convert(c.ctx), old.Convert(c.ctx)); err != nil || c.refresh()[otherPool] != 7 {
		t.Errorf("converted while it must not be: %v", err)
	}
}
