package heal

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/bits"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sherd-io/sherd/disk"
	"github.com/sherd-io/sherd/disk/remote"
	"github.com/sherd-io/sherd/disk/remote/remotetest"
	"github.com/sherd-io/sherd/erasure"
	"github.com/sherd-io/sherd/internal/bufpool"
	"github.com/sherd-io/sherd/internal/growfs"
	"github.com/sherd-io/sherd/internal/hlc"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/internal/poll"
	"github.com/sherd-io/sherd/placement"
)

const testPool = ids.Pool(1)

// cluster is a healer over real drives in memory, with a map and rows that the test changes.
type cluster struct {
	t       testing.TB
	ctx     context.Context
	rnd     *rand.ChaCha8
	buffers bufpool.Pool
	clock   *hlc.Clock
	store   *erasure.Store
	healer  *Healer
	rows    *rows
	m       atomic.Pointer[placement.Map]
	newer   atomic.Pointer[placement.Map] // what m is after its next reload; nil: the same
	mark    atomic.Uint64                 // the read mark; 0: not known
	ids     []ids.Drive
	fs      []*vfs.MemFS
	disks   []*disk.Drive

	far  *remote.Client                    // nil: the drives are of this process
	wrap func(erasure.Drive) erasure.Drive // of the drives that the store is given; nil: as they are

	mu     sync.Mutex
	away   map[ids.Drive]bool
	bodies map[string]body
}

type body struct {
	b    []byte
	item Item
}

// later moves the clock past the uploads that were begun: their stamps are of milliseconds.
func (c *cluster) later() { c.clock.Merge(c.clock.Now().Add(2 * time.Millisecond)) }

func newCluster(t testing.TB, k, m, spare, pgs int, change func(*Options)) *cluster {
	c := &cluster{
		t: t, ctx: context.Background(), rnd: rand.NewChaCha8([32]byte{3}), clock: hlc.New(nil),
		away: map[ids.Drive]bool{}, bodies: map[string]body{},
	}
	c.rows = newRows(c.clock)
	mp := &placement.Map{
		Drives: map[ids.Drive]*placement.Drive{}, Ranges: []*placement.Range{{ID: 1}, {ID: 2, Start: []byte("z")}},
	}
	for range k + m + spare {
		id := c.addDrive()
		mp.Drives[id] = &placement.Drive{ID: id, State: placement.DriveUp}
	}
	p := &placement.Pool{ID: testPool, K: k, M: m, UnitBytes: 64 << 10, PGCount: pgs}
	for i := range pgs {
		pg := &placement.PG{Epoch: 1}
		for slot := range k + m {
			pg.Slots = append(pg.Slots, placement.Slot{Drive: c.ids[(slot+i)%(k+m)], Complete: true})
		}
		p.PGs = append(p.PGs, pg)
	}
	mp.Pools = map[ids.Pool]*placement.Pool{testPool: p}
	c.m.Store(mp)
	c.mark.Store(^uint64(0))
	c.store = erasure.New(erasure.Options{
		Map: c.m.Load, Buffers: &c.buffers, ViewTTL: time.Nanosecond, BlobBytes: 600_000, AckTimeout: poll.Within,
		Drive: func(id ids.Drive) erasure.Drive {
			d := c.drive(id)
			switch {
			case d == nil:
				return nil
			case c.wrap != nil:
				return c.wrap(d)
			}
			return d
		},
		Report: func(b erasure.BadShard) { c.healer.Report(b) },
		Reload: func(context.Context) {
			if newer := c.newer.Swap(nil); newer != nil {
				c.m.Store(newer)
			}
		},
		MapWait: 20 * time.Millisecond,
	})
	opt := Options{
		Map: c.m.Load, Drive: c.drive, Store: c.store, Records: c.rows, Planner: c, Clock: c.clock, Page: 7,
		ReadMark: func(context.Context, ids.Range) (hlc.Stamp, bool) { v := c.mark.Load(); return hlc.Stamp(v), v != 0 },
		Logger:   slog.New(slog.DiscardHandler), HealBytes: 1 << 40, ScrubBytes: 1 << 40, DrainedAfter: time.Nanosecond,
		GarbageAge: time.Nanosecond, ScrubEvery: -1,
	}
	if change != nil {
		change(&opt)
	}
	var err error
	if c.healer, err = New(opt); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.store.Close()
		for _, d := range c.disks {
			d.Close()
		}
		if n := c.buffers.Lent(); n != 0 {
			t.Errorf("%d bytes of buffers leaked", n)
		}
	})
	return c
}

