package store

import (
	"context"
	"fmt"
	"slices"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/placement"
)

// ContinueRange writes next, with which a range goes on without the replicas on drives that a person says are lost (I4), if the
// range's row is the one that next was made of, and no such drive or its node was heard of since the map seen. A node that comes back
// says that it lives, and of its drives that they are there, before a replica on them takes part: so no majority takes anything
// between the look at what is left and this decision. Calling it again is harmless.
//
// Errors: ErrConflict, ErrInvalid, ErrUnavailable.
func (s *Store) ContinueRange(ctx context.Context, next *placement.Range, seen *placement.Map, lost []ids.Drive) error {
	if err := checkRange(next); err != nil {
		return invalid(err)
	}
	return s.decide(ctx, func(m *placement.Map) ([]clientv3.Op, error) {
		i := slices.IndexFunc(m.Ranges, func(r *placement.Range) bool { return r.ID == next.ID })
		switch {
		case i >= 0 && encode(m.Ranges[i]) == encode(next):
			return nil, nil
		case i < 0 || m.Ranges[i].Revision != next.Revision:
			return nil, fmt.Errorf("%w: range %d has changed: look again", ErrConflict, next.ID)
		}
		for _, id := range lost {
			if heardOf(id, seen, m) {
				return nil, fmt.Errorf("%w: drive %s, which counted as lost, or its node was just heard of: look again", ErrConflict, id)
			}
		}
		return []clientv3.Op{clientv3.OpPut(s.key(rangeKey(next.ID)), encode(next))}, nil
	})
}

// heardOf reports whether a drive's row is another than it was, or its node has come to life.
func heardOf(id ids.Drive, seen, now *placement.Map) bool {
	was, is := seen.Drives[id], now.Drives[id]
	if was == nil || is == nil {
		return was != is
	}
	return was.Revision != is.Revision || now.Alive[is.Node] && !seen.Alive[is.Node]
}
