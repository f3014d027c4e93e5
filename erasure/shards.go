package erasure

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sherd-io/sherd/disk"
	"github.com/sherd-io/sherd/disk/chunk"
	"github.com/sherd-io/sherd/erasure/codec"
	"github.com/sherd-io/sherd/internal/bufpool"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/placement"
)

// errUnfit reports a chunk that is whole but does not belong to the blob: other code, length or checksum.
var errUnfit = fmt.Errorf("%w: chunk of another blob", disk.ErrCorrupt)

// errSpoils reports a chunk each block of which is right, and without which the blob has its checksum.
var errSpoils = fmt.Errorf("%w: it spoils the blob's checksum", disk.ErrCorrupt)

// errStale marks a chunk that is not there by a drive that knows a newer epoch than the map at hand: it may be elsewhere (I5).
var errStale = fmt.Errorf("%w: the map is older than what the drive knows of the group", disk.ErrEpoch)

// shards are the chunks of one blob, opened as they are needed. A slot that fails stays failed. Different slots may be
// used at the same time, one slot only by one goroutine at a time.
type shards struct {
	s     *Store
	ref   BlobRef
	m     *placement.Map
	pool  *placement.Pool
	pg    *placement.PG
	lay   codec.Layout
	codec *codec.Codec
	slots []shard
	mute  bool // faults are not reported when they are met: the caller deals with them
	pace  Pace // of each; not of stripe

	by      time.Time // until when other nodes are waited for; zero: each as long as it takes
	patient bool      // slow slots are waited for
	stuck   bool      // no newer map is to be had: stale slots are done without
}

type shard struct {
	r     Reader
	err   error     // why it cannot be read; nil if it can, or was not tried
	drive ids.Drive // that err or r is of
	far   bool      // the owner is another node's drive
	quiet bool      // the fault is expected, or reported already
}

// open prepares to read ref, by the newest map. It asks no drive yet.
func (s *Store) open(ref BlobRef) (*shards, error) {
	m := s.opt.Map()
	pool, pg, err := group(m, ref.Pool, ref.PG)
	if err != nil {
		return nil, err
	}
	c, err := s.codec(pool)
	if err != nil {
		return nil, err
	}
	return &shards{s: s, ref: ref, m: m, pool: pool, pg: pg, lay: layout(pool, ref.Size), codec: c, slots: make([]shard, pool.N()), pace: unhurried}, nil
}

// byNewest calls fn with ref's shards, whose faults are not reported; again if it, or a drive, says that the map is outdated and a newer
// one is there (I5).
func (s *Store) byNewest(ctx context.Context, ref BlobRef, fn func(*shards) (outdated bool, err error)) error {
	for try := 1; ; try++ {
		b, err := s.open(ref)
		if err != nil {
			return err
		}
		b.mute = true
		outdated, err := fn(b)
		b.close()
		if !outdated && !b.stale() || try == epochTries || !s.Renewed(ctx, ref.Pool, ref.PG, b.pg.Epoch) {
			return err
		}
	}
}

// close closes every chunk.
func (b *shards) close() {
	for i := range b.slots {
		if r := b.slots[i].r; r != nil {
			r.Close()
			b.slots[i].r = nil
		}
	}
}

// read returns bytes [off, off+n) of slot's shard, verified. It reports a fault once.
func (b *shards) read(p *patience, slot int, off, n int64) (*bufpool.Buf, error) {
	sh := &b.slots[slot]
	if sh.err != nil {
		return nil, sh.err
	}
	if sh.r == nil {
		sh.far = b.s.far(b.pg.Slots[slot].Drive)
	}
	ctx, began := p.of(sh.far), time.Now()
	if sh.r == nil {
		if err := b.find(ctx, slot, off, n); err != nil {
			return nil, b.fail(ctx, slot, err)
		}
	}
	buf, err := sh.r.Read(ctx, off, n)
	if err != nil {
		return nil, b.fail(ctx, slot, b.judge(sh.drive, err))
	}
	if sh.far {
		b.s.usual.note(time.Since(began))
	}
	return buf, nil
}

// far reports another node's drive.
func (s *Store) far(id ids.Drive) bool {
	d := s.opt.Drive(id)
	return d != nil && d.Remote()
}

// judge gives what a drive's error means: that it does not have a chunk says nothing if it knows a newer epoch (I5).
func (b *shards) judge(id ids.Drive, err error) error {
	if !absent(err) {
		return err
	}
	if d := b.s.opt.Drive(id); d != nil && d.Epoch(b.ref.Pool, b.ref.PG) > b.pg.Epoch {
		return fmt.Errorf("%w: %v", errStale, err)
	}
	return err
}

// absent reports an answer that there is no such chunk.
func absent(err error) bool {
	return errors.Is(err, disk.ErrNotFound) || errors.Is(err, disk.ErrDeleted)
}

