package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/sherd-io/sherd/internal/hlc"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta"
	"github.com/sherd-io/sherd/placement"
	"github.com/sherd-io/sherd/placement/store"
)

// Removing a pool is a saved plan. The order is in the map (placement.Pool.Removing): nothing begins to use the pool from then on. Then every
// range is told to refuse bodies in it, so that a write which began before does not commit into it. Then all rows are looked at: if one
// refers to the pool, the ranges take bodies in it again and the order is taken back; if there are only rows of dead bodies, these are
// waited for; if there are none, there never will be, and the pool goes. Each step may be done again, by whoever is elected then.

// removePools carries out the orders to remove pools.
func (p *planner) removePools(ctx context.Context, lead *store.Lead) {
	var due []*placement.Pool
	for _, pool := range p.n.store.Map().Pools {
		if pool.Removing {
			due = append(due, pool)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(due) == 0 || p.removing || floor(p.n.store.Map()) < levelPools {
		return
	}
	p.removing = true
	p.joins.Go(func() {
		for _, pool := range due {
			if err := p.removePool(ctx, lead, pool); err != nil && ctx.Err() == nil {
				p.n.log.Warn("a pool is removed later", "pool", pool.Name, "err", err)
			}
		}
		p.mu.Lock()
		p.removing = false
		p.mu.Unlock()
	})
}

func (p *planner) removePool(ctx context.Context, lead *store.Lead, pool *placement.Pool) error {
	n := p.n
	if err := n.records.ClosePool(ctx, pool.ID, false); err != nil {
		return err
	}
	use, err := n.poolUse(ctx, pool.ID)
	switch {
	case err != nil:
		return err
	case use.live != "":
		if err := n.records.ClosePool(ctx, pool.ID, true); err != nil {
			return err
		}
		return lead.KeepPool(ctx, pool.ID, use.live)
	case use.dead > 0:
		n.log.Debug("a pool waits for what is reclaimed", "pool", pool.Name, "bodies", use.dead)
		n.heal.KickReclaim()
		return nil // the planner looks again
	}
	if err := lead.RemovePool(ctx, pool.ID); err != nil {
		return err
	}
	n.log.Info("pool removed", "pool", pool.Name, "id", pool.ID)
	return nil
}

// poolUsage is what rows refer to in a pool.
type poolUsage struct {
	live string // one that is alive, for people; empty: none
	dead int    // bodies that wait to be deleted
}

// poolUse looks for rows of any range that refer to a pool, whose ranges take no more of them: of the living until the first is found.
// What is not sure is an error (I15).
func (n *Node) poolUse(ctx context.Context, pool ids.Pool) (use poolUsage, err error) {
	m := n.store.Map()
	for _, r := range m.Ranges {
		if use.live, err = n.liveIn(ctx, m, r, pool); err != nil || use.live != "" {
			return use, err
		}
	}
	for _, r := range m.Ranges { // after the living: what has died meanwhile is here
		dead, err := n.deadIn(ctx, r, pool)
		if err != nil {
			return use, err
		}
		use.dead += dead
	}
	if now := n.store.Map(); !slices.EqualFunc(m.Ranges, now.Ranges, sameSpan) {
		return use, errors.New("ranges have split meanwhile")
	}
	return use, nil
}

// sameSpan reports whether a range is as long as it was, and will be.
func sameSpan(was, is *placement.Range) bool {
	return was.ID == is.ID && bytes.Equal(was.End, is.End) && was.Splitting == nil && is.Splitting == nil
}

func (n *Node) liveIn(ctx context.Context, m *placement.Map, r *placement.Range, pool ids.Pool) (string, error) {
	for after := []byte(nil); ; {
		items, next, err := n.records.WalkWhole(ctx, r, after)
		if err != nil {
			return "", err
		}
		for i := range items {
			if e := items[i].Extent; ids.Pool(e.GetPool()) == pool && len(e.GetPgs()) > 0 {
				return describeUse(m, &items[i]), nil
			}
		}
		if after = next; next == nil {
			return "", nil
		}
	}
}

const deadPage = 1000 // rows

func (n *Node) deadIn(ctx context.Context, r *placement.Range, pool ids.Pool) (dead int, err error) {
	for after := []byte(nil); ; {
		rows, next, err := n.records.Reclaims(ctx, r.ID, hlc.Stamp(1<<64-1), after, deadPage)
		if err != nil {
			return dead, err
		}
		for _, row := range rows {
			if ids.Pool(row.GetExtent().GetPool()) == pool {
				dead++
			}
		}
		if after = next; next == nil {
			return dead, nil
		}
	}
}

// describeUse says for people what has a body in a pool.
func describeUse(m *placement.Map, item *meta.WalkItem) string {
	bucket := fmt.Sprintf("of bucket id %d", item.Bucket)
	if b := m.BucketByID(item.Bucket); b != nil {
		bucket = "of bucket " + b.Name
	}
	if item.TS == 0 {
		return fmt.Sprintf("a part of the unfinished upload of %q %s is in it: complete or abort it", item.Key, bucket)
	}
	return fmt.Sprintf("object %q %s is in it: if it is on its way to another pool, wait (`sherd bucket ls`)", item.Key, bucket)
}
