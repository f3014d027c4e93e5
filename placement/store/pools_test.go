package store

import (
	"context"
	"errors"
	"slices"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/placement"
	"github.com/sherd-io/sherd/placement/plan"
)

func TestPools(t *testing.T) {
	te := newEtcd(t)
	s, in := bootstrapped(t, te)
	ctx := testContext(t)
	some := []ids.Drive{in.Drives[0].ID, in.Drives[2].ID, in.Drives[4].ID}
	want := placement.Pool{Name: "fast", K: 2, M: 1, Drives: some, StorageClass: "FAST"}
	for range 2 { // again is no error
		p, err := s.CreatePool(ctx, want)
		if err != nil {
			t.Fatal(err)
		}
		if p.ID != 2 || p.PGCount != plan.PGCount || slices.ContainsFunc(p.PGs, (*placement.PG).Vacant) {
			t.Fatalf("pool %d, %d PGs", p.ID, p.PGCount)
		}
		for id, pg := range p.PGs {
			for _, slot := range pg.Slots {
				if !slices.Contains(some, slot.Drive) || !slot.Complete {
					t.Fatalf("pg %d: %+v", id, slot)
				}
			}
		}
	}
	for _, c := range []struct {
		pool placement.Pool
		err  error
	}{
		{placement.Pool{Name: "fast", K: 3, M: 1}, ErrExists},
		{placement.Pool{Name: "big", K: 8, M: 3}, plan.ErrProfile},
		{placement.Pool{Name: "wide", K: 20, M: 13}, ErrInvalid},
		{placement.Pool{Name: "few", K: 2, M: 1, Drives: some[:2]}, plan.ErrProfile},
		{placement.Pool{Name: "gone", K: 1, M: 0, Drives: []ids.Drive{{9}}}, plan.ErrProfile},
		{placement.Pool{Name: "a/b", K: 2, M: 1}, ErrInvalid},
		{placement.Pool{Name: "odd", K: 2, M: 1, PGCount: 100}, ErrInvalid},
		{placement.Pool{Name: "twin", K: 2, M: 1, StorageClass: "FAST"}, ErrExists},
		{placement.Pool{Name: "std", K: 2, M: 1, StorageClass: "STANDARD"}, ErrInvalid},
	} {
		if _, err := s.CreatePool(ctx, c.pool); !errors.Is(err, c.err) {
			t.Errorf("%s: %v, want %v", c.pool.Name, err, c.err)
		}
	}
	if n := len(s.Map().Pools); n != 2 {
		t.Errorf("%d pools", n)
	}
	if id, ok := s.Map().ClassPool("FAST"); !ok || id != 2 {
		t.Errorf("pool of class FAST: %d, %v", id, ok)
	}
	if _, ok := s.Map().ClassPool(""); ok {
		t.Error("no class has a pool")
	}
	if err := s.SetPoolClass(ctx, "default", "FAST"); !errors.Is(err, ErrExists) {
		t.Error(err)
	}
	if err := errors.Join(s.SetPoolClass(ctx, "fast", ""), s.SetPoolClass(ctx, "default", "FAST")); err != nil {
		t.Error(err)
	}
	if s.Map().DefaultPool().ID != 1 {
		t.Error("the first pool is not the default")
	}
	if err := s.SetDefaultPool(ctx, "fast"); err != nil || s.Map().DefaultPool().ID != 2 {
		t.Error(err, s.Map().DefaultPool())
	}
	if _, _, err := s.CreateBucket(ctx, placement.Bucket{Name: "b", Owner: "sherd", Pool: 1}); err != nil {
		t.Fatal(err)
	}
	if err := s.SetBucketPool(ctx, "b", "fast"); err != nil || s.Map().Buckets["b"].Pool != 2 {
		t.Error(err, s.Map().Buckets["b"])
	}
	for _, err := range []error{s.SetBucketPool(ctx, "b", "none"), s.SetBucketPool(ctx, "none", "fast"), s.SetDefaultPool(ctx, "none"), s.SetPoolClass(ctx, "none", "X")} {
		if !errors.Is(err, ErrNotFound) {
			t.Error(err)
		}
	}
}

