package disk

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/sherd-io/sherd/disk/chunk"
	"github.com/sherd-io/sherd/internal/ids"
)

// Drop forgets chunks of one PG whose slots are other drives' since epoch (I5): they are no longer found and their space is free, but
// other than after Delete their keys may be written again. The drive persists the epoch first, so that whoever looks for them later
// learns that they have moved. Absent keys are fine.
//
// Errors: ErrEpoch if the drive knows a newer epoch, under which it may be the owner again; ErrUnavailable; ErrInvalid if the keys are of
// several PGs. Nothing, or any of the keys, may be gone then.
func (d *Drive) Drop(ctx context.Context, keys []ids.Chunk, epoch uint64) error {
	if len(keys) == 0 {
		return nil
	}
	of := pgKey{keys[0].Pool, keys[0].PG}
	if epoch == 0 || slices.ContainsFunc(keys, func(k ids.Chunk) bool { return pgKey{k.Pool, k.PG} != of }) {
		return d.fault("drop", fmt.Errorf("%w: chunks of several groups, or no epoch", ErrInvalid))
	}
	if d.epochs.get(of) < epoch {
		if err := d.RaiseEpoch(ctx, of.pool, of.pg, epoch); err != nil {
			return err
		}
	}
	keys = slices.Clone(keys)
	slices.SortFunc(keys, compareChunks) // as the index has them
	for part := range slices.Chunk(slices.Compact(keys), chunk.KeysMax) {
		if err := d.dropKeys(ctx, part, epoch); err != nil {
			return d.fault("drop", err)
		}
	}
	return nil
}

// dropKeys writes one record for those of keys that are there. A worker reads their rows first, so that the log's goroutine does not wait
// for the disk.
func (d *Drive) dropKeys(ctx context.Context, keys []ids.Chunk, epoch uint64) error {
	found := make(chan *op, 1)
	look := func() {
		if o := d.dropOf(keys); o != nil {
			found <- o
		}
		close(found)
	}
	if err := d.do(ctx, look, nil); err != nil {
		return err
	}
	o := <-found
	if o == nil {
		return nil
	}
	o.moved = epoch
	o.head = chunk.AppendKeys(o.head, o.kind, o.millis, o.keys)
	o.entry.Essential = true
	return d.await(ctx, o)
}

// dropOf is an op about those of keys that are there; nil if none is.
func (d *Drive) dropOf(keys []ids.Chunk) *op {
	o := d.newOp(chunk.KindDropped, nil)
	o.asked, o.millis = d.recent.now(), time.Now().UnixMilli()
	for _, k := range keys {
		at, ok, err := d.lookup(k, false)
		if err != nil {
			o.keys, o.found = keys, nil // it will be met again
			return o
		}
		if ok && at.live() {
			o.keys, o.found = append(o.keys, k), append(o.found, at.brief(true))
		}
	}
	if len(o.keys) == 0 {
		return nil
	}
	return o
}
