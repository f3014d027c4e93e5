package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/sherd-io/sherd/placement"
)

// decide writes what change makes of the whole map, in one transaction that fails if any row was written since: for decisions
// that hang on rows which they do not write, such as that nothing is on a drive (I19). change may be called again, with a newer
// map, also after a try whose outcome is unknown; without operations there is nothing to do.
//
// Errors: change's own, ErrUnavailable, also where one of guards does not hold.
func (s *Store) decide(ctx context.Context, change func(*placement.Map) ([]clientv3.Op, error), guards ...clientv3.Cmp) error {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	for tried, wait := false, 5*time.Millisecond; ; tried, wait = true, min(2*wait, 250*time.Millisecond) {
		if err := s.Sync(ctx); err != nil {
			return err
		}
		st := s.state.Load()
		ops, err := change(st.m)
		if tried && errors.Is(err, ErrNotFound) {
			return nil // the try before has done it
		}
		if err != nil || len(ops) == 0 {
			return err
		}
		unchanged := clientv3.Compare(clientv3.ModRevision(s.key(lastKey)), "<", st.applied+1)
		at, err := s.commit(ctx, append(guards[:len(guards):len(guards)], unchanged), ops)
		if err == nil {
			s.awaitRevision(ctx, at)
			return nil
		}
		if !errors.Is(err, ErrConflict) && !transient(err) {
			return err
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		pause(ctx, wait)
	}
}
