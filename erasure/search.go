package erasure

import (
	"context"
	"fmt"
	"math/bits"
	"slices"
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

// search looks for the shards that spoil the blob's checksum although each block of them is right, by leaving out one
// slot after the other, then two, up to m (I22). It marks them as failed, so that reading goes on without them. Slots
// that without names are left out from the start.
func (b *shards) search(ctx context.Context, without []bool) error {
	n := len(b.slots)
	for slot := range b.slots {
		if sh := &b.slots[slot]; b.lay.Stored(slot) && sh.r == nil && sh.err == nil && !without[slot] {
			if err := b.find(ctx, slot, 0, 0); err != nil {
				b.fail(ctx, slot, err)
			}
		}
	}
	f, ok := b.footer()
	if !ok {
		return b.unreadable()
	}
	for out := 1; out <= b.lay.M; out++ {
		for set := range 1 << n {
			if bits.OnesCount(uint(set)) != out || !b.suspects(set, without) {
				continue
			}
			guilty, avoid := make([]bool, n), slices.Clone(without)
			for slot := range avoid {
				guilty[slot] = set>>slot&1 == 1
				avoid[slot] = avoid[slot] || guilty[slot]
			}
			sum, err := b.each(ctx, avoid, nil, nil)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err == nil && sum == f.BlobSum {
				b.blame(ctx, guilty)
				return nil
			}
		}
	}
	return fmt.Errorf("%w: %v has another checksum, whichever shards are left out", ErrCorrupt, b.ref.Blob)
}

// suspects reports whether set holds only slots that can be read and so may be at fault.
func (b *shards) suspects(set int, without []bool) bool {
	for slot := range b.slots {
		if set>>slot&1 == 1 && (b.slots[slot].err != nil || without[slot] || !b.lay.Stored(slot)) {
			return false
		}
	}
	return true
}

func (b *shards) blame(ctx context.Context, slots []bool) {
	for slot, bad := range slots {
		if bad {
			b.fail(ctx, slot, errUnfit)
		}
	}
}
