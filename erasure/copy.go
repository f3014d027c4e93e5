package erasure

import (
	"context"
	"fmt"
	"time"

	"github.com/sherd-io/sherd/disk"
)

// copyMoved takes the shards of slots that move from the owners before, as they are. Nothing is made: what is read is right by the checksums
// of its blocks, and costs one read where making it anew costs k. What cannot be copied is left to be made.
func (r *rebuilding) copyMoved(ctx context.Context) {
	for _, m := range r.made {
		if sl := r.pg.Slots[m.slot]; m.bad != nil || sl.Complete || sl.From.IsZero() {
			continue
		}
		if err := r.copy(ctx, m); err != nil {
			m.drop()
		}
	}
}

// copy copies m. Its error says why it could not be read; m.err why it could not be stored.
func (r *rebuilding) copy(ctx context.Context, m *making) error {
	from := r.s.opt.Drive(r.pg.Slots[m.slot].From)
	if from == nil || from.Health().State == disk.Failed {
		return fmt.Errorf("%w: %w", disk.ErrUnavailable, errAway)
	}
	rd, err := from.Open(ctx, r.ref.Chunk(m.slot), 0, int64(r.lay.Unit))
	if err != nil {
		return err
	}
	defer rd.Close()
	if !fits(r.lay, rd.Header(), rd.Footer(), m.slot) {
		return errUnfit
	}
	m.h = rd.Header()
	m.h.Epoch = r.pg.Epoch
	for i := 0; i < r.lay.Stripes() && m.err == nil && r.lay.UnitBytes(i, m.slot) > 0; i++ {
		began := time.Now()
		buf, err := rd.Read(ctx, r.lay.ShardOffset(i), int64(r.lay.UnitBytes(i, m.slot)))
		if err != nil {
			return err
		}
		n := int64(len(buf.B))
		m.err = r.keep(ctx, m, i, buf)
		buf.Release()
		if err := r.pace(ctx, n, time.Since(began)); err != nil {
			return err
		}
	}
	if m.err == nil {
		r.sealOne(ctx, m, rd.Footer())
	}
	return nil
}
