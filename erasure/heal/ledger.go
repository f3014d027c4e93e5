package heal

import (
	"context"
	"math/bits"
	"sync"
	"time"

	"github.com/sherd-io/sherd/erasure"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/placement"
)

// Ledger says how many of the blobs that rows refer to lack how many shards. A shard on a drive that counts as lost (down,
// suspect, out, failing) lacks; so does one that a reader found corrupt, and one that its owner does not hold: asked are the owners of slots that
// are being filled, of those with a repair row, and of those that a reader found missing.
type Ledger struct {
	At      time.Time     // when the count began
	Took    time.Duration // how long it took
	Blobs   int64
	Bytes   int64   // of the bodies
	Short   []int64 // Short[i]: blobs that lack i shards; Short[0] are at full strength
	Lost    int64   // blobs that lack more than m shards; as long as drives may come back, that need not be for ever
	Repairs int64   // repair rows
	Unknown int64   // blobs of pools that the map does not know, and rows that cannot be read

	Pools   map[ids.Pool]Tally   // what objects, and parts of unfinished uploads, have in each pool
	Convert map[ids.Bucket]Tally // objects with bodies in another pool than they should be in by now
	Leaving map[ids.Pool]Tally   // the same, by the pool that they are in
}

// Plus is the ledger of two processes' shares: counts add up, the time is of the older, the effort of the longer. It is exact where each
// range was in one share.
func (l Ledger) Plus(o Ledger) Ledger {
	sum := Ledger{
		At: l.At, Took: max(l.Took, o.Took), Blobs: l.Blobs + o.Blobs, Bytes: l.Bytes + o.Bytes, Lost: l.Lost + o.Lost,
		Repairs: l.Repairs + o.Repairs, Unknown: l.Unknown + o.Unknown, Short: make([]int64, max(len(l.Short), len(o.Short))),
	}
	if o.At.Before(l.At) {
		sum.At = o.At
	}
	sum.Pools, sum.Convert, sum.Leaving = map[ids.Pool]Tally{}, map[ids.Bucket]Tally{}, map[ids.Pool]Tally{}
	for _, part := range []Ledger{l, o} {
		addTallies(sum.Pools, part.Pools)
		addTallies(sum.Convert, part.Convert)
		addTallies(sum.Leaving, part.Leaving)
	}
	copy(sum.Short, l.Short)
	for i, n := range o.Short {
		sum.Short[i] += n
	}
	return sum
}

// Lacking is how many shards there are to make.
func (l Ledger) Lacking() (n int64) {
	for i, blobs := range l.Short {
		n += int64(i) * blobs
	}
	return n
}

// books keep the ledger.
type books struct {
	healed    meter // slots
	converted meter // bytes
	old       chan struct{}

	count sync.Mutex // one counts at a time
	mu    sync.Mutex
	led   Ledger
	err   error
}

func (b *books) init() { b.old = make(chan struct{}, 1) }

// stale asks for a new count, soon.
func (b *books) stale() {
	select {
	case b.old <- struct{}{}:
	default:
	}
}

func (b *books) last() Ledger {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.led
}

// A count walks all rows: at most one part in so many of the time goes to it, while blobs are healed, which a person may watch, and else.
const (
	ledgerShareHealing = 10
	ledgerShare        = 50
	ledgerBlob         = time.Millisecond // for each blob no longer pause than this
)

// ledgerLoop counts when something has changed.
func (h *Healer) ledgerLoop(ctx context.Context) error {
	for {
		begin, version := time.Now(), h.version()
		c, err := h.recount(ctx)
		if err != nil && ctx.Err() == nil {
			h.log.Debug("ledger", "err", err) // tried again
		}
		share := time.Duration(ledgerShare)
		if c.led.Lacking() > 0 {
			share = ledgerShareHealing
		}
		pause := min(share*time.Since(begin), time.Duration(c.led.Blobs)*ledgerBlob) // a range may have been waited for
		rest := time.NewTimer(max(pause, time.Second))
		select {
		case <-rest.C:
		case <-ctx.Done():
			rest.Stop()
			return ctx.Err()
		}
		if err := h.awaitStale(ctx, version, err != nil || c.unsure); err != nil {
			return err
		}
	}
}

// version is Options.Version, and what was reported of shards.
func (h *Healer) version() uint64 {
	if h.opt.Version == nil {
		return uint64(time.Now().UnixNano())
	}
	return h.opt.Version() + uint64(len(h.reports.all()))
}

