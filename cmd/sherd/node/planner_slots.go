package node

import (
	"context"
	"log/slog"
	"time"

	"github.com/sherd-io/sherd/placement"
	"github.com/sherd-io/sherd/placement/plan"
	"github.com/sherd-io/sherd/placement/store"
)

const (
	movesPerDrive = 8                      // slots in motion that one drive takes part in
	followEvery   = 200 * time.Millisecond // at most so often the planner looks again because the map changed
)

// moveSlots gives the slots of drives that are out new owners, and makes the next moves of drains and of balance.
func (p *planner) moveSlots(ctx context.Context, lead *store.Lead) error {
	m := p.n.store.Map()
	if m.Revision == p.settled {
		return nil
	}
	changes, level := plan.Lost(m), slog.LevelInfo
	if _, held := p.n.held(p.n.cfg.Now()); len(changes) == 0 {
		if held {
			return nil // what was restored may be wrong about who is there
		}
		if changes = plan.Moves(m, plan.Pace{PerDrive: movesPerDrive}); len(changes) == 0 {
			p.settled = m.Revision
			return nil
		}
		level = slog.LevelDebug // a few at a time, for hours
	}
	if err := lead.ApplyAll(ctx, changes); err != nil {
		return err
	}
	p.n.log.Log(ctx, level, "slots have new owners", "changes", len(changes), "first", changes[0].String())
	p.n.heal.Kick()
	return nil
}

// follow has the planner look whenever the map changed, until ctx ends: a move that is complete makes room for the next.
func (p *planner) follow(ctx context.Context) {
	for seen := int64(0); ctx.Err() == nil; pause(ctx, followEvery) {
		m, err := p.n.store.Wait(ctx, func(m *placement.Map) bool { return m.Revision > seen })
		if err != nil {
			return
		}
		seen = m.Revision
		p.n.dropRemoved(ctx)
		p.wake()
	}
}