// TestPoolCutShort: a pool whose PGs were not all laid out promises nothing, takes no bucket, and is finished by the same command.
func TestPoolCutShort(t *testing.T) {
	te := newEtcd(t)
	s, _ := bootstrapped(t, te)
	ctx := testContext(t)
	want := placement.Pool{Name: "late", K: 2, M: 1}
	p, err := s.CreatePool(ctx, want)
	if err != nil {
		t.Fatal(err)
	}
	client := raw(t, te)
	if _, err := client.Delete(ctx, s.key(pgKey(p.ID, 100)), clientv3.WithRange(s.key(pgKey(p.ID, 200)))); err != nil {
		t.Fatal(err)
	}
	m, err := s.Wait(ctx, func(m *placement.Map) bool { return m.Pools[p.ID].PGs[150].Vacant() })
	if err != nil {
		t.Fatal(err)
	}
	if got := plan.PromiseOf(m, 0, 0); got.Data != 1 {
		t.Errorf("promise %+v", got)
	}
	if changes := append(plan.Lost(m), plan.Moves(m, plan.Pace{})...); len(changes) != 0 {
		t.Errorf("what is vacant is moved: %v", changes[0])
	}
	if _, _, err := s.CreateBucket(ctx, placement.Bucket{Name: "b", Owner: "sherd", Pool: 1}); err != nil {
		t.Fatal(err)
	}
	if err := s.SetBucketPool(ctx, "b", "late"); !errors.Is(err, ErrConflict) {
		t.Errorf("a bucket goes there: %v", err)
	}
	kept := m.Pools[p.ID].PGs[3].Revision
	if p, err = s.CreatePool(ctx, want); err != nil || slices.ContainsFunc(p.PGs, (*placement.PG).Vacant) || p.PGs[3].Revision != kept {
		t.Errorf("%v, %+v", err, p)
	}
}

// TestRemovePool: only a pool that nothing in the map uses may go; while it is to go nothing begins to use it; its id is never another's.
func TestRemovePool(t *testing.T) {
	te := newEtcd(t)
	s, _ := bootstrapped(t, te)
	ctx := testContext(t)
	lead, err := s.Campaign(ctx, "planner", "n1")
	if err != nil {
		t.Fatal(err)
	}
	p, err := s.CreatePool(ctx, placement.Pool{Name: "fast", K: 2, M: 1, PGCount: 8, StorageClass: "FAST"})
	if err != nil {
		t.Fatal(err)
	}
	ok := func(errs ...error) {
		t.Helper()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
	}
	refused := func(what string, err, want error) {
		t.Helper()
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
	_, _, err = s.CreateBucket(ctx, placement.Bucket{Name: "b", Owner: "sherd", Pool: p.ID})
	ok(err, s.SetDefaultPool(ctx, "fast"))
	refused("one that is not there", s.OrderPoolRemoval(ctx, "none"), ErrNotFound)
	refused("the default", s.OrderPoolRemoval(ctx, "fast"), plan.ErrInUse)
	ok(s.SetDefaultPool(ctx, "default"))
	refused("one with a class", s.OrderPoolRemoval(ctx, "fast"), plan.ErrInUse)
	ok(s.SetPoolClass(ctx, "fast", ""))
	refused("one of a bucket", s.OrderPoolRemoval(ctx, "fast"), plan.ErrInUse)
	ok(s.SetBucketPool(ctx, "b", "default"))
	refused("without an order", lead.RemovePool(ctx, p.ID), ErrConflict)
	ok(s.OrderPoolRemoval(ctx, "fast"), s.OrderPoolRemoval(ctx, "fast"))
	refused("a class for it", s.SetPoolClass(ctx, "fast", "FAST"), ErrConflict)
	refused("the default again", s.SetDefaultPool(ctx, "fast"), ErrConflict)
	refused("a bucket for it", s.SetBucketPool(ctx, "b", "fast"), ErrConflict)
	impatiently(ctx, func(ctx context.Context) {
		_, _, err = s.CreateBucket(ctx, placement.Bucket{Name: "c", Owner: "sherd", Pool: p.ID})
	})
	refused("a new bucket in it", err, ErrUnavailable)
	ok(lead.KeepPool(ctx, p.ID, "an object is in it"))
	if got := s.Map().Pools[p.ID]; got.Removing || got.Kept != "an object is in it" {
		t.Errorf("%+v", got)
	}
	ok(s.SetBucketPool(ctx, "b", "fast"), s.SetBucketPool(ctx, "b", "default"))
	ok(s.OrderPoolRemoval(ctx, "fast"), lead.RemovePool(ctx, p.ID), lead.RemovePool(ctx, p.ID))
	if m := s.Map(); m.Pools[p.ID] != nil || len(m.Pools) != 1 {
		t.Errorf("%+v", m.Pools)
	}
	left, err := raw(t, te).Get(ctx, s.key(pgsDir+"2/"), clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil || left.Count != 0 {
		t.Errorf("%d PGs are left, %v", left.Count, err)
	}
	next, err := s.CreatePool(ctx, placement.Pool{Name: "fast", K: 2, M: 1, PGCount: 8})
	if err != nil || next.ID != p.ID+1 {
		t.Errorf("%v, %+v", err, next)
	}
	impatiently(ctx, func(ctx context.Context) {
		_, _, err = s.CreateBucket(ctx, placement.Bucket{Name: "c", Owner: "sherd", Pool: p.ID})
	})
	refused("a new bucket in a pool that is gone", err, ErrUnavailable)
	ok(lead.Resign(ctx))
	ok(s.OrderPoolRemoval(ctx, "fast"))
	former, err := open(t, te, hasty).Campaign(ctx, "planner", "n2")
	ok(err, former.Resign(ctx))
	refused("by one who is not elected", former.RemovePool(ctx, next.ID), ErrNotLeader)
}
