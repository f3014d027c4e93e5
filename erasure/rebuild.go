package erasure

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/sherd-io/sherd/disk"
	"github.com/sherd-io/sherd/disk/chunk"
	"github.com/sherd-io/sherd/internal/bufpool"
)

// Rebuild makes the named slots of ref and stores them on their present owners. What an owner holds already, whole, is
// left alone. Nothing is sealed, nor a damaged chunk put in quarantine, before the whole blob had its checksum without
// them (I22); while it does not, other shards are tried.
//
// Errors: ErrUnavailable, ErrLost, ErrCorrupt of the blob; else those of the owners, joined.
func (s *Store) Rebuild(ctx context.Context, ref BlobRef, slots []uint8) error {
	return s.mend(ctx, ref, slots, false, unhurried)
}

// Replace is Rebuild of slots that are known to be wrong although each block of them confirms its checksum, as
// VerifyBlob finds them.
func (s *Store) Replace(ctx context.Context, ref BlobRef, slots []uint8) error {
	return s.mend(ctx, ref, slots, true, unhurried)
}

func (s *Store) mend(ctx context.Context, ref BlobRef, slots []uint8, wrong bool, pace Pace) error {
	errs, err := s.rebuild(ctx, ref, slots, wrong, pace)
	return errors.Join(append(errs, err)...)
}

// rebuild is Rebuild with the owners' errors by slot. wrong: the slots are made whatever their owners hold.
func (s *Store) rebuild(ctx context.Context, ref BlobRef, slots []uint8, wrong bool, pace Pace) (errs []error, err error) {
	err = s.byNewest(ctx, ref, func(b *shards) (outdated bool, err error) {
		b.pace = pace
		errs, err = b.remake(ctx, slots, wrong)
		if errors.Join(append(errs, err)...) == nil {
			b.reportOthers(slots)
		}
		return slices.ContainsFunc(errs, func(err error) bool { return errors.Is(err, disk.ErrEpoch) }), err
	})
	return errs, err
}

// reportOthers tells the healer of slots in whose place others had to be read: perhaps nobody else looks at them for weeks. It is for where
// all of made is: slots that cannot be, and are tried because they were reported, would report each other for ever.
func (b *shards) reportOthers(made []uint8) {
	for slot := range b.slots {
		if b.slots[slot].err != nil && !slices.Contains(made, uint8(slot)) {
			b.report(slot)
		}
	}
}

func (b *shards) remake(ctx context.Context, slots []uint8, wrong bool) (errs []error, err error) {
	r := &rebuilding{shards: b, avoid: make([]bool, len(b.slots))}
	defer r.abort()
	errs = make([]error, len(slots))
	for i, slot := range slots {
		if int(slot) >= len(b.slots) {
			return nil, fmt.Errorf("%w: slot %d of %d", ErrNoPool, slot, len(b.slots))
		}
		errs[i] = r.add(ctx, int(slot), wrong)
	}
	r.copyMoved(ctx)
	if slices.ContainsFunc(r.made, func(m *making) bool { return m.err == nil && !m.sealed }) {
		if err := r.run(ctx); err != nil {
			return nil, err
		}
	}
	for i, slot := range slots {
		for _, m := range r.made {
			if m.slot == int(slot) {
				errs[i] = m.err
			}
		}
	}
	return errs, nil
}

// rebuilding is one blob's Rebuild.
type rebuilding struct {
	*shards
	made  []*making
	avoid []bool // slots that are not read: they are to be made
}

// making is one slot being made.
type making struct {
	slot   int
	drive  Drive
	h      chunk.Header
	w      Writer         // of a long shard
	units  []*bufpool.Buf // of a short one
	sealed bool
	bad    error // what is stored now, and must go to quarantine first
	err    error
}

// add looks at what slot's owner has, and plans to make what it lacks.
func (r *rebuilding) add(ctx context.Context, slot int, wrong bool) error {
	if !r.lay.Stored(slot) || r.avoid[slot] {
		return nil
	}
	drive := r.s.opt.Drive(r.pg.Slots[slot].Drive)
	if drive == nil {
		return fmt.Errorf("%w: %w", disk.ErrUnavailable, errAway)
	}
	m := &making{slot: slot, drive: drive}
	switch err := r.judge(r.pg.Slots[slot].Drive, r.s.probe(ctx, drive, r.shards, slot)); {
	case err == nil && !wrong:
		return nil
	case err == nil:
		m.bad = errUnfit
	case errors.Is(err, disk.ErrCorrupt):
		m.bad = err
	case !errors.Is(err, disk.ErrNotFound):
		return err
	}
	r.avoid[slot] = true
	r.made = append(r.made, m)
	return nil
}

