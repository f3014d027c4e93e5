package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/placement"
)

// ConfigBytesMax is how many bytes the documents of one bucket may have together, as they are stored: etcd takes 1.5 MiB in one request.
const ConfigBytesMax = 512 << 10

// CreateBucket makes a bucket as want has it, or finds the one of that name: created tells which. Its id was never used before (I20).
// Of want count Name, Owner, Region, Pool, Versioning, Lock and Config.
// Errors: ErrInvalid, ErrTooLarge, ErrUnavailable with the outcome unknown; calling again is safe.
func (s *Store) CreateBucket(ctx context.Context, want placement.Bucket) (b *placement.Bucket, created bool, err error) {
	fresh := placement.Bucket{
		Name: want.Name, Owner: want.Owner, Region: want.Region, Pool: want.Pool,
		Versioning: want.Versioning, Lock: want.Lock, Config: want.Config,
	}
	if fresh.Versioning != "" || fresh.Lock != nil {
		fresh.Rules = 1 // the ranges, which know none, have them brought before they take a write (I11)
	}
	if err := checkBucket(&fresh); err != nil {
		return nil, false, err
	}
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	for wait := 5 * time.Millisecond; ; wait = min(2*wait, 250*time.Millisecond) {
		b, err := s.bucket(ctx, fresh.Name)
		if err != nil {
			return nil, false, err
		}
		if b != nil {
			return b, false, nil // a try of this call that made it would have said so
		}
		b, err = s.tryCreate(ctx, fresh)
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

// checkBucket refuses what cannot be a bucket's row. Errors: ErrInvalid, ErrTooLarge.
func checkBucket(b *placement.Bucket) error {
	switch {
	case b.Name == "":
		return fmt.Errorf("%w: a bucket without a name", ErrInvalid)
	case b.Lock != nil && b.Versioning != placement.VersioningEnabled:
		return fmt.Errorf("%w: bucket %s: object lock without versioning", ErrInvalid, b.Name)
	}
	if len(b.Config) == 0 {
		return nil
	}
	stored, err := json.Marshal(b.Config)
	switch {
	case err != nil:
		return fmt.Errorf("%w: bucket %s: %v", ErrInvalid, b.Name, err)
	case len(stored) > ConfigBytesMax:
		return fmt.Errorf("%w: bucket %s: documents of %d bytes", ErrTooLarge, b.Name, len(stored))
	}
	return nil
}

// tryCreate takes the next id and writes the bucket with it, both in one transaction. Errors also: ErrConflict: this try made no bucket.
func (s *Store) tryCreate(ctx context.Context, b placement.Bucket) (*placement.Bucket, error) {
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
	there, err := s.usable(ctx, b.Pool)
	if err != nil {
		return nil, fmt.Errorf("%w: %v: the map at hand is old", ErrUnavailable, err)
	}
	owned, err := s.owned(ctx, b.Owner)
	if err != nil {
		return nil, err
	}
	row := encode(b)
	revision, err := s.commitOnce(ctx, bucketsDir+b.Name, nil, row,
		append(owned, there,
			s.absent(bucketsDir+b.Name),
			clientv3.Compare(clientv3.ModRevision(s.key(nextBucketKey)), "=", counterRevision),
		),
		[]clientv3.Op{
			clientv3.OpPut(s.key(bucketsDir+b.Name), row),
			clientv3.OpPut(s.key(nextBucketKey), encode(next+1)),
		})
	if err != nil {
		return nil, err
	}
	s.awaitRevision(ctx, revision)
	b.Revision = s.state.Load().base + revision
	return &b, nil
}

// owned holds as long as there is the account that is to own a bucket: nothing for the one that the cluster began with, which need not have a
// row and is not removed. Errors: ErrInvalid if there is none.
func (s *Store) owned(ctx context.Context, owner string) ([]clientv3.Cmp, error) {
	m := s.Map()
	if a := m.Account(owner); a != nil && a.ID == m.Account("").ID {
		return nil, nil
	}
	row, err := s.get(ctx, accountsDir+owner)
	if err == nil && row == nil {
		err = fmt.Errorf("%w: there is no account %s", ErrInvalid, owner)
	}
	return []clientv3.Cmp{clientv3.Compare(clientv3.CreateRevision(s.key(accountsDir+owner)), ">", 0)}, err
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
	err = s.editBucket(ctx, bucket, func(b *placement.Bucket) error {
		if b.Deleting = deleting; deleting {
			b.Marks++
		}
		mark = b.Marks
		return nil
	})
	return mark, err
}

// ReviseBucket makes a change that decides the fate of a bucket's data, of Versioning and Lock, and raises Rules. It is in force when
// each range has the rules, too (meta.Node.SetRules): until then writes wait for who brings them (I11). change may be called again,
// where somebody came between.
// Errors: ErrNotFound, also if another bucket has the name now, ErrInvalid, ErrUnavailable, and change's own.
func (s *Store) ReviseBucket(ctx context.Context, bucket *placement.Bucket, change func(*placement.Bucket) error) error {
	return s.editBucket(ctx, bucket, func(b *placement.Bucket) error {
		if err := change(b); err != nil {
			return err
		}
		b.Rules++
		return nil
	})
}

// SetBucketConfig puts a document of one kind in the place of the one that a bucket has; nil removes it. The map has it when this returns.
// Errors: ErrNotFound, also if another bucket has the name now, ErrInvalid if doc is not JSON, ErrTooLarge, ErrUnavailable with the
// outcome unknown.
func (s *Store) SetBucketConfig(ctx context.Context, bucket *placement.Bucket, kind string, doc json.RawMessage) error {
	return s.editBucket(ctx, bucket, func(b *placement.Bucket) error {
		if doc == nil {
			delete(b.Config, kind)
			return nil
		}
		if b.Config == nil {
			b.Config = placement.BucketConfig{}
		}
		b.Config[kind] = doc
		return nil
	})
}

// editBucket changes the row of a bucket, not of another that was made since under its name.
func (s *Store) editBucket(ctx context.Context, bucket *placement.Bucket, change func(*placement.Bucket) error) error {
	return edit(ctx, s, bucketsDir+bucket.Name, func(b *placement.Bucket) error {
		if b.ID != bucket.ID {
			return fmt.Errorf("%w: bucket %s of id %d", ErrNotFound, bucket.Name, bucket.ID)
		}
		if err := change(b); err != nil {
			return err
		}
		return checkBucket(b)
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
