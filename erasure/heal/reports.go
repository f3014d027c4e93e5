package heal

import (
	"context"
	"errors"
	"maps"
	"sync"

	"github.com/sherd-io/sherd/disk"
	"github.com/sherd-io/sherd/erasure"
)

// reports are shards that readers found missing or damaged, each once.
type reports struct {
	max  int
	mu   sync.Mutex
	wait map[reportKey]erasure.Kind
}

type reportKey struct {
	ref     erasure.BlobRef
	slot    uint8
	unsound bool // of the blob as a whole; slot is 0
}

// add notes b, unless there are too many.
func (r *reports) add(b erasure.BadShard) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.wait == nil {
		r.wait = map[reportKey]erasure.Kind{}
	}
	key := reportKey{b.Ref, b.Slot, b.Kind == erasure.Unsound}
	if _, known := r.wait[key]; !known && len(r.wait) >= r.max {
		return false
	}
	r.wait[key] = b.Kind
	return true
}

// all copies what waits.
func (r *reports) all() map[reportKey]erasure.Kind {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.wait)
}

func (r *reports) drop(key reportKey) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.wait, key)
}

// healed drops what was reported of shards that were made anew.
func (r *reports) healed(ref erasure.BlobRef, slots []uint8) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, slot := range slots {
		delete(r.wait, reportKey{ref: ref, slot: slot})
	}
}

// reported heals what readers found, as far as the owners are there now, and have room. What fails for good waits for scrub.
func (p *repairPass) reported(ctx context.Context) {
	h := p.h
	for key := range h.reports.all() {
		if h.healing.pass(ctx) != nil {
			return
		}
		id, ok := owner(h.opt.Map(), key.ref, key.slot)
		if ok && !key.unsound && h.writable(id) == nil {
			continue // until its drive is back
		}
		var err error
		if key.unsound {
			_, err = h.check(ctx, key.ref)
		} else {
			err = h.heal(ctx, &blobJob{ref: key.ref, slots: []uint8{key.slot}})
		}
		if err != nil && (ctx.Err() != nil || passing(err)) {
			continue
		}
		h.reports.drop(key)
	}
}

// passing reports an error that says nothing of the blob, and will pass.
func passing(err error) bool {
	for _, is := range []error{erasure.ErrUnavailable, disk.ErrUnavailable, disk.ErrFull, disk.ErrEpoch} {
		if errors.Is(err, is) {
			return true
		}
	}
	return false
}