// stale reports that some drive knew a newer epoch.
func (b *shards) stale() bool {
	return slices.ContainsFunc(b.slots, func(sh shard) bool { return errors.Is(sh.err, errStale) })
}

// find opens slot's chunk, to read bytes [off, off+n) first, on its owner, or on the owner before while the slot moves.
func (b *shards) find(ctx context.Context, slot int, off, n int64) error {
	sl, sh := b.pg.Slots[slot], &b.slots[slot]
	err := b.openOn(ctx, slot, sl.Drive, off, n)
	if err == nil {
		return nil
	}
	if errors.Is(err, disk.ErrNotFound) && !sl.Complete {
		sh.quiet = true // the healer is at it
	}
	if !sl.From.IsZero() && b.openOn(ctx, slot, sl.From, off, n) == nil {
		return nil
	}
	sh.drive = sl.Drive
	return err
}

func (b *shards) openOn(ctx context.Context, slot int, id ids.Drive, off, n int64) error {
	b.slots[slot].drive = id
	d := b.s.opt.Drive(id)
	if d == nil || d.Health().State == disk.Failed {
		return fmt.Errorf("%w: %w", disk.ErrUnavailable, errAway)
	}
	r, err := d.Open(ctx, b.ref.Chunk(slot), off, n)
	if err != nil {
		return b.judge(id, err)
	}
	if !fits(b.lay, r.Header(), r.Footer(), slot) {
		r.Close()
		return errUnfit
	}
	b.slots[slot].r = r
	return nil
}

// fits reports whether a chunk can be the slot of a blob with layout l.
func fits(l codec.Layout, h chunk.Header, f chunk.Footer, slot int) bool {
	return int(h.K) == l.K && int(h.M) == l.M && int(h.UnitBytes) == l.Unit &&
		f.BlobBytes == uint64(l.Size) && f.ShardBytes == uint64(l.ShardBytes(slot))
}

// fail notes that slot cannot be read, and tells the healer.
func (b *shards) fail(ctx context.Context, slot int, err error) error {
	sh := &b.slots[slot]
	if ctx.Err() != nil && cancelled(err) {
		return err // says nothing of the drive
	}
	sh.err = err
	if sh.r != nil {
		sh.r.Close()
		sh.r = nil
	}
	if !b.mute {
		b.report(slot)
	}
	return err
}

// report tells the healer, once, why slot cannot be read.
func (b *shards) report(slot int) {
	sh := &b.slots[slot]
	if sh.quiet || errors.Is(sh.err, errStale) {
		return
	}
	sh.quiet = true
	bad := BadShard{Kind: kindOf(sh.err), Drive: sh.drive, Ref: b.ref, Slot: uint8(slot), Err: sh.err}
	if errors.Is(sh.err, errSpoils) {
		bad.Kind, bad.Slot = Unsound, 0
	}
	b.s.opt.Report(bad)
}

func kindOf(err error) Kind {
	switch {
	case absent(err):
		return Missing
	case errors.Is(err, disk.ErrCorrupt):
		return Corrupt
	}
	return Unavailable
}

// footer is that of most of the open chunks; false if none is open.
func (b *shards) footer() (best chunk.Footer, ok bool) {
	most := 0
	for i := range b.slots {
		if b.slots[i].r == nil {
			continue
		}
		f, votes := b.slots[i].r.Footer(), 0
		for j := range b.slots {
			if b.slots[j].r != nil && b.slots[j].r.Footer().BlobSum == f.BlobSum {
				votes++
			}
		}
		if votes > most {
			best, most = f, votes
		}
	}
	return best, most > 0
}

// any is some open chunk's header; false if none is open.
func (b *shards) any() (chunk.Header, bool) {
	for i := range b.slots {
		if r := b.slots[i].r; r != nil {
			return r.Header(), true
		}
	}
	return chunk.Header{}, false
}

// unreadable says that the slots that failed are too many.
func (b *shards) unreadable() error {
	e := &UnreadableError{Ref: b.ref, Need: b.lay.K, Errs: make([]error, len(b.slots)), Lost: true}
	for i := range b.slots {
		e.Errs[i] = b.slots[i].err
		if e.Errs[i] != nil && kindOf(e.Errs[i]) == Unavailable {
			e.Lost = false
		}
	}
	return e
}

// rank orders slots by how much one would like to read them: usable ones of drives that are up first.
func (b *shards) rank(slot int) grade {
	if b.slots[slot].r != nil {
		return gradeUp
	}
	d := b.m.Drives[b.pg.Slots[slot].Drive]
	switch {
	case !d.Up():
		return gradeLost
	case d.State == placement.DriveSuspect:
		return gradeWeak
	}
	return gradeUp
}
