package erasure

import (
	"context"
	"fmt"
	"slices"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/placement"
)

// Write stores exactly size bytes of src as blobs 0, 1, … and says where. Nothing refers to them yet.
//
// It returns after src.Settle: nothing reads or writes src's bytes any more. On an error what was stored is deleted
// as far as the drives answer; the rest is garbage that the scrubber finds.
//
// Errors: ErrNoQuorum, ErrFull, ErrNoPool; src's own error unchanged; io.ErrUnexpectedEOF if the body is shorter;
// ctx's.
func (s *Store) Write(ctx context.Context, t Target, size int64, src Source) (Written, error) {
	s.traffic.enter()
	defer s.traffic.leave()
	return s.write(ctx, t, size, src)
}

// write is Write for whoever is no request.
func (s *Store) write(ctx context.Context, t Target, size int64, src Source) (Written, error) {
	w := writing{
		s: s, t: &t, f: feed{src: src},
		out: Written{Extent: Extent{Pool: t.Pool, Upload: t.Upload, Size: size, BlobBytes: s.opt.BlobBytes}},
	}
	err := w.run(ctx)
	if settled := w.f.finish(); err == nil {
		err = settled
	}
	if err != nil {
		w.discard()
		return Written{}, err
	}
	return w.out, nil
}

// writing is one Write.
type writing struct {
	s    *Store
	t    *Target
	f    feed
	out  Written
	last *stream          // the blob before the present one, which may still be sealing
	done []int            // blobs that are stored
	maps []*placement.Map // by which each blob was placed
}

func (w *writing) run(ctx context.Context) error {
	if w.out.Size < 0 {
		return fmt.Errorf("erasure: a body of %d bytes", w.out.Size)
	}
	blobs := int((w.out.Size + w.out.BlobBytes - 1) / w.out.BlobBytes)
	for i := range blobs {
		if err := w.blob(ctx, i); err != nil {
			return err
		}
	}
	if err := w.seal(ctx); err != nil {
		return err
	}
	w.catchUp(ctx)
	return nil
}

// catchUp makes the slots whose drives were away when their blob was written, and have come back since: a drive that is
// up may not be one that a slot misses (I2). What fails stays missed.
func (w *writing) catchUp(ctx context.Context) {
	v := w.s.current()
	w.out.Missed = slices.DeleteFunc(w.out.Missed, func(m Missed) bool {
		ref := w.out.Blob(int(m.Blob))
		owner := v.m.Pools[ref.Pool].PGs[ref.PG].Slots[m.Slot].Drive
		if v.gradeOf(owner) != gradeUp || !returned(w.maps[m.Blob].Drives[owner], v.m.Drives[owner]) {
			return false
		}
		return w.s.Rebuild(ctx, ref, []uint8{m.Slot}) == nil
	})
}

// returned reports whether a drive was away at some time since then: before that it was not up, or it is in its state
// for a shorter time. One that is up as before has just failed this write, and is not asked again.
func returned(then, now *placement.Drive) bool { return !then.Up() || !now.Since.Equal(then.Since) }

// blob stores blob i, or as much of it as can go on beside the next.
func (w *writing) blob(ctx context.Context, i int) error {
	v := w.s.current()
	pg, err := v.pick(w.t.Pool, ids.Blob{Upload: w.t.Upload, Index: uint32(i)})
	if err != nil {
		return err
	}
	w.out.PGs, w.maps = append(w.out.PGs, pg), append(w.maps, v.m)
	ref := w.out.Blob(i)
	if layout(v.m.Pools[ref.Pool], ref.Size).MaxShardBytes() <= w.s.opt.wholeMax {
		if err := w.seal(ctx); err != nil {
			return err
		}
		missed, err := w.s.writeWhole(ctx, w.t, ref, v, &w.f)
		w.stored(i, missed, err)
		return err
	}
	st, err := w.s.startStream(ctx, w.t, ref, v)
	if err != nil {
		return err
	}
	if err := st.pump(ctx, &w.f); err != nil {
		st.abort()
		return err
	}
	err = w.seal(ctx)
	w.last = st
	return err
}

// seal waits for the blob before the present one.
func (w *writing) seal(ctx context.Context) error {
	st := w.last
	if st == nil {
		return nil
	}
	w.last = nil
	missed, err := st.finish(ctx)
	w.stored(int(st.ref.Blob.Index), missed, err)
	return err
}

func (w *writing) stored(blob int, slots []uint8, err error) {
	if err != nil {
		return
	}
	w.done = append(w.done, blob)
	for _, slot := range slots {
		w.out.Missed = append(w.out.Missed, Missed{Blob: uint32(blob), Slot: slot})
	}
}

// discard deletes the blobs of a body that failed, without waiting for it.
func (w *writing) discard() {
	if w.last != nil {
		w.last.abandon()
	}
	v := w.s.current()
	for _, i := range w.done {
		a, err := w.s.newAttempt(v, w.out.Blob(i))
		if err != nil {
			continue
		}
		for slot := range a.slots {
			if a.asked(slot) {
				a.slots[slot].drive.Delete([]ids.Chunk{a.ref.Chunk(slot)}, func(error) {})
			}
		}
	}
}
