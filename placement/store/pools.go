package store

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/placement"
	"github.com/sherd-io/sherd/placement/plan"
)

// poolName is what a pool, or a storage class, may be called.
var poolName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$`)

// CreatePool makes a pool of the given name, profile, PG count, drives and storage class, and lays its PGs out. That takes several
// transactions: until the last a pool has vacant PGs, which nothing is written to. Calling it again with the same pool finishes what
// was cut short.
//
// Errors: ErrExists if there is another pool of that name or class, ErrInvalid, plan.ErrProfile if the drives cannot hold it,
// ErrUnavailable.
func (s *Store) CreatePool(ctx context.Context, want placement.Pool) (*placement.Pool, error) {
	if !poolName.MatchString(want.Name) {
		return nil, fmt.Errorf("%w: pool name %q: want letters, digits, - and _, up to 63", ErrInvalid, want.Name)
	}
	if want.UnitBytes == 0 {
		want.UnitBytes = plan.UnitBytes
	}
	if want.PGCount == 0 {
		want.PGCount = plan.PGCount
	}
	if err := checkPool(&want); err != nil {
		return nil, invalid(err)
	}
	err := s.decide(ctx, func(m *placement.Map) ([]clientv3.Op, error) {
		want.ID = lastPool(m) + 1
		for id, p := range m.Pools {
			if p.Name == want.Name {
				return nil, samePool(p, &want)
			}
			want.ID = max(want.ID, id+1)
		}
		if want.ID == 0 {
			return nil, fmt.Errorf("%w: all ids of pools were used", ErrConflict)
		}
		if err := plan.MayCreate(m, &want); err != nil {
			return nil, err
		}
		if err := freeClass(m, want.ID, want.StorageClass); err != nil {
			return nil, err
		}
		return []clientv3.Op{clientv3.OpPut(s.key(poolKey(want.ID)), encode(want))}, nil
	})
	if err != nil {
		return nil, err
	}
	return s.layOut(ctx, want.Name)
}

// samePool reports a pool that has the name and is another one than wanted.
func samePool(p, want *placement.Pool) error {
	if p.K != want.K || p.M != want.M || p.PGCount != want.PGCount || p.StorageClass != want.StorageClass || !slices.Equal(p.Drives, want.Drives) {
		return fmt.Errorf("%w: pool %s, of %d+%d and %d PGs", ErrExists, p.Name, p.K, p.M, p.PGCount)
	}
	return nil
}

// freeClass reports a storage class that another pool has, or that no pool can have.
func freeClass(m *placement.Map, id ids.Pool, class string) error {
	switch other, taken := m.ClassPool(class); {
	case class == "":
		return nil
	case !poolName.MatchString(class), class == "STANDARD", class == "REDUCED_REDUNDANCY":
		return fmt.Errorf("%w: storage class %q: want letters, digits, - and _, and neither STANDARD nor REDUCED_REDUNDANCY", ErrInvalid, class)
	case taken && other != id:
		return fmt.Errorf("%w: pool %s has storage class %s", ErrExists, m.Pools[other].Name, class)
	}
	return nil
}

// layOut writes the PGs of a pool that are vacant, a batch in a transaction, each only if it is not there yet.
func (s *Store) layOut(ctx context.Context, name string) (*placement.Pool, error) {
	for {
		m := s.Map()
		p := poolByName(m, name)
		if p == nil {
			return nil, fmt.Errorf("%w: pool %s", ErrNotFound, name)
		}
		var vacant []ids.PG
		for id, pg := range p.PGs {
			if pg.Vacant() {
				vacant = append(vacant, ids.PG(id))
			}
		}
		if len(vacant) == 0 {
			return p, nil
		}
		if err := plan.MayCreate(m, p); err != nil {
			return nil, err
		}
		table := plan.Table(m, p)
		for batch := range slices.Chunk(vacant, bootstrapBatch) {
			var guards []clientv3.Cmp
			var ops []clientv3.Op
			for _, id := range batch {
				key := pgKey(p.ID, id)
				guards = append(guards, s.absent(key))
				ops = append(ops, clientv3.OpPut(s.key(key), encode(table[id])))
			}
			at, err := s.commit(ctx, guards, ops)
			if err != nil && !transient(err) {
				return nil, err // ErrConflict: somebody else lays it out, too
			}
			if err != nil {
				return nil, fmt.Errorf("%w: laying out pool %s: %w", ErrUnavailable, name, err)
			}
			if err := s.awaitRevision(ctx, at); err != nil {
				return nil, err
			}
		}
	}
}

func poolByName(m *placement.Map, name string) *placement.Pool {
	for _, p := range m.Pools {
		if p.Name == name {
			return p
		}
	}
	return nil
}

// lastPoolSetting is the greatest id that a pool which was removed had. Ids are never used again: drives remember epochs of its groups,
// and ranges that it is closed.
const lastPoolSetting = "pool.last"

func lastPool(m *placement.Map) ids.Pool {
	id, _ := strconv.ParseUint(m.Settings[lastPoolSetting], 10, 16) // absent: 0
	return ids.Pool(id)
}

// OrderPoolRemoval marks a pool as one that is to go: from then on nothing may begin to use it. Errors: ErrNotFound, plan.ErrInUse,
// ErrUnavailable.
func (s *Store) OrderPoolRemoval(ctx context.Context, name string) error {
	return s.decide(ctx, func(m *placement.Map) ([]clientv3.Op, error) {
		p := poolByName(m, name)
		if p == nil {
			return nil, fmt.Errorf("%w: pool %s", ErrNotFound, name)
		}
		if err := plan.MayRemovePool(m, p); err != nil || p.Removing {
			return nil, err
		}
		next := *p
		next.Removing, next.Kept = true, ""
		return []clientv3.Op{clientv3.OpPut(s.key(poolKey(p.ID)), encode(next))}, nil
	})
}

// KeepPool takes the order back, and notes why. Errors: ErrNotLeader, ErrUnavailable.
func (l *Lead) KeepPool(ctx context.Context, id ids.Pool, why string) error {
	return l.explain(ctx, edit(ctx, l.s, poolKey(id), func(p *placement.Pool) error {
		p.Removing, p.Kept = false, why
		return nil
	}, l.guard))
}

// RemovePool takes a pool that is to go out of the map, with its PGs. The caller knows that no row of any range refers to it, and that none
// will. Errors: ErrConflict if it is not to go any more, plan.ErrInUse, ErrNotLeader, ErrUnavailable.
func (l *Lead) RemovePool(ctx context.Context, id ids.Pool) error {
	s := l.s
	return l.explain(ctx, s.decide(ctx, func(m *placement.Map) ([]clientv3.Op, error) {
		p := m.Pools[id]
		if p == nil {
			return nil, nil
		}
		if !p.Removing {
			return nil, fmt.Errorf("%w: pool %s is kept", ErrConflict, p.Name)
		}
		if err := plan.MayRemovePool(m, p); err != nil {
			return nil, err
		}
		return []clientv3.Op{
			clientv3.OpDelete(s.key(poolKey(id))),
			clientv3.OpDelete(s.key(fmt.Sprintf("%s%d/", pgsDir, id)), clientv3.WithPrefix()),
			clientv3.OpPut(s.key(settingsDir+lastPoolSetting), encode(strconv.Itoa(int(max(id, lastPool(m)))))),
		}, nil
	}, l.guard))
}

// usable gives the guard that a pool is there and does not go while something begins to use it. Errors: ErrNotFound, ErrConflict,
// ErrUnavailable.
func (s *Store) usable(ctx context.Context, id ids.Pool) (clientv3.Cmp, error) {
	kv, err := s.get(ctx, poolKey(id))
	if err != nil {
		return clientv3.Cmp{}, err
	}
	if kv == nil {
		return clientv3.Cmp{}, fmt.Errorf("%w: pool %d", ErrNotFound, id)
	}
	p, err := decode[placement.Pool](kv.Value)
	if err != nil {
		return clientv3.Cmp{}, err
	}
	if p.Removing {
		return clientv3.Cmp{}, fmt.Errorf("%w: pool %s is being removed", ErrConflict, p.Name)
	}
	return clientv3.Compare(clientv3.ModRevision(s.key(poolKey(id))), "=", kv.ModRevision), nil
}

// SetPoolClass gives a pool a storage class, or none. Errors: ErrNotFound, ErrExists, ErrInvalid, ErrConflict if it is
// being removed, ErrUnavailable.
func (s *Store) SetPoolClass(ctx context.Context, name, class string) error {
	return s.decide(ctx, func(m *placement.Map) ([]clientv3.Op, error) {
		p := poolByName(m, name)
		if p == nil {
			return nil, fmt.Errorf("%w: pool %s", ErrNotFound, name)
		}
		if err := freeClass(m, p.ID, class); err != nil || p.StorageClass == class {
			return nil, err
		}
		if p.Removing {
			return nil, fmt.Errorf("%w: pool %s is being removed", ErrConflict, name)
		}
		next := *p
		next.StorageClass = class
		return []clientv3.Op{clientv3.OpPut(s.key(poolKey(p.ID)), encode(next))}, nil
	})
}

// SetDefaultPool chooses the pool of buckets that name none. Errors: ErrNotFound, ErrConflict if it is being removed, ErrUnavailable.
func (s *Store) SetDefaultPool(ctx context.Context, name string) error {
	p := poolByName(s.Map(), name)
	if p == nil {
		return fmt.Errorf("%w: pool %s", ErrNotFound, name)
	}
	guard, err := s.usable(ctx, p.ID)
	if err != nil {
		return err
	}
	return s.update(ctx, settingsDir+placement.DefaultPoolSetting, func([]byte) (string, error) {
		return encode(strconv.Itoa(int(p.ID))), nil
	}, guard)
}

// SetBucketPool has a bucket's objects go to another pool; those that it has are the healer's to convert.
// Errors: ErrNotFound, ErrConflict if the pool is not laid out yet or being removed, ErrUnavailable.
func (s *Store) SetBucketPool(ctx context.Context, bucket, pool string) error {
	p := poolByName(s.Map(), pool)
	if p == nil {
		return fmt.Errorf("%w: pool %s", ErrNotFound, pool)
	}
	if slices.ContainsFunc(p.PGs, (*placement.PG).Vacant) {
		return fmt.Errorf("%w: pool %s is not laid out yet: create it again with the same profile", ErrConflict, pool)
	}
	guard, err := s.usable(ctx, p.ID)
	if err != nil {
		return err
	}
	return edit(ctx, s, bucketsDir+bucket, func(b *placement.Bucket) error {
		b.Pool = p.ID
		return nil
	}, guard)
}
