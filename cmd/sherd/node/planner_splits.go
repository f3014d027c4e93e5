package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta"
	"github.com/sherd-io/sherd/placement/store"
)

// splitWithin is for one split; it goes on where it stopped.
const splitWithin = 5 * time.Minute

// splitRanges orders the splits that ranges led here want, and carries out those that are ordered (I20): each has steps that are
// saved in the directory and in the range's log, so that the next look, of whoever leads the range then, goes on after a crash.
func (p *planner) splitRanges(ctx context.Context) error {
	n := p.n
	var errs []error
	for _, w := range n.records.SplitsWanted(ctx) {
		if err := n.store.OrderSplit(ctx, w.Range, w.At); err != nil {
			errs = append(errs, notConflict(err))
			continue
		}
		n.log.Info("range is to split", "range", uint64(w.Range.ID), "why", w.Why)
	}
	for _, r := range n.store.Map().Ranges {
		if r.Splitting != nil && n.records.Leads(r.ID) {
			p.startSplit(ctx, r.ID)
		}
	}
	return errors.Join(errs...)
}

// startSplit carries out an ordered split in its own time: it takes as long as counting rows does.
func (p *planner) startSplit(ctx context.Context, id ids.Range) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.splits[id] {
		return
	}
	p.splits[id] = true
	p.joins.Go(func() {
		within, cancel := context.WithTimeout(ctx, splitWithin)
		defer cancel()
		err := p.split(within, id)
		p.mu.Lock()
		delete(p.splits, id)
		p.mu.Unlock()
		switch {
		case err == nil:
			p.wake() // there may be more to do
		case ctx.Err() == nil && !errors.Is(err, store.ErrConflict) && !errors.Is(err, meta.ErrNotLeading):
			p.n.log.Warn("a range splits later", "err", err)
		}
	})
}

// split makes the split that the directory orders, and records it.
func (p *planner) split(ctx context.Context, id ids.Range) error {
	n := p.n
	begun := time.Now()
	if err := n.records.Split(ctx, id); err != nil {
		return fmt.Errorf("range %d: %w", id, err)
	}
	row := rangeOf(n.store.Map(), id)
	if row == nil || row.Splitting == nil {
		return nil // another process has recorded it
	}
	if err := n.store.ApplySplit(ctx, row); err != nil {
		return err
	}
	n.log.Info("range has split", "range", uint64(id), "child", uint64(row.Splitting.Child), "took", time.Since(begun).Round(time.Millisecond))
	return nil
}
