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
// refs[i], the owner before a move too (I5), has it deleted on stable storage. Deleting again is harmless.
func (s *Store) DeleteAll(ctx context.Context, refs []BlobRef) (errs []error) {
	errs = make([]error, len(refs))
	jobs := map[ids.Drive]*deletion{}
	for i, ref := range refs {
		if err := s.planDelete(jobs, i, ref); err != nil {
			errs[i] = err
		}
	}
	done := make(chan *deletion, len(jobs))
	started := 0
	for id, job := range jobs {
		drive := s.opt.Drive(id)
		if drive == nil {
			job.blame(errs, fmt.Errorf("%w: %w", disk.ErrUnavailable, errAway))
			continue
		}
		started++
		drive.Delete(job.keys, func(err error) { job.err = err; done <- job })
	}
	for ; started > 0; started-- {
		select {
		case job := <-done:
			job.blame(errs, job.err)
		case <-ctx.Done():
			for i := range errs {
				errs[i] = errors.Join(errs[i], ctx.Err())
			}
			return errs
		}
	}
	return errs
}

// deletion is what one drive is to delete.
type deletion struct {
	keys []ids.Chunk
	of   []int // keys[i] belongs to refs[of[i]]
	err  error
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

func (s *Store) planDelete(jobs map[ids.Drive]*deletion, i int, ref BlobRef) error {
	pool, pg, err := group(s.opt.Map(), ref.Pool, ref.PG)
	if err != nil {
		return err
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
	return nil
}
