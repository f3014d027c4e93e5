package erasure

import (
	"context"
	"time"

	"github.com/sherd-io/sherd/internal/ids"
)

// epochTries bounds how often something is tried again because its placement group changed under it.
const epochTries = 3

// awaitEpoch waits, not for ever, for a map in which ref's group has a newer epoch than seen: a drive has refused a write for want of it.
func (s *Store) awaitEpoch(ctx context.Context, ref BlobRef, seen uint64) {
	s.renew(ctx, ref.Pool, ref.PG, seen, s.opt.AckTimeout/2) // before those who wait for us lose patience
}

// Renewed brings the map to where a group has a newer epoch than seen, which some drive knows, and reports whether it is there (I5). It
// waits for Options.MapWait at most.
func (s *Store) Renewed(ctx context.Context, pool ids.Pool, pg ids.PG, seen uint64) bool {
	if time.Now().UnixNano() < s.lagging.Load() {
		return s.newer(pool, pg, seen)
	}
	ok := s.renew(ctx, pool, pg, seen, s.opt.MapWait)
	if !ok && ctx.Err() == nil {
		s.lagging.Store(time.Now().Add(s.opt.lagPause).UnixNano())
	}
	return ok
}

func (s *Store) renew(ctx context.Context, pool ids.Pool, pg ids.PG, seen uint64, patience time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if !s.newer(pool, pg, seen) && s.opt.Reload != nil {
		s.opt.Reload(ctx)
	}
	for pause := time.Millisecond; !s.newer(pool, pg, seen); pause *= 2 {
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return s.newer(pool, pg, seen)
		}
	}
	return true
}

// newer reports that the group has a newer epoch than seen, or is no more.
func (s *Store) newer(pool ids.Pool, pg ids.PG, seen uint64) bool {
	_, g, err := group(s.opt.Map(), pool, pg)
	return err != nil || g.Epoch > seen
}
