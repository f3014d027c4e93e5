package heal

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/sherd-io/sherd/disk"
	"github.com/sherd-io/sherd/erasure"
	"github.com/sherd-io/sherd/erasure/codec"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/placement"
)

// Rebuild makes one pass over the groups with slots that this process's drives are to fill, the most exposed first, and reports the
// slots complete that hold everything then.
//
// Errors: ctx's; else the first of those that left a slot incomplete, which the next pass tries again.
func (h *Healer) Rebuild(ctx context.Context) (first error) {
	for _, g := range h.incomplete(h.opt.Map()) {
		if err := h.rebuildGroup(ctx, g); err != nil && first == nil {
			first = fmt.Errorf("rebuild pool %d group %d: %w", g.pool.ID, g.id, err)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return first
}

// groupJob is a placement group with slots to fill.
type groupJob struct {
	pool  *placement.Pool
	id    ids.PG
	pg    *placement.PG
	short int // slots that are lost or incomplete
}

func (h *Healer) incomplete(m *placement.Map) (jobs []groupJob) {
	for _, p := range m.Pools {
		for i, pg := range p.PGs {
			lacks, todo := lostSlots(m, p.ID, ids.PG(i), h.opt.Drive), false
			for slot, sl := range pg.Slots {
				if !sl.Complete {
					lacks |= 1 << slot
					todo = todo || h.fills(sl)
				}
			}
			if todo {
				jobs = append(jobs, groupJob{p, ids.PG(i), pg, bits.OnesCount64(lacks)})
			}
		}
	}
	slices.SortStableFunc(jobs, func(a, b groupJob) int {
		return cmp.Or(cmp.Compare(b.short, a.short), cmp.Compare(a.pool.ID, b.pool.ID), cmp.Compare(a.id, b.id))
	})
	return jobs
}

// fills reports a slot that this process is to fill, and can.
func (h *Healer) fills(sl placement.Slot) bool {
	return !sl.Complete && h.opt.Mine(sl.Drive) && h.writable(sl.Drive) != nil
}

// filling is one pass over one group.
type filling struct {
	h *Healer
	groupJob
	targets uint64 // slots to fill, as bits
	sure    bool   // the list is complete (I5)

	mu     sync.Mutex
	failed uint64 // slots for which some blob could not be made
	err    error  // the first
}

func (h *Healer) rebuildGroup(ctx context.Context, g groupJob) error {
	f := &filling{h: h, groupJob: g}
	for slot, sl := range g.pg.Slots {
		if h.fills(sl) {
			f.targets |= 1 << slot
		}
	}
	lists := f.fence(ctx)
	work := new(errgroup.Group)
	work.SetLimit(h.opt.Workers)
	err := f.merge(ctx, lists, func(b listed) {
		if lacks := f.targets & storedSlots(f.pool, b.size) &^ b.has; lacks != 0 {
			work.Go(func() error { f.fill(ctx, b, lacks); return nil })
		}
	})
	work.Wait()
	if err != nil || ctx.Err() != nil {
		return errors.Join(err, ctx.Err())
	}
	if !f.sure {
		return errNotFenced
	}
	return f.complete(ctx)
}

var errNotFenced = errors.New("too few owners answer to know all blobs of the group")

// fence has every owner that answers persist the group's epoch, so that no write under an older one is acknowledged from
// now on, and gives the owners, and the owners before, whose chunks are to be listed (I5).
//
// The list is complete if every owner is on it: those of slots that are to be filled too, for a blob written since may be theirs
// only. Or if more of the slots that every blob has a chunk of, the first and the parity ones, are on it with all they ever
// held than a write may miss.
func (f *filling) fence(ctx context.Context) (lists []*listing) {
	all, sure := true, 0
	for slot, sl := range f.pg.Slots {
		fenced := f.raise(ctx, sl.Drive, slot, &lists)
		all = all && fenced
		if !sl.Complete {
			if sl.From.IsZero() || f.gone(sl.From) {
				continue
			}
			before := f.raise(ctx, sl.From, slot, &lists)
			fenced, all = fenced && before, all && before
		}
		if fenced && (slot == 0 || slot >= f.pool.K) {
			sure++
		}
	}
	f.sure = all || sure > f.h.opt.Store.MayMiss(f.pool)
	return lists
}

// gone reports a drive that the cluster has given up.
func (f *filling) gone(id ids.Drive) bool {
	d := f.h.opt.Map().Drives[id]
	return d == nil || d.State == placement.DriveOut
}

func (f *filling) raise(ctx context.Context, id ids.Drive, slot int, lists *[]*listing) bool {
	d := f.h.usable(id)
	if d == nil || d.RaiseEpoch(ctx, f.pool.ID, f.id, f.pg.Epoch) != nil {
		return false
	}
	l := f.h.list(d, f.pool.ID, f.id)
	l.slot, l.owner = uint8(slot), f.pg.Slots[slot].Drive == id
	*lists = append(*lists, l)
	return true
}

// listing reads the chunks of one group on one drive, in order.
type listing struct {
	drive Drive
	slot  uint8
	owner bool // the slot's present owner: what it has need not be made
	page  []disk.ChunkInfo
	end   bool
	after ids.Chunk
	most  int // chunks of a page
}

func (h *Healer) list(d Drive, pool ids.Pool, pg ids.PG) *listing {
	return &listing{drive: d, after: ids.Chunk{Pool: pool, PG: pg}, most: h.opt.Page}
}

// listed is one blob of a group.
type listed struct {
	id   ids.Blob
	size int64
	home Home
	has  uint64 // slots whose present owners have a chunk of it
}

// merge gives every blob that some listed drive has a chunk of, in order.
func (f *filling) merge(ctx context.Context, lists []*listing, fn func(listed)) error {
	for {
		if err := f.h.healing.pass(ctx); err != nil {
			return err
		}
		var least *disk.ChunkInfo
		for _, l := range lists {
			if err := l.fetch(ctx); err != nil {
				return err
			}
			if len(l.page) > 0 && (least == nil || compareBlobs(l.page[0].Key.Blob, least.Key.Blob) < 0) {
				least = &l.page[0]
			}
		}
		if least == nil {
			return nil
		}
		b := listed{id: least.Key.Blob, size: int64(least.BlobBytes), home: Home{least.Bucket, least.Object}}
		for _, l := range lists {
			for len(l.page) > 0 && l.page[0].Key.Blob == b.id {
				if l.owner && l.page[0].Key.Slot == l.slot {
					b.has |= 1 << l.slot
				}
				l.page = l.page[1:]
			}
		}
		fn(b)
	}
}

// fetch asks for the next page if there is none.
func (l *listing) fetch(ctx context.Context) (err error) {
	if len(l.page) > 0 || l.end {
		return nil
	}
	if l.page, err = l.drive.Chunks(ctx, l.after.Pool, l.after.PG, l.after, l.most); err != nil {
		return err
	}
	if len(l.page) == 0 {
		l.end = true
		return nil
	}
	l.after = l.page[len(l.page)-1].Key
	return nil
}

func compareBlobs(a, b ids.Blob) int {
	return cmp.Or(bytes.Compare(a.Upload[:], b.Upload[:]), cmp.Compare(a.Index, b.Index))
}

// fill makes the slots of one blob. A blob that nothing refers to may be beyond making; that is no failure.
func (f *filling) fill(ctx context.Context, b listed, lacks uint64) {
	job := &blobJob{home: b.home, ref: erasure.BlobRef{Pool: f.pool.ID, PG: f.id, Blob: b.id, Size: b.size}, slots: slotList(lacks)}
	err := f.h.heal(ctx, job)
	if err == nil || f.dead(ctx, b) {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failed |= lacks
	if f.err == nil {
		f.err = err
	}
}

func (f *filling) dead(ctx context.Context, b listed) bool {
	ref, err := f.h.opt.Records.Referenced(ctx, b.home, b.id.Upload)
	return err == nil && (ref == Absent || ref == Reclaiming)
}

// complete reports the slots that hold everything now.
func (f *filling) complete(ctx context.Context) error {
	for _, slot := range slotList(f.targets &^ f.failed) {
		sl := f.pg.Slots[slot]
		if err := f.h.opt.Planner.SlotComplete(ctx, f.pool.ID, f.id, slot, sl.Drive, sl.Since); err != nil {
			return err
		}
		f.h.books.stale()
		f.h.swept.kick()
	}
	return f.err
}

func slotList(bits uint64) (slots []uint8) {
	for slot := uint8(0); bits != 0; slot, bits = slot+1, bits>>1 {
		if bits&1 == 1 {
			slots = append(slots, slot)
		}
	}
	return slots
}

// storedSlots are the slots that have a chunk of a blob of size bytes.
func storedSlots(p *placement.Pool, size int64) (stored uint64) {
	l := codec.NewLayout(size, p.K, p.M, p.UnitBytes)
	for slot := range l.N() {
		if l.Stored(slot) {
			stored |= 1 << slot
		}
	}
	return stored
}
