package heal

import (
	"context"
	"errors"
	"sync"

	"github.com/sherd-io/sherd/erasure"
)

// reports are shards that readers found missing or damaged, each once.
type reports struct {
	max  int
	mu   sync.Mutex
	wait map[reportKey]erasure.Kind
}

type reportKey struct {
	ref  erasure.BlobRef
	slot uint8
}

// add notes b, unless there are too many.
func (r *reports) add(b erasure.BadShard) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.wait == nil {
		r.wait = map[reportKey]erasure.Kind{}
	}
	key := reportKey{b.Ref, b.Slot}
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
	out := make(map[reportKey]erasure.Kind, len(r.wait))
	for k, v := range r.wait {
		out[k] = v
	}
	return out
}

func (r *reports) drop(key reportKey) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.wait, key)
}

// reported heals what readers found, as far as the owners are there now. What fails waits for scrub.
func (p *repairPass) reported(ctx context.Context) {
	h := p.h
	for key, kind := range h.reports.all() {
		if h.healing.pass(ctx) != nil {
			return
		}
		id, ok := owner(h.opt.Map(), key.ref, key.slot)
		if ok && kind != erasure.Unsound && h.writable(id) == nil {
			continue // until its drive is back
		}
		var err error
		if kind == erasure.Unsound {
			_, err = h.check(ctx, key.ref)
		} else {
			err = h.heal(ctx, &blobJob{ref: key.ref, slots: []uint8{key.slot}})
		}
		if err != nil && (ctx.Err() != nil || errors.Is(err, erasure.ErrUnavailable)) {
			continue
		}
		h.reports.drop(key)
	}
}