// awaitStale waits until a count that was begun at version is to be made anew, whatever version is now where it is open: it failed, or could
// not ask for all. Errors: ctx's.
func (h *Healer) awaitStale(ctx context.Context, version uint64, open bool) error {
	due := time.NewTicker(h.opt.LedgerEvery)
	defer due.Stop()
	for {
		select {
		case <-h.books.old:
			return nil
		case <-due.C:
			if open || h.version() != version {
				return nil
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Count makes the ledger of this process's ranges anew from the rows, the map and the drives. It is exact if nothing changes meanwhile.
func (h *Healer) Count(ctx context.Context) (Ledger, error) {
	c, err := h.recount(ctx)
	return c.led, err
}

func (h *Healer) recount(ctx context.Context) (*count, error) {
	h.books.count.Lock()
	defer h.books.count.Unlock()
	begin := time.Now()
	c := &count{h: h, m: h.opt.Map(), doubt: map[erasure.BlobRef]uint64{}, corrupt: map[erasure.BlobRef]uint64{}, groups: map[groupKey]groupState{}, inPool: map[ids.Pool]*taking{}}
	c.to = newAssignment(c.m)
	c.led.At, c.led.Short = begin, make([]int64, 1)
	c.led.Pools, c.led.Convert, c.led.Leaving = map[ids.Pool]Tally{}, map[ids.Bucket]Tally{}, map[ids.Pool]Tally{}
	err := c.run(ctx)
	c.led.Took = time.Since(begin)
	h.books.mu.Lock()
	defer h.books.mu.Unlock()
	h.books.err = err
	if err == nil {
		h.books.led = c.led
		if len(c.led.Convert) > 0 {
			h.convert.kick()
		}
	}
	return c, err
}

// count is one Count, by one snapshot of the map.
type count struct {
	h       *Healer
	m       *placement.Map
	led     Ledger
	unsure  bool                       // a shard counts as lacking because an up drive could not be asked from here: that may pass unseen
	doubt   map[erasure.BlobRef]uint64 // slots with a row, or reported missing, on drives that do not count as lost: the owner is asked
	corrupt map[erasure.BlobRef]uint64 // slots that were reported corrupt, on such drives
	groups  map[groupKey]groupState

	to     *assignment
	inPool map[ids.Pool]*taking // the object that was last met in each pool
	moving taking               // and of those to convert
}

type groupKey struct {
	pool ids.Pool
	pg   ids.PG
}

// groupState is what all blobs of a group share, as bits by slot.
type groupState struct {
	pool    *placement.Pool // nil: unknown
	lost    uint64
	filling uint64 // incomplete, and not lost: the owner is asked for each blob
}

func (c *count) run(ctx context.Context) error {
	ranges := c.h.ranges()
	for _, r := range ranges {
		if err := c.rows(ctx, r); err != nil {
			return err
		}
	}
	for key, kind := range c.h.reports.all() {
		switch kind {
		case erasure.Missing:
			c.note(c.doubt, key.ref, key.slot)
		case erasure.Corrupt:
			c.note(c.corrupt, key.ref, key.slot)
		}
	}
	for _, r := range ranges {
		if err := c.walk(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

func (c *count) group(pool ids.Pool, pg ids.PG) groupState {
	key := groupKey{pool, pg}
	g, ok := c.groups[key]
	if ok {
		return g
	}
	if p := c.m.Pools[pool]; p != nil && int(pg) < len(p.PGs) {
		g = groupState{pool: p, lost: lostSlots(c.m, pool, pg, c.h.opt.Drive)}
		for slot, sl := range p.PGs[pg].Slots {
			if !sl.Complete {
				g.filling |= 1 << slot
			}
			if d := c.m.Drives[sl.Drive]; g.lost>>slot&1 != 0 && d != nil && d.State == placement.DriveUp {
				c.unsure = true
			}
		}
		g.filling &^= g.lost
	}
	c.groups[key] = g
	return g
}

func (c *count) note(in map[erasure.BlobRef]uint64, ref erasure.BlobRef, slot uint8) {
	if g := c.group(ref.Pool, ref.PG); g.lost>>slot&1 == 0 {
		in[ref] |= 1 << slot
	}
}

func (c *count) rows(ctx context.Context, r *placement.Range) error {
	for after := []byte(nil); ; {
		rows, next, err := c.h.opt.Records.Repairs(ctx, r, after, c.h.opt.Page)
		if err != nil {
			return err
		}
		c.led.Repairs += int64(len(rows))
		for _, row := range rows {
			c.note(c.doubt, row.Ref, row.Slot)
		}
		if next == nil {
			return nil
		}
		after = next
	}
}

func (c *count) walk(ctx context.Context, r *placement.Range) error {
	for after := []byte(nil); ; {
		items, next, err := c.h.opt.Records.Walk(ctx, r, after, c.h.opt.Page)
		if err != nil {
			return err
		}
		for _, item := range items {
			if item.Bad != nil {
				c.led.Unknown++
			}
			c.place(&item)
			for i := range item.Extent.PGs {
				if err := c.blob(ctx, item.Extent.Blob(i)); err != nil {
					return err
				}
			}
		}
		if next == nil {
			return nil
		}
		after = next
	}
}

// place counts where a body is, and whether it should be there.
func (c *count) place(item *Item) {
	if len(item.Extent.PGs) == 0 {
		return
	}
	in := item.Extent.Pool
	if c.inPool[in] == nil {
		c.inPool[in] = new(taking)
	}
	held := tally(c.inPool[in], item)
	c.led.Pools[in] = c.led.Pools[in].plus(held)
	if c.to.pool(item) != nil {
		c.led.Convert[item.Bucket] = c.led.Convert[item.Bucket].plus(tally(&c.moving, item))
		c.led.Leaving[in] = c.led.Leaving[in].plus(held)
	}
}

// tally counts a body, and its object if it is the first of it.
func tally(t *taking, item *Item) Tally {
	n := Tally{Bytes: item.Extent.Size}
	if t.first(item) {
		n.Objects = 1
	}
	return n
}

func (c *count) blob(ctx context.Context, ref erasure.BlobRef) error {
	c.led.Blobs++
	c.led.Bytes += ref.Size
	g := c.group(ref.Pool, ref.PG)
	if g.pool == nil {
		c.led.Unknown++
		return nil
	}
	stored := storedSlots(g.pool, ref.Size)
	lacks := (g.lost | c.corrupt[ref]) & stored
	for _, slot := range slotList((g.filling | c.doubt[ref]) & stored &^ lacks) {
		has, err := c.h.has(ctx, ref.Chunk(int(slot)))
		if err := ctx.Err(); err != nil {
			return err
		}
		c.unsure = c.unsure || err != nil
		if err != nil || !has {
			lacks |= 1 << slot
		}
	}
	n := bits.OnesCount64(lacks)
	for len(c.led.Short) <= n {
		c.led.Short = append(c.led.Short, 0)
	}
	c.led.Short[n]++
	if n > g.pool.M {
		c.led.Lost++
	}
	return nil
}
