package heal

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sherd-io/sherd/erasure"
	"github.com/sherd-io/sherd/internal/hlc"
	"github.com/sherd-io/sherd/placement"
)

// Reclaim makes one pass over the reclaim rows of this process's ranges that died below the read mark (I13): deletes the chunks, then the rows. Of rows that
// cannot be reclaimed yet it tries a bounded number; the next pass goes on behind them.
//
// Errors: ctx's; else the first of those that left a row, which the next pass tries again.
func (h *Healer) Reclaim(ctx context.Context) (first error) {
	h.reclaiming.Lock()
	defer h.reclaiming.Unlock()
	if h.opt.Held() {
		return nil
	}
	for _, r := range h.ranges() {
		below, ok := h.opt.ReadMark(ctx, r.ID)
		if !ok {
			continue // a gateway has not said yet
		}
		if err := h.reclaimRange(ctx, r, below); err != nil && first == nil {
			first = fmt.Errorf("reclaim rows of range %d: %w", r.ID, err)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return first
}

// reclaimRange goes on where the last pass stopped, to the end of the rows. h.reclaiming is held.
func (h *Healer) reclaimRange(ctx context.Context, r *placement.Range, below hlc.Stamp) (failed error) {
	after := h.reclaimFrom[r.ID]
	for stuck := 0; stuck < h.opt.StuckMax && ctx.Err() == nil; {
		rows, next, err := h.opt.Records.Reclaims(ctx, r, below, after, h.opt.Page)
		if err != nil {
			return err
		}
		done, err := h.deleteExtents(ctx, rows)
		if err != nil {
			failed = err
		}
		if len(done) > 0 {
			if err := h.opt.Records.AckReclaim(ctx, done); err != nil {
				return err
			}
			h.counts.reclaimed.Add(int64(len(done)))
		}
		h.reclaimFrom[r.ID] = next
		if next == nil {
			break
		}
		after = next
		stuck += len(rows) - len(done)
	}
	return errors.Join(failed, ctx.Err())
}

// deleteExtents deletes the chunks of rows and gives the rows of which nothing is left.
func (h *Healer) deleteExtents(ctx context.Context, rows []Reclaim) (done []Reclaim, failed error) {
	var refs []erasure.BlobRef
	for _, row := range rows {
		if row.Bad != nil {
			h.badRow(row.Home, row.Bad)
		}
		for i := range row.Extent.PGs {
			refs = append(refs, row.Extent.Blob(i))
		}
	}
	errs := h.opt.Store.DeleteAll(ctx, refs)
	for _, row := range rows {
		n := len(row.Extent.PGs)
		if err := errors.Join(append(errs[:n:n], row.Bad)...); err == nil {
			done = append(done, row)
		} else {
			h.counts.reclaimFailed.Add(1)
			failed = err
		}
		errs = errs[n:]
	}
	return done, failed
}

// Collect makes every range refuse commits of uploads older than GarbageAge (I6) and gives the stamp below which that
// holds in all of them.
func (h *Healer) Collect(ctx context.Context) (hlc.Stamp, error) {
	closed := h.opt.Clock.Now().Add(-h.opt.GarbageAge)
	for _, r := range h.opt.Map().Ranges {
		if err := h.opt.Records.RaiseClosed(ctx, r, closed); err != nil {
			return 0, fmt.Errorf("close range %d: %w", r.ID, err)
		}
	}
	return closed, nil
}

// collectAndExpire ends quarantine only while every range answers: what lies there may be all that is left of one that does
// not (I15).
func (h *Healer) collectAndExpire(ctx context.Context) {
	if _, err := h.Collect(ctx); err != nil {
		h.log.Debug("collect", "err", err) // tried again
		return
	}
	h.expire(ctx)
}

// collectLoop closes the ranges to old uploads, and ends quarantine.
func (h *Healer) collectLoop(ctx context.Context) error {
	t := time.NewTicker(h.opt.CollectEvery)
	defer t.Stop()
	for {
		h.collectAndExpire(ctx)
		select {
		case <-t.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
