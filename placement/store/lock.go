package store

import (
	"context"
	"fmt"

	"go.etcd.io/etcd/client/v3/concurrency"

	"github.com/sherd-io/sherd/internal/ids"
)

// lockTTL is for how many seconds a lock outlives the process that has it.
const lockTTL = 10

// LockBucket waits until no other process deletes a bucket, or takes a deletion back; unlock must be called. A process that
// stands still for long may lose the lock without knowing: what it does then is refused by the bucket's marks (DeleteBucket).
// Errors: ErrUnavailable, ctx's.
func (s *Store) LockBucket(ctx context.Context, id ids.Bucket) (unlock func(), err error) {
	session, err := s.newSession(ctx, lockTTL)
	if err != nil {
		return nil, err
	}
	mutex := concurrency.NewMutex(session, s.key(fmt.Sprintf("%s%016x", bucketLocks, uint64(id))))
	if err := mutex.Lock(ctx); err != nil {
		session.Close()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return func() { session.Close() }, nil // its lease goes, and with it the lock
}
