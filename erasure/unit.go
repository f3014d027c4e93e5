package erasure

import (
	"context"
	"io"
	"time"

	"github.com/sherd-io/sherd/disk"
	"github.com/sherd-io/sherd/erasure/codec"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/placement"
)

// readUnit is Read of a range inside one unit, such as a whole small body: one drive, no goroutine, next to no memory. If
// it is another range, or anything at all is wrong, it has sent nothing and is not done: the long way finds out what. Another node is waited
// for until by at most.
func (s *Store) readUnit(ctx context.Context, e Extent, off, n int64, by time.Time, w io.Writer) (sent int64, done bool, err error) {
	i := int(off / e.BlobBytes)
	ref := e.Blob(i)
	m := s.opt.Map()
	pool, pg, err := group(m, ref.Pool, ref.PG)
	if err != nil {
		return 0, true, err
	}
	lay := layout(pool, ref.Size)
	at := off - int64(i)*e.BlobBytes
	stripe := lay.StripeOf(at)
	in := at - lay.StripeStart(stripe)
	u := int64(lay.UnitLen(stripe))
	slot := int(in / u)
	in -= int64(slot) * u
	if in+n > int64(lay.UnitBytes(stripe, slot)) {
		return 0, false, nil
	}
	request, far, began := ctx, s.far(pg.Slots[slot].Drive), time.Now()
	if far && s.parityAtHand(m, pg, lay, stripe, n) {
		return 0, false, nil
	}
	p := s.impatient(request, lay.M, by)
	defer p.cancel()
	ctx = p.of(far)
	in += lay.ShardOffset(stripe)
	rd := s.openUnit(ctx, m, pg, lay, ref.Chunk(slot), in, n)
	if rd == nil {
		return 0, request.Err() != nil, request.Err()
	}
	defer rd.Close()
	buf, err := rd.Read(ctx, in, n)
	if err != nil {
		return 0, false, nil
	}
	defer buf.Release()
	if far {
		s.usual.note(time.Since(began))
	}
	if n == ref.Size && sumBytes(buf.B) != rd.Footer().BlobSum { // I22
		return 0, false, nil
	}
	k, err := w.Write(buf.B)
	return int64(k), true, err
}

// openUnit opens key's chunk on the owner of its slot, to read bytes [off, off+n), or gives nil.
func (s *Store) openUnit(ctx context.Context, m *placement.Map, pg *placement.PG, lay codec.Layout, key ids.Chunk, off, n int64) Reader {
	id := pg.Slots[key.Slot].Drive
	if d := m.Drives[id]; d == nil || d.State != placement.DriveUp {
		return nil
	}
	drive := s.opt.Drive(id)
	if drive == nil || drive.Health().State == disk.Failed {
		return nil
	}
	rd, err := drive.Open(ctx, key, off, n)
	if err != nil {
		return nil
	}
	if !fits(lay, rd.Header(), rd.Footer(), int(key.Slot)) {
		rd.Close()
		return nil
	}
	return rd
}
