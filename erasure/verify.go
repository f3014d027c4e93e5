package erasure

import (
	"bytes"
	"context"
	"errors"
)

// BlobState is what VerifyBlob found: Bad[i] says what is wrong with slot i, 0 if nothing is.
type BlobState struct {
	Bad  []Kind
	Errs []error
	// Sum: the blob has its checksum, once the bad shards are made anew from the others.
	Sum bool
}

// Clean reports that nothing is wrong.
func (b BlobState) Clean() bool {
	for _, k := range b.Bad {
		if k != 0 {
			return false
		}
	}
	return b.Sum
}

// Slots lists the slots of a kind.
func (b BlobState) Slots(kinds ...Kind) (slots []uint8) {
	for i, k := range b.Bad {
		for _, want := range kinds {
			if k == want {
				slots = append(slots, uint8(i))
			}
		}
	}
	return slots
}

// VerifyBlob reads every shard of ref, and checks blocks, parity against data, and the blob's checksum (I22). It changes
// nothing and reports nothing; what it finds is the answer.
//
// Errors: ErrUnavailable, ErrLost if fewer than k shards can be read; ErrNoPool; ctx's.
func (s *Store) VerifyBlob(ctx context.Context, ref BlobRef) (BlobState, error) {
	return s.verify(ctx, ref, unhurried)
}

func (s *Store) verify(ctx context.Context, ref BlobRef, pace Pace) (st BlobState, err error) {
	err = s.byNewest(ctx, ref, func(b *shards) (_ bool, err error) {
		b.pace = pace
		st, err = b.verify(ctx)
		return false, err
	})
	return st, err
}

func (b *shards) verify(ctx context.Context) (BlobState, error) {
	odd, none := make([]bool, len(b.slots)), make([]bool, len(b.slots))
	sum, err := b.each(ctx, none, nil, func(got *stripeRead) error { return b.checkRest(ctx, got, odd) })
	if err != nil {
		return b.state(false), err
	}
	if f, ok := b.footer(); ok && f.BlobSum == sum {
		b.blame(ctx, named(odd))
		return b.state(true), nil
	}
	if err = b.search(ctx, none); errors.Is(err, ErrCorrupt) {
		return b.state(false), nil
	}
	return b.state(err == nil), err
}

// named lists the slots that are true in set.
func named(set []bool) (slots []int) {
	for slot, in := range set {
		if in {
			slots = append(slots, slot)
		}
	}
	return slots
}

// checkRest reads the slots that were not needed for got's data, parity and others, compares them with what the data gives,
// and notes slots that differ as odd. Which of the two is wrong, only the blob's checksum can say.
func (b *shards) checkRest(ctx context.Context, got *stripeRead, odd []bool) error {
	all, stored := make([]bool, len(b.slots)), b.fresh(got.i)
	defer stored.release()
	cols, slots := make([]columns, len(b.slots)), []int{}
	for slot := range b.slots {
		all[slot], cols[slot] = true, b.whole(got.i)
		if b.lay.Stored(slot) && b.slots[slot].err == nil && got.have[slot].empty() {
			slots = append(slots, slot)
		}
	}
	if err := got.decode(all); err != nil {
		return err
	}
	stored.fetch(ctx, slots, cols)
	for _, slot := range slots {
		if buf := stored.bufs[slot]; buf != nil && !bytes.Equal(buf.B, got.bufs[slot].B) {
			odd[slot] = true
		}
	}
	return ctx.Err()
}

func (b *shards) state(sum bool) BlobState {
	st := BlobState{Bad: make([]Kind, len(b.slots)), Errs: make([]error, len(b.slots)), Sum: sum}
	for i := range b.slots {
		if err := b.slots[i].err; err != nil {
			st.Bad[i], st.Errs[i] = kindOf(err), err
		}
	}
	return st
}
