package heal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/bits"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sherd-io/sherd/disk"
	"github.com/sherd-io/sherd/erasure"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/placement"
)

// Repair makes one pass over what was reported and over the repair rows of this process's ranges, healing what can be healed now. The
// leader then lets suspect drives that no row of any range names count as up again.
//
// Errors: ctx's; else the first of those that left something undone, which the next pass tries again.
func (h *Healer) Repair(ctx context.Context) error {
	p := &repairPass{h: h, missed: map[ids.Drive]bool{}}
	p.reported(ctx)
	for _, r := range h.ranges() {
		if err := p.drain(ctx, r); err != nil {
			p.fail(fmt.Errorf("repair rows of range %d: %w", r.ID, err))
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	p.distrust(ctx)
	if h.opt.Lead() {
		if err := h.drained(ctx); err != nil {
			p.fail(err)
		}
	}
	return p.err
}

// repairPass is one Repair.
type repairPass struct {
	h *Healer

	mu     sync.Mutex
	err    error              // the first
	missed map[ids.Drive]bool // up by the map, named by rows that cannot be healed now
}

// distrust has the map say of the drives that were missed what those who missed them may not have lived to say (I2): the rows are
// committed with the objects, and are still there.
func (p *repairPass) distrust(ctx context.Context) {
	for id := range p.missed {
		if err := p.h.opt.Planner.Missed(ctx, id); err != nil {
			p.fail(fmt.Errorf("drive %s: %w", id, err))
		}
	}
}

// miss notes that a row of a drive has to wait.
func (p *repairPass) miss(id ids.Drive) {
	if d := p.h.opt.Map().Drives[id]; d == nil || d.State != placement.DriveUp {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.missed[id] = true
}

func (p *repairPass) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil {
		p.err = err
	}
}

// blobJob is what one blob lacks.
type blobJob struct {
	home  Home
	ref   erasure.BlobRef
	slots []uint8
	rows  []Repair
	short int // how many shards it lacks in all, as far as one knows
}

// drain goes through the repair rows of one range, a page at a time, most exposed blobs of the page first.
func (p *repairPass) drain(ctx context.Context, r *placement.Range) error {
	for after := []byte(nil); ; {
		rows, next, err := p.h.opt.Records.Repairs(ctx, r, after, p.h.opt.Page)
		if err != nil {
			return err
		}
		done := p.page(ctx, rows)
		if len(done) > 0 {
			if err := p.h.opt.Records.AckRepair(ctx, done); err != nil {
				return err
			}
			p.h.books.stale()
		}
		if err := ctx.Err(); err != nil || next == nil {
			return err
		}
		after = next
	}
}

// page heals what rows name and gives the rows that are done with.
func (p *repairPass) page(ctx context.Context, rows []Repair) (done []Repair) {
	var mu sync.Mutex
	g := new(errgroup.Group)
	g.SetLimit(p.h.opt.Workers)
	for _, job := range p.jobs(rows) {
		g.Go(func() error {
			ok := p.row(ctx, job)
			mu.Lock()
			done = append(done, ok...)
			mu.Unlock()
			return nil
		})
	}
	g.Wait()
	return done
}

// jobs joins the rows of one blob, and puts the most exposed first.
func (p *repairPass) jobs(rows []Repair) []*blobJob {
	m, byBlob, jobs := p.h.opt.Map(), map[erasure.BlobRef]*blobJob{}, []*blobJob{}
	for _, row := range rows {
		job := byBlob[row.Ref]
		if job == nil {
			job = &blobJob{home: row.Home, ref: row.Ref}
			byBlob[row.Ref] = job
			jobs = append(jobs, job)
		}
		job.rows = append(job.rows, row)
	}
	for _, job := range jobs {
		lacks := lostSlots(m, job.ref.Pool, job.ref.PG, p.h.opt.Drive)
		for _, row := range job.rows {
			lacks |= 1 << row.Slot
		}
		job.short = bits.OnesCount64(lacks)
	}
	slices.SortStableFunc(jobs, func(a, b *blobJob) int { return cmp.Compare(b.short, a.short) })
	return jobs
}

// row heals one blob and gives those of its rows that are done with.
func (p *repairPass) row(ctx context.Context, job *blobJob) (done []Repair) {
	h := p.h
	var rows []Repair
	for _, row := range job.rows {
		id, ok := owner(h.opt.Map(), row.Ref, row.Slot)
		switch {
		case !ok:
		case h.writable(id) == nil:
			p.miss(id)
		default:
			rows, job.slots = append(rows, row), append(job.slots, row.Slot)
		}
	}
	if len(rows) == 0 || h.healing.pass(ctx) != nil {
		return nil
	}
	ref, err := h.opt.Records.Referenced(ctx, job.home, job.ref.Blob.Upload)
	switch {
	case err != nil || ref == Unknown:
		p.fail(fmt.Errorf("home of %v: %w", job.ref.Blob, errors.Join(err, errUnknown)))
	case ref != Live: // dead since: nothing to heal
		return rows
	default:
		stored := h.stored(ctx, job)
		if err = h.heal(ctx, job); err == nil && stored {
			err = h.sound(ctx, job)
		}
		if err == nil {
			return rows
		}
		p.fail(err)
	}
	return nil
}

// stored reports whether an owner has a chunk already that job is to make, or does not say.
func (h *Healer) stored(ctx context.Context, job *blobJob) bool {
	return slices.ContainsFunc(job.slots, func(slot uint8) bool {
		has, err := h.has(ctx, job.ref.Chunk(int(slot)))
		return has || err != nil
	})
}

// sound verifies the blob of a job some of whose chunks were there before it. Rebuild leaves alone what its block sums confirm, and a row
// may be of a chunk that scrub found to spoil the blob all the same, and could not replace (I22).
func (h *Healer) sound(ctx context.Context, job *blobJob) error {
	wrong, err := h.check(ctx, job.ref)
	if err == nil && slices.ContainsFunc(wrong, func(slot uint8) bool { return slices.Contains(job.slots, slot) }) {
		err = errUnsound
	}
	return err
}

var errUnsound = errors.New("a chunk that was healed is missing or damaged again")

var errUnknown = errors.New("no answer that can be acted upon")

// heal rebuilds the slots of one blob at the set pace, and counts. A blob that is lost, and whose home is known, is alarmed about: that it
// will be tried again is no comfort.
func (h *Healer) heal(ctx context.Context, job *blobJob) error {
	err := h.mender.Rebuild(ctx, job.ref, job.slots)
	h.healedOne(job, err)
	if errors.Is(err, erasure.ErrLost) && job.home != (Home{}) {
		h.lost(ctx, job.home, job.ref, err)
	}
	return err
}

func (h *Healer) healedOne(job *blobJob, err error) {
	switch {
	case err == nil:
		h.reports.healed(job.ref, job.slots)
		h.counts.healed.Add(int64(len(job.slots)))
		h.counts.healedBytes.Add(job.ref.Size)
		h.books.healed.add(int64(len(job.slots)))
	case errors.Is(err, context.Canceled):
	default:
		h.counts.healFailed.Add(int64(len(job.slots)))
		h.log.Warn("cannot heal", "blob", job.ref.Blob, "bucket", job.home.Bucket, "key", job.home.Key, "slots", job.slots, "err", err)
	}
}

// drained lets suspect drives count as up again that answer, and that no row of any range names (I2). They must have been suspect for a
// while, so that the rows of writes that were under way when they turned suspect are there.
func (h *Healer) drained(ctx context.Context) error {
	m := h.opt.Map()
	suspects := h.watchSuspects(m)
	maps.DeleteFunc(suspects, func(id ids.Drive, _ time.Time) bool {
		drive := h.opt.Drive(id)
		return drive == nil || drive.Health().State != disk.OK
	})
	for _, r := range m.Ranges {
		if err := h.clear(ctx, r, suspects); err != nil {
			return fmt.Errorf("repair rows of range %d: %w", r.ID, err)
		}
	}
	for id, since := range suspects {
		if err := h.opt.Planner.Drained(ctx, id, since); err != nil {
			return err
		}
	}
	return nil
}

// sighting is since when a drive is suspect: by the clock of whoever said so, which may be wrong, and as this process saw it (I18).
type sighting struct{ since, seen time.Time }

// watchSuspects notes which drives are suspect, and gives those that were seen so for long enough, with since when by the map.
func (h *Healer) watchSuspects(m *placement.Map) map[ids.Drive]time.Time {
	h.suspectMu.Lock()
	defer h.suspectMu.Unlock()
	ripe, now := map[ids.Drive]time.Time{}, time.Now()
	seen := h.suspects
	h.suspects = map[ids.Drive]sighting{}
	for id, d := range m.Drives {
		if d.State != placement.DriveSuspect {
			continue
		}
		s, known := seen[id]
		if !known || !s.since.Equal(d.Since) {
			s = sighting{d.Since, now}
		}
		h.suspects[id] = s
		if now.Sub(s.seen) >= h.opt.DrainedAfter {
			ripe[id] = d.Since
		}
	}
	return ripe
}

// clear takes those out of suspects that rows of r name.
func (h *Healer) clear(ctx context.Context, r *placement.Range, suspects map[ids.Drive]time.Time) error {
	for after := []byte(nil); len(suspects) > 0; {
		rows, next, err := h.opt.Records.Repairs(ctx, r, after, h.opt.Page)
		if err != nil {
			return err
		}
		for _, row := range rows {
			id, _ := owner(h.opt.Map(), row.Ref, row.Slot)
			delete(suspects, id)
		}
		if next == nil {
			return nil
		}
		after = next
	}
	return nil
}

// owner is who holds a slot by m.
func owner(m *placement.Map, ref erasure.BlobRef, slot uint8) (ids.Drive, bool) {
	p := m.Pools[ref.Pool]
	if p == nil || int(ref.PG) >= len(p.PGs) || int(slot) >= len(p.PGs[ref.PG].Slots) {
		return ids.Drive{}, false
	}
	return p.PGs[ref.PG].Slots[slot].Drive, true
}

// lostSlots are the slots of a group, as bits, whose drives count as lost: in the map, or because they do not take chunks.
func lostSlots(m *placement.Map, pool ids.Pool, pg ids.PG, drive func(ids.Drive) Drive) (lost uint64) {
	p := m.Pools[pool]
	if p == nil || int(pg) >= len(p.PGs) {
		return 0
	}
	for i, sl := range p.PGs[pg].Slots {
		d := m.Drives[sl.Drive]
		if d == nil || d.State != placement.DriveUp {
			lost |= 1 << i
		} else if dr := drive(sl.Drive); dr == nil || dr.Health().State != disk.OK {
			lost |= 1 << i
		}
	}
	return lost
}
