package erasure

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sherd-io/sherd/internal/bufpool"
	"github.com/sherd-io/sherd/internal/hlc"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/internal/poll"
	"github.com/sherd-io/sherd/placement"
)

const testPool = ids.Pool(1)

// cluster is a store over drives, with a map that the test changes.
type cluster struct {
	t       testing.TB
	rnd     *rand.ChaCha8
	buffers bufpool.Pool
	clock   *hlc.Clock
	store   *Store
	m       atomic.Pointer[placement.Map]
	ids     []ids.Drive
	mem     []*memDrive
	drives  map[ids.Drive]Drive

	mu     sync.Mutex
	bad    []BadShard
	bodies map[string]body
	later  func() // what the map learns at its next reload
}

type body struct {
	b []byte
	w Written
}

// testPatience is what a test's drives may take: only one that hangs takes longer, however busy the machine is. Tests with drives that hang run
// under synctest, where it costs nothing.
const testPatience = time.Minute

// newCluster has k+m drives and as many more as asked for, in memory, and 8 groups.
func newCluster(t testing.TB, k, m, unit, spare int, change func(*Options)) *cluster {
	return newClusterOf(t, k, m, unit, spare, change, func(c *cluster, i int) (ids.Drive, Drive) {
		d := newMemDrive(&c.buffers)
		c.mem = append(c.mem, d)
		return ids.Drive{byte(i + 1)}, d
	})
}

// newClusterOf has drives that open makes.
func newClusterOf(t testing.TB, k, m, unit, spare int, change func(*Options), open func(*cluster, int) (ids.Drive, Drive)) *cluster {
	c := &cluster{t: t, rnd: rand.NewChaCha8([32]byte{1}), clock: hlc.New(nil), drives: map[ids.Drive]Drive{}, bodies: map[string]body{}}
	mp := &placement.Map{Revision: 1, Drives: map[ids.Drive]*placement.Drive{}, Pools: map[ids.Pool]*placement.Pool{}}
	for i := range k + m + spare {
		id, d := open(c, i)
		c.ids, c.drives[id] = append(c.ids, id), d
		mp.Drives[id] = &placement.Drive{ID: id, State: placement.DriveUp}
	}
	p := &placement.Pool{ID: testPool, K: k, M: m, UnitBytes: unit, PGCount: 8}
	for i := range p.PGCount {
		pg := &placement.PG{Epoch: 1}
		for slot := range k + m {
			pg.Slots = append(pg.Slots, placement.Slot{Drive: c.ids[(slot+i)%len(c.ids)], Complete: true})
		}
		p.PGs = append(p.PGs, pg)
	}
	mp.Pools[testPool] = p
	c.m.Store(mp)
	opt := Options{
		Map: c.m.Load, Buffers: &c.buffers, Report: c.report, Reload: c.reload,
		Drive:      func(id ids.Drive) Drive { c.mu.Lock(); defer c.mu.Unlock(); return c.drives[id] },
		AckTimeout: testPatience, SuspectWait: testPatience, SlowAfter: testPatience, HedgeAfter: testPatience, FarWithin: 16 * testPatience, ViewTTL: -1, // always looked at anew
	}
	if change != nil {
		change(&opt)
	}
	c.store = New(opt)
	t.Cleanup(c.leaks)
	return c
}

func (c *cluster) reload(context.Context) {
	c.mu.Lock()
	later := c.later
	c.later = nil
	c.mu.Unlock()
	if later != nil {
		later()
	}
}

func (c *cluster) report(b BadShard) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bad = append(c.bad, b)
}

// reports gives what was reported since the last call, each "kind slot" once, in order.
func (c *cluster) reports() (all []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range c.bad {
		s := b.Kind.String() + " " + string('0'+rune(b.Slot))
		if b.Write {
			s += " on write"
		}
		all = append(all, s)
	}
	c.bad = nil
	slices.Sort(all)
	return slices.Compact(all)
}

// leaks checks that every buffer came back.
func (c *cluster) leaks() {
	for _, d := range c.mem {
		d.set(func() {
			if d.hung != nil {
				close(d.hung)
				d.hung = nil
			}
		})
	}
	c.store.Close()
	c.awaitBuffers()
}

// awaitBuffers waits until every buffer is back: calls that were given up may still be on their way.
func (c *cluster) awaitBuffers() {
	c.t.Helper()
	poll.Nil(c.t, poll.Within, "the last buffer's return", func() error {
		if n := c.buffers.Lent(); n > 0 {
			return fmt.Errorf("%d bytes of buffers are lent", n)
		}
		return nil
	})
}