// probe reads all of slot's chunk on drive.
func (s *Store) probe(ctx context.Context, drive Drive, b *shards, slot int) error {
	rd, err := drive.Open(ctx, b.ref.Chunk(slot), 0, int64(b.lay.Unit))
	if err != nil {
		return err
	}
	defer rd.Close()
	if !fits(b.lay, rd.Header(), rd.Footer(), slot) {
		return errUnfit
	}
	for off, n := int64(0), rd.Size(); off < n; off += int64(b.lay.Unit) {
		buf, err := rd.Read(ctx, off, min(int64(b.lay.Unit), n-off))
		if err != nil {
			return err
		}
		buf.Release()
	}
	return nil
}

// run makes the slots; a second time, if shards that spoil the checksum were found.
func (r *rebuilding) run(ctx context.Context) error {
	if err := r.isolate(ctx); err != nil {
		return err
	}
	for try := 0; ; try++ {
		sum, err := r.pass(ctx)
		if err != nil {
			return err
		}
		if f, ok := r.footer(); ok && f.BlobSum == sum {
			r.seal(ctx, f)
			return nil
		}
		r.abort()
		if try > 0 {
			return fmt.Errorf("%w: %v", ErrCorrupt, r.ref.Blob)
		}
		if err := r.search(ctx, r.avoid); err != nil {
			return err
		}
	}
}

// isolate puts damaged chunks in quarantine, once the blob has its checksum without them.
func (r *rebuilding) isolate(ctx context.Context) error {
	if !slices.ContainsFunc(r.made, func(m *making) bool { return m.bad != nil }) {
		return nil
	}
	sum, err := r.each(ctx, r.avoid, nil, nil)
	if err != nil {
		return err
	}
	if f, ok := r.footer(); !ok || f.BlobSum != sum {
		if err := r.search(ctx, r.avoid); err != nil {
			return err
		}
	}
	for _, m := range r.made {
		if m.bad != nil {
			m.err = m.drive.Quarantine(ctx, r.ref.Chunk(m.slot), m.bad.Error())
		}
	}
	return nil
}

// pass reads the blob, makes the wanted slots and writes them, short of sealing. It gives the blob's checksum.
func (r *rebuilding) pass(ctx context.Context) ([16]byte, error) {
	wanted := make([]bool, len(r.slots))
	for _, m := range r.made {
		wanted[m.slot] = !m.sealed
	}
	return r.each(ctx, r.avoid, wanted, func(got *stripeRead) error {
		for _, m := range r.made {
			if m.err == nil && !m.sealed {
				m.err = r.put(ctx, m, got.i, got.bufs)
			}
		}
		return nil
	})
}

// put takes stripe i's unit of m.
func (r *rebuilding) put(ctx context.Context, m *making, i int, units []*bufpool.Buf) error {
	if r.lay.UnitBytes(i, m.slot) == 0 {
		return nil
	}
	if i == 0 {
		h, _ := r.any()
		h.Key, h.Epoch = r.ref.Chunk(m.slot), r.pg.Epoch
		m.h = h
	}
	return r.keep(ctx, m, i, units[m.slot])
}

// keep keeps stripe i's unit of a short shard, and writes that of a long one.
func (r *rebuilding) keep(ctx context.Context, m *making, i int, unit *bufpool.Buf) error {
	if r.lay.ShardBytes(m.slot) <= r.s.opt.wholeMax {
		unit.Retain()
		m.units = append(m.units, unit)
		return nil
	}
	if i == 0 {
		w, err := m.drive.Create(ctx, m.h, r.lay.ShardBytes(m.slot))
		if err != nil {
			return err
		}
		m.w = w
	}
	return m.w.Write(ctx, unit.B[:r.lay.UnitBytes(i, m.slot)])
}

func (r *rebuilding) seal(ctx context.Context, f chunk.Footer) {
	for _, m := range r.made {
		if m.err == nil && !m.sealed {
			r.sealOne(ctx, m, f)
		}
	}
}

func (r *rebuilding) sealOne(ctx context.Context, m *making, f chunk.Footer) {
	f.ShardBytes = uint64(r.lay.ShardBytes(m.slot))
	if m.w != nil {
		m.err = m.w.Seal(ctx, f)
	} else {
		m.err = r.store(ctx, m, f)
	}
	if errors.Is(m.err, disk.ErrExists) { // somebody else was faster, or it is other content
		m.err = r.s.probe(ctx, m.drive, r.shards, m.slot)
	}
	m.sealed = m.err == nil
}

// store puts a short shard.
func (r *rebuilding) store(ctx context.Context, m *making, f chunk.Footer) error {
	units, bufs := make([][]byte, len(m.units)), m.units
	for i, buf := range bufs {
		units[i] = buf.B[:r.lay.UnitBytes(i, m.slot)]
	}
	m.units = nil
	done := make(chan error, 1)
	m.drive.Put(m.h, units, f, func(err error) {
		for _, buf := range bufs {
			buf.Release()
		}
		done <- err
	})
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// abort drops what is not sealed.
func (r *rebuilding) abort() {
	for _, m := range r.made {
		m.drop()
	}
}

func (m *making) drop() {
	if m.w != nil {
		m.w.Abort()
		m.w = nil
	}
	for _, buf := range m.units {
		buf.Release()
	}
	m.units = nil
}