// addDrive formats and opens another drive, which the map does not know yet.
func (c *cluster) addDrive() ids.Drive {
	fs := vfs.NewMem()
	opt := disk.Options{
		FS: growfs.Wrap(fs), Path: "d", Buffers: &c.buffers, SegmentBytes: 16 << 20, LogSegmentBytes: 4 << 20, PrefillBytes: 64 << 10,
		BallastBytes: -1, HangAfter: poll.Within, Logger: slog.New(slog.DiscardHandler),
	}
	id, err := disk.Format(opt, ids.Cluster{1})
	if err != nil {
		c.t.Fatal(err)
	}
	d, err := disk.Open(opt)
	if err != nil {
		c.t.Fatal(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ids, c.fs, c.disks = append(c.ids, id.Drive), append(c.fs, fs), append(c.disks, d)
	return id.Drive
}

func (c *cluster) drive(id ids.Drive) Drive {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.Index(c.ids, id)
	if i < 0 || c.away[id] {
		return nil
	}
	if c.far != nil {
		return erasure.Remote(c.far.Drive(id))
	}
	return erasure.Local(c.disks[i])
}

// sendAway puts the drives behind a node port.
func (c *cluster) sendAway() {
	client, stop := remotetest.Serve(c.t, remotetest.Options{
		Cluster: ids.Cluster{1}, Buffers: &c.buffers,
		Drives: func() []*disk.Drive { c.mu.Lock(); defer c.mu.Unlock(); return slices.Clone(c.disks) },
	})
	c.t.Cleanup(stop)
	c.far = client
}

// change makes a new map out of a copy of the present one.
func (c *cluster) change(fn func(m *placement.Map)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := *c.m.Load()
	m.Revision++
	drives, pools := m.Drives, m.Pools
	m.Drives, m.Pools = map[ids.Drive]*placement.Drive{}, map[ids.Pool]*placement.Pool{}
	for id, d := range drives {
		d := *d
		m.Drives[id] = &d
	}
	for id, p := range pools {
		p := *p
		p.PGs = slices.Clone(p.PGs)
		for i, pg := range p.PGs {
			p.PGs[i] = &placement.PG{Epoch: pg.Epoch, Slots: slices.Clone(pg.Slots)}
		}
		m.Pools[id] = &p
	}
	fn(&m)
	c.m.Store(&m)
}

// state sets a drive's state; one that is down or out is not reachable either.
func (c *cluster) state(i int, s placement.DriveState) {
	c.change(func(m *placement.Map) {
		d := m.Drives[c.ids[i]]
		d.State, d.Since = s, time.Now().Add(-time.Second)
		c.away[c.ids[i]] = s == placement.DriveDown || s == placement.DriveOut
	})
}

// replace gives every slot of drive i to drive by, as the planner does when i is out.
func (c *cluster) replace(i, by int) {
	c.state(i, placement.DriveOut)
	c.change(func(m *placement.Map) {
		if m.Drives[c.ids[by]] == nil {
			m.Drives[c.ids[by]] = &placement.Drive{ID: c.ids[by], State: placement.DriveUp}
		}
		for _, pg := range m.Pools[testPool].PGs {
			for slot := range pg.Slots {
				if pg.Slots[slot].Drive == c.ids[i] {
					pg.Epoch++
					pg.Slots[slot] = placement.Slot{Drive: c.ids[by], Since: pg.Epoch}
				}
			}
		}
	})
}

// SlotComplete, Drained, Missed and Remember make the cluster the healer's Planner.
func (c *cluster) SlotComplete(_ context.Context, pool ids.Pool, pg ids.PG, slot uint8, owner ids.Drive, since uint64) error {
	c.change(func(m *placement.Map) {
		if g := m.Pools[pool].PGs[pg]; g.Slots[slot].Since == since && g.Slots[slot].Drive == owner {
			g.Slots[slot].Complete, g.Slots[slot].From = true, ids.Drive{}
		}
	})
	return nil
}

func (c *cluster) Drained(_ context.Context, id ids.Drive, since time.Time) error {
	c.change(func(m *placement.Map) {
		if d := m.Drives[id]; d.State == placement.DriveSuspect && d.Since.Equal(since) {
			d.State = placement.DriveUp
		}
	})
	return nil
}

func (c *cluster) Missed(_ context.Context, id ids.Drive) error {
	c.change(func(m *placement.Map) {
		if d := m.Drives[id]; d.State == placement.DriveUp {
			d.State = placement.DriveSuspect
		}
	})
	return nil
}

func (c *cluster) Remember(_ context.Context, name, value string) error {
	c.change(func(m *placement.Map) {
		m.Settings = maps.Clone(m.Settings)
		if m.Settings == nil {
			m.Settings = map[string]string{}
		}
		if m.Settings[name] = value; value == "" {
			delete(m.Settings, name)
		}
	})
	return nil
}

type source struct{ io.Reader }

func (source) Settle() error { return nil }

// write stores a body without a row.
func (c *cluster) write(name string, size int) (body, []erasure.Missed, error) {
	c.mu.Lock()
	b := make([]byte, size)
	c.rnd.Read(b)
	c.mu.Unlock()
	now := c.clock.Now()
	t := erasure.Target{Pool: testPool, Bucket: 9, Object: name, Upload: ids.NewUpload(now), Stamp: now}
	w, err := c.store.Write(c.ctx, t, int64(size), source{bytes.NewReader(b)})
	return body{b, Item{Home: Home{9, name}, Extent: w.Extent}}, w.Missed, err
}

// put stores an object as the gateway does: body, then row with its repair rows.
func (c *cluster) put(name string, size int) {
	c.t.Helper()
	o, missed, err := c.write(name, size)
	if err != nil {
		c.t.Fatalf("put %s: %v", name, err)
	}
	c.commit(name, o, missed)
}

// commit makes a body an object, in place of the one before.
func (c *cluster) commit(name string, o body, missed []erasure.Missed) {
	if _, ok := c.bodies[name]; ok {
		c.delete(name)
	}
	c.bodies[name] = o
	c.rows.do(func() {
		c.rows.items[o.item.Extent.Upload] = o.item
		for _, m := range missed {
			row := Repair{Home: o.item.Home, Ref: o.item.Extent.Blob(int(m.Blob)), Slot: m.Slot}
			c.rows.repairs[reportKey{ref: row.Ref, slot: row.Slot}] = row
		}
	})
}

// putSome stores objects of many shapes in both ranges.
func (c *cluster) putSome(n int) {
	c.t.Helper()
	sizes := []int{1, 4096, 5000, 64 << 10, 200_000, 700_000, 1_300_000}
	for i := range n {
		c.put(fmt.Sprintf("%c%d", "az"[i%2], i), sizes[i%len(sizes)])
	}
}

func (c *cluster) delete(name string) {
	o := c.bodies[name]
	delete(c.bodies, name)
	c.rows.do(func() {
		delete(c.rows.items, o.item.Extent.Upload)
		c.rows.reclaims = append(c.rows.reclaims, Reclaim{Home: o.item.Home, Extent: o.item.Extent, Died: c.clock.Now()})
	})
}

// checkAll reads every object back.
func (c *cluster) checkAll() {
	c.t.Helper()
	for name, o := range c.bodies {
		var out bytes.Buffer
		out.Grow(len(o.b))
		_, err := c.store.Read(c.ctx, o.item.Extent, 0, o.item.Extent.Size, &out)
		if err != nil || !bytes.Equal(out.Bytes(), o.b) {
			c.t.Errorf("%s: %v", name, err)
		}
	}
}

// checkFull wants every shard of every object in place and right.
func (c *cluster) checkFull() {
	c.t.Helper()
	for name, o := range c.bodies {
		for i := range o.item.Extent.PGs {
			st, err := c.store.VerifyBlob(c.ctx, o.item.Extent.Blob(i))
			if err != nil || !st.Clean() {
				c.t.Errorf("%s blob %d: %v %v %v", name, i, st.Bad, st.Errs, err)
			}
		}
	}
}

// omniscient counts the ledger the slow way: every slot of every blob, on the drives themselves.
func (c *cluster) omniscient() (short []int64) {
	m := c.m.Load()
	for _, o := range c.bodies {
		for i := range o.item.Extent.PGs {
			ref := o.item.Extent.Blob(i)
			lacks := uint64(0)
			p := m.Pools[ref.Pool]
			for slot, sl := range p.PGs[ref.PG].Slots {
				if storedSlots(p, ref.Size)>>slot&1 == 1 && !c.holds(m, sl.Drive, ref.Chunk(slot)) {
					lacks |= 1 << slot
				}
			}
			for n := bits.OnesCount64(lacks); len(short) <= n; {
				short = append(short, 0)
			}
			short[bits.OnesCount64(lacks)]++
		}
	}
	return short
}

func (c *cluster) holds(m *placement.Map, id ids.Drive, key ids.Chunk) bool {
	d := c.drive(id)
	if d == nil || m.Drives[id].State != placement.DriveUp {
		return false
	}
	r, err := d.Open(c.ctx, key, 0, 0)
	if err != nil {
		return false
	}
	r.Close()
	return true
}

// checkLedger compares the ledger with the slow count.
func (c *cluster) checkLedger() Ledger {
	c.t.Helper()
	led, err := c.healer.Count(c.ctx)
	if err != nil {
		c.t.Fatal(err)
	}
	want := c.omniscient()
	for len(want) < len(led.Short) {
		want = append(want, 0)
	}
	for len(led.Short) < len(want) {
		led.Short = append(led.Short, 0)
	}
	if !slices.Equal(led.Short, want) {
		c.t.Errorf("ledger says %v, truth is %v", led.Short, want)
	}
	return led
}

// lose takes a chunk away without a tombstone.
func (c *cluster) lose(ref erasure.BlobRef, slot int) {
	c.t.Helper()
	id, _ := owner(c.m.Load(), ref, uint8(slot))
	if err := c.drive(id).Quarantine(c.ctx, ref.Chunk(slot), "test"); err != nil {
		c.t.Fatal(err)
	}
}

// spoil puts a chunk of other bytes in a slot's place: each block of it is right.
func (c *cluster) spoil(ref erasure.BlobRef, slot int) {
	c.t.Helper()
	id, _ := owner(c.m.Load(), ref, uint8(slot))
	d := c.drive(id)
	r, err := d.Open(c.ctx, ref.Chunk(slot), 0, 0)
	if err != nil {
		c.t.Fatal(err)
	}
	h, f := r.Header(), r.Footer()
	r.Close()
	c.lose(ref, slot)
	done := make(chan error, 1)
	d.Put(h, [][]byte{make([]byte, f.ShardBytes)}, f, func(err error) { done <- err })
	if err := <-done; err != nil {
		c.t.Fatal(err)
	}
}

// flip changes a byte of a slot's payload in the drive's files.
func (c *cluster) flip(o body, slot int) {
	c.t.Helper()
	ref := o.item.Extent.Blob(0)
	id, _ := owner(c.m.Load(), ref, uint8(slot))
	i := slices.Index(c.ids, id)
	r, err := c.disks[i].Open(c.ctx, ref.Chunk(slot))
	if err != nil {
		c.t.Fatal(err)
	}
	buf, err := r.Read(c.ctx, 0, min(64, r.Size()))
	if err != nil {
		c.t.Fatal(err)
	}
	pattern := bytes.Clone(buf.B)
	buf.Release()
	r.Close()
	fs := c.fs[i]
	names, _ := fs.List("d/chunks")
	for _, name := range names {
		f, err := fs.OpenReadWrite("d/chunks/"+name, vfs.WriteCategoryUnspecified)
		if err != nil {
			continue
		}
		st, _ := f.Stat()
		all := make([]byte, st.Size())
		f.ReadAt(all, 0)
		if at := bytes.Index(all, pattern); at >= 0 {
			f.WriteAt([]byte{^pattern[0]}, int64(at))
			f.Close()
			return
		}
		f.Close()
	}
	c.t.Fatal("chunk not found in any file")
}

// chunks counts what all drives have.
func (c *cluster) chunks() (n int) {
	for i := range c.disks {
		n += len(c.all(i))
	}
	return n
}

func (c *cluster) all(i int) []disk.ChunkInfo {
	c.t.Helper()
	all, err := c.disks[i].AllChunks(c.ctx, nil, 1<<30)
	if err != nil {
		c.t.Fatal(err)
	}
	return all
}