// change makes a new map out of a copy of the present one.
func (c *cluster) change(fn func(m *placement.Map)) {
	old := c.m.Load()
	m := *old
	m.Revision++
	m.Drives, m.Pools = map[ids.Drive]*placement.Drive{}, map[ids.Pool]*placement.Pool{}
	for id, d := range old.Drives {
		d := *d
		m.Drives[id] = &d
	}
	for id, p := range old.Pools {
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

func (c *cluster) state(drive int, s placement.DriveState) {
	c.change(func(m *placement.Map) { m.Drives[c.ids[drive]].State = s })
}

// source is a body that checks Settle's contract: its bytes must not change before.
type source struct {
	r     io.Reader
	fail  error
	late  error // Settle's
	lent  [][]byte
	saved [][]byte
	t     testing.TB
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.lent, s.saved = append(s.lent, p[:n]), append(s.saved, bytes.Clone(p[:n]))
	if errors.Is(err, io.EOF) && s.fail != nil {
		err = s.fail
	}
	return n, err
}

func (s *source) Settle() error {
	for i := range s.lent {
		if !bytes.Equal(s.lent[i], s.saved[i]) {
			s.t.Error("bytes of the body changed before Settle")
		}
	}
	s.lent, s.saved = nil, nil
	return s.late
}

func (c *cluster) random(n int) []byte {
	b := make([]byte, n)
	c.rnd.Read(b)
	return b
}

func (c *cluster) target() Target {
	now := c.clock.Now()
	return Target{Pool: testPool, Bucket: 7, Object: "a/k", Upload: ids.NewUpload(now), Stamp: now}
}

func (c *cluster) put(name string, size int) (Written, error) {
	b := c.random(size)
	w, err := c.store.Write(context.Background(), c.target(), int64(size), &source{r: bytes.NewReader(b), t: c.t})
	if err == nil {
		c.mu.Lock()
		c.bodies[name] = body{b, w}
		c.mu.Unlock()
	}
	return w, err
}

func (c *cluster) mustPut(name string, size int) Written {
	c.t.Helper()
	w, err := c.put(name, size)
	if err != nil {
		c.t.Fatalf("put of %d bytes: %v", size, err)
	}
	return w
}

// get reads a range and compares what arrived with what was put. It returns the error, and whether all arrived.
func (c *cluster) get(name string, off, n int64) error {
	c.t.Helper()
	c.mu.Lock()
	o := c.bodies[name]
	c.mu.Unlock()
	var out bytes.Buffer
	out.Grow(int(n)) // growing by doubling costs more than the read, under the race detector
	sent, err := c.store.Read(context.Background(), o.w.Extent, off, n, &out)
	if errors.Is(err, ErrCorrupt) {
		return err // what went out before the checksum was known may be wrong: the caller ends the connection
	}
	if sent != int64(out.Len()) || !bytes.Equal(out.Bytes(), o.b[off:off+sent]) || err == nil && sent != n {
		c.t.Errorf("get %s [%d,+%d): %d bytes, said %d, wrong bytes or too few (%v)", name, off, n, out.Len(), sent, err)
	}
	return err
}

func (c *cluster) mustGet(name string) {
	c.t.Helper()
	if err := c.get(name, 0, int64(len(c.bodies[name].b))); err != nil {
		c.t.Errorf("get %s: %v", name, err)
	}
}

// on is the drive of blob's slot by the present map.
func (c *cluster) on(ref BlobRef, slot int) *memDrive {
	id := c.m.Load().Pools[ref.Pool].PGs[ref.PG].Slots[slot].Drive
	return c.mem[slices.Index(c.ids, id)]
}

func (c *cluster) lose(ref BlobRef, slot int) {
	d := c.on(ref, slot)
	d.set(func() { delete(d.chunks, ref.Chunk(slot)) })
}

func (c *cluster) corrupt(ref BlobRef, slot int) {
	d := c.on(ref, slot)
	d.set(func() { d.chunks[ref.Chunk(slot)].bad = true })
}

// spoil changes the bytes of a shard; every block of it still confirms its checksum.
func (c *cluster) spoil(ref BlobRef, slot int, change func([]byte)) {
	d := c.on(ref, slot)
	d.set(func() {
		spoilt := *d.chunks[ref.Chunk(slot)]
		spoilt.b = bytes.Clone(spoilt.b)
		change(spoilt.b)
		d.chunks[ref.Chunk(slot)] = &spoilt
	})
}

// chunks counts all that is stored.
func (c *cluster) chunks() (n int) {
	for _, d := range c.mem {
		d.set(func() { n += len(d.chunks) })
	}
	return n
}
