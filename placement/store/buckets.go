package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/placement"
)

// CreateBucket makes a bucket, or finds the one of that name: created tells which. Its id was never used before (I20).
// Errors: ErrUnavailable, with the outcome unknown; calling again is safe.
func (s *Store) CreateBucket(ctx context.Context, name, owner, region string, pool ids.Pool) (b *placement.Bucket, created bool, err error) {
	if name == "" {
		return nil, false, fmt.Errorf("%w: a bucket without a name", ErrInvalid)
	}
	ctx, cancel := context.WithTimeout(ctx, s.opt.RequestTimeout)
	defer cancel()
	var tried ids.Bucket // the id of a try whose outcome is unknown: no other caller can have it
	for wait := 5 * time.Millisecond; ; wait = min(2*wait, 250*time.Millisecond) {
		b, err := s.bucket(ctx, name)
		if err != nil {
			return nil, false, err
		}
		if b != nil {
			return b, b.ID == tried, nil
		}
		b, err = s.tryCreate(ctx, placement.Bucket{Name: name, Owner: owner, Region: region, Pool: pool}, &tried)
		if err == nil {
			return b, true, nil
		}
		if !errors.Is(err, ErrConflict) && !transient(err) {
			return nil, false, err
		}
		if ctx.Err() != nil {
			return nil, false, fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		pause(ctx, wait)
	}
}

// tryCreate takes the next id and writes the bucket with it, both in one transaction.
func (s *Store) tryCreate(ctx context.Context, b placement.Bucket, tried *ids.Bucket) (*placement.Bucket, error) {
	counter, err := s.get(ctx, nextBucketKey)
	if err != nil {
		return nil, err
	}
	next, counterRevision := ids.Bucket(1), int64(0)
	if counter != nil {
		n, err := decode[ids.Bucket](counter.Value)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", nextBucketKey, err) // guessing could use an id twice
		}
		next, counterRevision = *n, counter.ModRevision
	}
	b.ID, b.Created = next, s.opt.Now().UTC().Truncate(time.Millisecond)
	*tried = b.ID
	there, err := s.usable(ctx, b.Pool)
	if err != nil {
		return nil, fmt.Errorf("%w: %v: the map at hand is old", ErrUnavailable, err)
	}
	revision, err := s.commit(ctx,
		[]clientv3.Cmp{
			there,
			s.absent(bucketsDir + b.Name),
			clientv3.Compare(clientv3.ModRevision(s.key(nextBucketKey)), "=", counterRevision),
		},
		[]clientv3.Op{
			clientv3.OpPut(s.key(bucketsDir+b.Name), encode(b)),
			clientv3.OpPut(s.key(nextBucketKey), encode(next+1)),
		})
	if err != nil {
		return nil, err
	}
	s.awaitRevision(ctx, revision)
	b.Revision = s.state.Load().base + revision
	return &b, nil
}

// bucket reads a bucket's row by quorum; nil if there is none.
func (s *Store) bucket(ctx context.Context, name string) (*placement.Bucket, error) {
	kv, err := s.get(ctx, bucketsDir+name)
	if err != nil || kv == nil {
		return nil, err
	}
	b, err := decode[placement.Bucket](kv.Value)
	if err != nil {
		return nil, fmt.Errorf("bucket %s: %w", name, err)
	}
	s.awaitRevision(ctx, kv.ModRevision)
	b.Revision = s.state.Load().base + kv.ModRevision
	return b, nil
}

// SetDeleting marks a bucket as being deleted, or takes the mark back (I20). Each mark is another: only who made the last one
// may remove the bucket by it, and a removal that was sent before and is not done yet is not done any more.
// Errors: ErrNotFound, also if another bucket has the name now, ErrUnavailable.
func (s *Store) SetDeleting(ctx context.Context, bucket *placement.Bucket, deleting bool) (mark uint64, err error) {
	err = edit(ctx, s, bucketsDir+bucket.Name, func(b *placement.Bucket) error {
		if b.ID != bucket.ID {
			return fmt.Errorf("%w: bucket %s of id %d", ErrNotFound, bucket.Name, bucket.ID)
		}
		if b.Deleting = deleting; deleting {
			b.Marks++
		}
		mark = b.Marks
		return nil
	})
	return mark, err
}

// ReviseBucket makes a change that decides the fate of a bucket's data, and raises Rules. It is in force when each range has
// the rules, too (meta.Node.SetRules): until then writes wait for who brings them (I11).
// Errors: ErrNotFound, ErrUnavailable, and change's own.
func (s *Store) ReviseBucket(ctx context.Context, name string, change func(*placement.Bucket) error) error {
	raised := int64(0) // a try whose outcome is unknown may have made the change: it is not made twice
	return edit(ctx, s, bucketsDir+name, func(b *placement.Bucket) error {
		if raised != 0 && b.Rules == raised {
			return nil
		}
		if err := change(b); err != nil {
			return err
		}
		b.Rules++
		raised = b.Rules
		return nil
	})
}

// DeleteBucket removes the record of a bucket that is marked as being deleted, by its last mark; its id is never used again (I20).
// Errors: ErrNotFound, also if another bucket has the name now, ErrConflict if it is not marked or was marked again since, for
// it may have been unsealed in between; ErrUnavailable.
func (s *Store) DeleteBucket(ctx context.Context, bucket *placement.Bucket, mark uint64) error {
	tried := false // a try whose outcome is unknown may have removed it
	return s.update(ctx, bucketsDir+bucket.Name, func(value []byte) (string, error) {
		var b *placement.Bucket
		if value != nil {
			var err error
			if b, err = decode[placement.Bucket](value); err != nil {
				return "", err
			}
		}
		switch gone := b == nil || b.ID != bucket.ID; {
		case gone && tried:
			return string(value), nil
		case gone:
			return "", fmt.Errorf("%w: bucket %s of id %d", ErrNotFound, bucket.Name, bucket.ID)
		case !b.Deleting || b.Marks != mark:
			return "", fmt.Errorf("%w: bucket %s is not marked as being deleted, or by another", ErrConflict, bucket.Name)
		}
		tried = true
		return "", nil
	})
}

// edit changes one row that must exist.
func edit[T any](ctx context.Context, s *Store, key string, change func(*T) error, guards ...clientv3.Cmp) error {
	return s.update(ctx, key, func(value []byte) (string, error) {
		if value == nil {
			return "", fmt.Errorf("%w: %s", ErrNotFound, key)
		}
		r, err := decode[T](value)
		if err != nil {
			return "", fmt.Errorf("%s: %w", key, err)
		}
		before := encode(*r)
		if err := change(r); err != nil {
			return "", err
		}
		if after := encode(*r); after != before {
			return after, nil
		}
		return string(value), nil
	}, guards...)
}
