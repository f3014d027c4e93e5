package erasure

import (
	"context"
	"time"

	"github.com/zeebo/xxh3"
)

// whole are the columns of all of stripe i.
func (b *shards) whole(i int) columns { return columns{0, b.lay.UnitLen(i)} }

// each reads the blob stripe by stripe from k slots that avoid does not name, gives every stripe to fn with all its data
// units and those that wanted names, and returns the checksum of the data. fn may be nil.
func (b *shards) each(ctx context.Context, avoid, wanted []bool, fn func(*stripeRead) error) (sum [16]byte, err error) {
	h := xxh3.New()
	for i := range b.lay.Stripes() {
		began := time.Now()
		if err := b.oneOf(ctx, i, avoid, wanted, h, fn); err != nil {
			return sum, err
		}
		if err := b.pace(ctx, int64(b.lay.StripeBytes(i)), time.Since(began)); err != nil {
			return sum, err
		}
	}
	return sumOf(h), nil
}

func (b *shards) oneOf(ctx context.Context, i int, avoid, wanted []bool, h *xxh3.Hasher, fn func(*stripeRead) error) error {
	got := b.fresh(i)
	defer got.release()
	if err := got.gather(ctx, b.whole(i), avoid); err != nil {
		return err
	}
	made := make([]bool, len(b.slots))
	for slot := range made {
		made[slot] = slot < b.lay.K || wanted != nil && wanted[slot]
	}
	if err := got.decode(made); err != nil {
		return err
	}
	for slot := range b.lay.K {
		h.Write(got.bufs[slot].B[:b.lay.UnitBytes(i, slot)])
	}
	if fn == nil {
		return nil
	}
	return fn(got)
}

// search looks for the shards that spoil the blob's checksum although each block of them is right (I22), and marks them as failed, so that
// reading goes on without them. Slots that without names are left out from the start. What is found, and for how much work, says hunt.
//
// Errors: ErrUnavailable, ErrLost if fewer than k shards can be read; ErrCorrupt if the checksum is not to be had from the shards there are;
// ErrUnavailable instead while drives are away whose shards might give it; ctx's.
func (b *shards) search(ctx context.Context, without []bool) error {
	b.forgive()
	for slot := range b.slots {
		if sh := &b.slots[slot]; b.lay.Stored(slot) && sh.r == nil && sh.err == nil && !without[slot] {
			if err := b.find(ctx, slot, 0, 0); err != nil {
				b.fail(ctx, slot, err)
			}
		}
	}
	h := &hunt{shards: b, without: without, triesLeft: triesMax, setsLeft: setsMax}
	for {
		left := h.usable()
		guilty, err := h.among(ctx, left)
		switch {
		case err == nil:
			b.blame(ctx, guilty)
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case len(h.usable()) == len(left): // else some have failed meanwhile: it is another search without them
			return err
		}
	}
}

func (b *shards) blame(ctx context.Context, slots []int) {
	for _, slot := range slots {
		b.fail(ctx, slot, errSpoils)
	}
}
