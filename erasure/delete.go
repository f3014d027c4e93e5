package erasure

import (
	"context"
	"errors"
	"fmt"

	"github.com/sherd-io/sherd/disk"
	"github.com/sherd-io/sherd/internal/ids"
)

// Delete deletes all slots of ref, as DeleteAll does.
func (s *Store) Delete(ctx context.Context, ref BlobRef) error {
	return s.DeleteAll(ctx, []BlobRef{ref})[0]
}

// DeleteAll deletes all slots of refs, one call for each drive. errs[i] is nil only if every drive that may hold a slot of
// refs[i], the owner before a move too, has it deleted on stable storage; where one of them knew a newer epoch, whoever the newer map
// names has, too (I5). Deleting again is harmless.
func (s *Store) DeleteAll(ctx context.Context, refs []BlobRef) (errs []error) {
	errs = make([]error, len(refs))
	all := make([]int, len(refs))
	for i := range refs {
		all[i] = i
	}
	for try := 1; len(all) > 0; try++ {
		stale := s.deleteSome(ctx, refs, all, errs)
		if all = all[:0]; try == epochTries || ctx.Err() != nil {
			break
		}
		for i, seen := range stale {
			if s.Renewed(ctx, refs[i].Pool, refs[i].PG, seen) {
				all = append(all, i)
			}
		}
	}
	return errs
}

// deleteSome deletes those of refs that some names, by the map at hand, and sets their errs. stale are those to which a drive answered
// under a newer epoch than the one given: errStale.
func (s *Store) deleteSome(ctx context.Context, refs []BlobRef, some []int, errs []error) (stale map[int]uint64) {
	jobs, epochs := map[ids.Drive]*deletion{}, map[int]uint64{}
	for _, i := range some {
		epochs[i], errs[i] = s.planDelete(jobs, i, refs[i])
	}
	done := make(chan *deletion, len(jobs))
	started := 0
	for id, job := range jobs {
		if job.drive = s.opt.Drive(id); job.drive == nil {
			job.blame(errs, fmt.Errorf("%w: %w", disk.ErrUnavailable, errAway))
			continue
		}
		started++
		job.drive.Delete(job.keys, func(err error) { job.err = err; done <- job })
	}
	stale = map[int]uint64{}
	for ; started > 0; started-- {
		select {
		case job := <-done:
			job.blame(errs, job.err)
			job.outdated(refs, epochs, stale)
		case <-ctx.Done():
			for _, i := range some {
				errs[i] = errors.Join(errs[i], ctx.Err())
			}
			return nil
		}
	}
	for i := range stale {
		errs[i] = errStale
	}
	return stale
}

// deletion is what one drive is to delete.
type deletion struct {
	drive Drive
	keys  []ids.Chunk
	of    []int // keys[i] belongs to refs[of[i]]
	err   error
}

func (d *deletion) blame(errs []error, err error) {
	if err == nil {
		return
	}
	for _, i := range d.of {
		if errs[i] == nil {
			errs[i] = err
		}
	}
}

// outdated adds to stale the refs of whose groups d's drive knows a newer epoch than the one they were deleted by.
func (d *deletion) outdated(refs []BlobRef, epochs, stale map[int]uint64) {
	for _, i := range d.of {
		if d.drive.Epoch(refs[i].Pool, refs[i].PG) > epochs[i] {
			stale[i] = epochs[i]
		}
	}
}

// planDelete adds ref's chunks to the jobs, and gives the epoch by which they were looked up.
func (s *Store) planDelete(jobs map[ids.Drive]*deletion, i int, ref BlobRef) (epoch uint64, err error) {
	pool, pg, err := group(s.opt.Map(), ref.Pool, ref.PG)
	if err != nil {
		return 0, err
	}
	lay := layout(pool, ref.Size)
	for slot, sl := range pg.Slots {
		if !lay.Stored(slot) {
			continue
		}
		for _, id := range []ids.Drive{sl.Drive, sl.From} {
			if id.IsZero() {
				continue
			}
			job := jobs[id]
			if job == nil {
				job = &deletion{}
				jobs[id] = job
			}
			job.keys, job.of = append(job.keys, ref.Chunk(slot)), append(job.of, i)
		}
	}
	return pg.Epoch, nil
}
