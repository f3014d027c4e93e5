package node

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/sherd-io/sherd/gateway"
	"github.com/sherd-io/sherd/internal/adminapi"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/placement"
	"github.com/sherd-io/sherd/placement/plan"
)

// poolRows are all pools, by id.
func (n *Node) poolRows(ctx context.Context) []adminapi.PoolRow {
	m, held := n.store.Map(), n.healStatus(ctx).Convert
	rows := make([]adminapi.PoolRow, 0, len(m.Pools))
	for _, p := range m.Pools {
		row := adminapi.PoolRow{
			ID: uint16(p.ID), Name: p.Name, K: p.K, M: p.M, PGs: p.PGCount, StorageClass: p.StorageClass,
			Ready: !slices.ContainsFunc(p.PGs, (*placement.PG).Vacant), Default: m.DefaultPool() == p,
			Stored: held.Pools[uint64(p.ID)], Leaving: held.Leaving[uint64(p.ID)], Exact: held.Exact,
			Removing: p.Removing,
		}
		for _, id := range p.Drives {
			row.Drives = append(row.Drives, id.String())
		}
		for _, b := range m.Buckets {
			if b.Pool == p.ID {
				row.Buckets++
			}
		}
		rows = append(rows, row)
	}
	slices.SortFunc(rows, func(a, b adminapi.PoolRow) int { return int(a.ID) - int(b.ID) })
	return rows
}

func (n *Node) poolRow(ctx context.Context, name string) (any, error) {
	for _, row := range n.poolRows(ctx) {
		if row.Name == name {
			return row, nil
		}
	}
	return nil, fmt.Errorf("%w: there is no pool %s: `sherd pool ls` shows them", gateway.ErrBadCall, name)
}

// createPool makes a pool with a profile of its own.
func (a admin) createPool(ctx context.Context, body json.RawMessage) (any, error) {
	req, err := decode[adminapi.PoolRequest](body)
	if err != nil {
		return nil, err
	}
	profile, err := plan.ParseProfile(req.Profile)
	if err != nil {
		return nil, refusal(err)
	}
	want := placement.Pool{Name: req.Name, K: profile.K, M: profile.M, PGCount: req.PGs}
	if req.StorageClass != nil {
		want.StorageClass = *req.StorageClass
	}
	for _, text := range req.Drives {
		d, err := a.n.findDrive(a.n.store.Map(), text)
		if err != nil {
			return nil, err
		}
		want.Drives = append(want.Drives, d.ID)
	}
	if _, err := a.n.store.CreatePool(ctx, want); err != nil {
		return nil, refusal(err)
	}
	if req.Default {
		if err := a.n.store.SetDefaultPool(ctx, req.Name); err != nil {
			return nil, refusal(err)
		}
	}
	a.n.planner.wake()
	return a.n.poolRow(ctx, req.Name)
}

// setPool changes which requests and buckets use a pool.
func (a admin) setPool(ctx context.Context, body json.RawMessage) (any, error) {
	req, err := decode[adminapi.PoolRequest](body)
	if err != nil {
		return nil, err
	}
	if req.Profile != "" || req.PGs != 0 || len(req.Drives) > 0 {
		return nil, fmt.Errorf("%w: a pool's profile, PGs and drives are fixed: create another pool", gateway.ErrBadCall)
	}
	if req.StorageClass != nil {
		if err := a.n.store.SetPoolClass(ctx, req.Name, *req.StorageClass); err != nil {
			return nil, refusal(err)
		}
	}
	if req.Default {
		if err := a.n.store.SetDefaultPool(ctx, req.Name); err != nil {
			return nil, refusal(err)
		}
	}
	if err := a.n.openPool(ctx, req.Name); err != nil {
		return nil, err
	}
	a.n.heal.Kick()
	return a.n.poolRow(ctx, req.Name)
}

// openPool has the ranges take bodies in a pool that is used from now on: they may have it closed where the map was restored to a time
// before its removal (I9). It is not being removed: nothing closes it now.
func (n *Node) openPool(ctx context.Context, name string) error {
	m := n.store.Map()
	if floor(m) < levelPools {
		return nil // they cannot have
	}
	for id, p := range m.Pools {
		if p.Name == name && !p.Removing {
			return n.records.ClosePool(ctx, id, true)
		}
	}
	return nil
}

// removalWithin is how long `pool rm` waits for the planner; then it goes on without being waited for.
const removalWithin = 30 * time.Second

// removePool has a pool that nothing uses removed. The planner does it; what it finds in the pool is the refusal.
func (a admin) removePool(ctx context.Context, body json.RawMessage) (any, error) {
	req, err := decode[adminapi.PoolRequest](body)
	if err != nil {
		return nil, err
	}
	row, err := a.n.poolRow(ctx, req.Name)
	if err != nil {
		return nil, err
	}
	pool := row.(adminapi.PoolRow)
	if at := floor(a.n.store.Map()); at < levelPools {
		return nil, fmt.Errorf("%w: not before all nodes run a version that knows how to remove pools", gateway.ErrConflict)
	}
	if err := a.n.store.OrderPoolRemoval(ctx, req.Name); err != nil {
		return nil, refusal(err)
	}
	a.n.planner.wake()
	within, cancel := context.WithTimeout(ctx, removalWithin)
	defer cancel()
	id := ids.Pool(pool.ID)
	m, err := a.n.store.Wait(within, func(m *placement.Map) bool { return m.Pools[id] == nil || !m.Pools[id].Removing })
	switch {
	case err != nil && ctx.Err() == nil:
		return a.n.poolRow(ctx, req.Name) // under way
	case err != nil:
		return nil, err
	case m.Pools[id] != nil:
		return nil, fmt.Errorf("%w: pool %s stays: %s", gateway.ErrConflict, req.Name, m.Pools[id].Kept)
	}
	return adminapi.PoolRow{ID: pool.ID, Name: pool.Name, K: pool.K, M: pool.M}, nil
}

// setBucketPool chooses the pool of a bucket's objects: new ones go there at once, those that it has are converted.
func (a admin) setBucketPool(ctx context.Context, body json.RawMessage) (any, error) {
	req, err := decode[adminapi.BucketPoolRequest](body)
	if err != nil {
		return nil, err
	}
	if err := a.n.store.SetBucketPool(ctx, req.Bucket, req.Pool); err != nil {
		return nil, refusal(err)
	}
	if err := a.n.openPool(ctx, req.Pool); err != nil {
		return nil, err
	}
	a.n.heal.Kick()
	return adminapi.BucketPool(req), nil
}
