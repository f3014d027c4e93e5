package heal

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/sherd-io/sherd/disk"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/placement"
)

// sweeper remembers what it need not look at again.
type sweeper struct {
	turn  chan struct{}        // held by a pass
	clean map[leftovers]uint64 // the epoch under which nothing was left
}

// leftovers are the chunks of a group on a drive whose slots are other drives'.
type leftovers struct {
	drive ids.Drive
	groupKey
}

func (s *sweeper) init() { s.turn, s.clean = make(chan struct{}, 1), map[leftovers]uint64{} }

// Sweep makes one pass over this process's drives and has them drop the chunks of slots that have moved away for good: once the map
// says that a slot is complete elsewhere, and the new owner has the very chunk (I5). What the new owner does not have stays for scrub.
//
// Errors: ctx's; else the first of those that left a drive unswept, which the next pass tries again.
func (h *Healer) Sweep(ctx context.Context) (first error) {
	h.sweeps.turn <- struct{}{}
	defer func() { <-h.sweeps.turn }()
	m := h.opt.Map()
	for id := range m.Drives {
		drive := h.usable(id)
		if drive == nil || !h.opt.Mine(id) {
			continue
		}
		for _, p := range m.Pools {
			for i, pg := range p.PGs {
				l := leftovers{id, groupKey{p.ID, ids.PG(i)}}
				if !settled(pg) || h.sweeps.clean[l] == pg.Epoch {
					continue
				}
				if err := h.sweep(ctx, drive, pg, l); err == nil {
					h.sweeps.clean[l] = pg.Epoch
				} else if first == nil {
					first = fmt.Errorf("sweep pool %d group %d of drive %s: %w", p.ID, i, id, err)
				}
				if ctx.Err() != nil {
					return ctx.Err()
				}
			}
		}
	}
	return first
}

// settled reports a group whose owners have changed, and of which no slot moves now.
func settled(pg *placement.PG) bool {
	return pg.Epoch > 1 && !slices.ContainsFunc(pg.Slots, func(sl placement.Slot) bool { return !sl.Complete })
}

// sweep drops l, a page at a time.
func (h *Healer) sweep(ctx context.Context, drive Drive, pg *placement.PG, l leftovers) error {
	theirs := map[ids.Drive]*listing{}
	old := h.list(drive, l.pool, l.pg)
	for {
		if err := old.fetch(ctx); err != nil || old.end {
			return err
		}
		page := old.page
		old.page = nil
		var keys []ids.Chunk
		for i := range page {
			if pg.Slots[page[i].Key.Slot].Drive == l.drive {
				continue
			}
			ok, err := h.confirmed(ctx, theirs, pg, &page[i])
			if err != nil {
				return err
			}
			if ok {
				keys = append(keys, page[i].Key)
			}
		}
		if err := drive.Drop(ctx, keys, pg.Epoch); err != nil {
			return err
		}
		h.counts.moved.Add(int64(len(keys)))
	}
}

// confirmed reports that the owner of c's slot has the same chunk. c are asked for in order; lists go on from one to the next.
func (h *Healer) confirmed(ctx context.Context, lists map[ids.Drive]*listing, pg *placement.PG, c *disk.ChunkInfo) (bool, error) {
	id := pg.Slots[c.Key.Slot].Drive
	l := lists[id]
	if l == nil {
		d := h.usable(id)
		if d == nil {
			return false, disk.ErrUnavailable
		}
		l = h.list(d, c.Key.Pool, c.Key.PG)
		lists[id] = l
	}
	for {
		if err := l.fetch(ctx); err != nil || l.end {
			return false, err
		}
		at := &l.page[0]
		switch order := compareChunks(at.Key, c.Key); {
		case order > 0:
			return false, nil
		case order == 0:
			return at.BlobSum == c.BlobSum && at.ShardBytes == c.ShardBytes, nil
		}
		l.page = l.page[1:]
	}
}

func compareChunks(a, b ids.Chunk) int {
	return cmp.Or(compareBlobs(a.Blob, b.Blob), cmp.Compare(a.Slot, b.Slot))
}
