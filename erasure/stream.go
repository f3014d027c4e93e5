package erasure

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/zeebo/xxh3"

	"github.com/sherd-io/sherd/disk"
	"github.com/sherd-io/sherd/erasure/codec"
)

// stream stores one long blob stripe by stripe: a goroutine a slot, and a window of Options.Stripes between the
// fastest and the slowest.
type stream struct {
	*attempt
	t     *Target
	codec *codec.Codec
	lanes []*lane
	sum   [16]byte
	moved chan struct{} // some lane advanced; holds one

	mu      sync.Mutex // guards the lanes' progress, and
	renewed bool       // some lane met a newer epoch: the verdict is by the newest map
}

// lane writes one slot's shard.
type lane struct {
	st     *stream
	slot   int
	epoch  uint64       // under which the shard is written; only run looks
	in     chan *stripe // in order; room for the whole window, so that sends never block; closed after the last
	cancel context.CancelFunc

	// Under st.mu.
	done    int       // stripes written or dropped
	ended   bool      // the goroutine has nothing more to say
	gaveUp  bool      // nobody listens any more
	err     error     // why the shard is not stored
	advance time.Time // of the last change
}

// startStream opens the lanes of a blob. The caller must call finish or abort.
func (s *Store) startStream(ctx context.Context, t *Target, ref BlobRef, v *view) (*stream, error) {
	a, err := s.newAttempt(v, ref)
	if err != nil {
		return nil, err
	}
	c, err := s.codec(a.pool)
	if err != nil {
		return nil, err
	}
	st := &stream{attempt: a, t: t, codec: c, moved: make(chan struct{}, 1)}
	for i := range a.slots {
		if !a.asked(i) {
			continue
		}
		ctx, cancel := context.WithCancel(ctx)
		ln := &lane{st: st, slot: i, epoch: a.pg.Epoch, in: make(chan *stripe, s.opt.Stripes), cancel: cancel, advance: time.Now()}
		st.lanes = append(st.lanes, ln)
		s.bg.Add(1)
		go ln.run(ctx)
	}
	return st, nil
}

// pump reads the blob from f and hands its stripes to the lanes.
func (st *stream) pump(ctx context.Context, f *feed) error {
	h := xxh3.New()
	for i := range st.lay.Stripes() {
		if err := f.settle(st.s.opt.Stripes - 1); err != nil {
			return err
		}
		if err := st.await(ctx, func(ln *lane) bool { return ln.ended || i-ln.done < st.s.opt.Stripes }); err != nil {
			return err
		}
		if err := st.hopeless(); err != nil {
			return err
		}
		if err := st.push(ctx, f, h, i); err != nil {
			return err
		}
	}
	st.sum = sumOf(h)
	for _, ln := range st.lanes {
		close(ln.in) // the lane seals: st.sum is set
	}
	return nil
}

func (st *stream) push(ctx context.Context, f *feed, h *xxh3.Hasher, i int) error {
	sp := newStripe(st.s.opt.Buffers, st.codec, st.lay, i)
	defer sp.release()
	if err := f.fill(ctx, sp, st.codec, st.lay, i); err != nil {
		return err
	}
	h.Write(sp.data.B[:st.lay.StripeBytes(i)])
	for _, ln := range st.lanes {
		if !st.over(ln) {
			sp.retain()
			ln.in <- sp
		}
	}
	return nil
}

func (st *stream) over(ln *lane) bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return ln.gaveUp
}

// finish waits for the seals, retries what the epoch spoilt, and gives the slots that were missed.
func (st *stream) finish(ctx context.Context) ([]uint8, error) {
	defer st.stop()
	if err := st.await(ctx, func(ln *lane) bool { return ln.ended }); err != nil {
		st.note()
		st.discard()
		return nil, err
	}
	st.note()
	st.accuse()
	if st.renewed {
		return st.mend(ctx)
	}
	missed, err := st.verdict()
	if err != nil {
		st.discard()
	}
	return missed, err
}

// mend completes, under the newest epoch, a blob whose bytes are gone from memory: what the drives that are still owners
// hold must be enough to make the rest.
func (st *stream) mend(ctx context.Context) ([]uint8, error) {
	st.s.view.Store(nil)
	a, err := st.s.newAttempt(st.s.current(), st.ref)
	if err != nil {
		st.discard()
		return nil, err
	}
	a.keep(st.attempt)
	var slots []uint8
	for i := range a.slots {
		if a.asked(i) {
			slots = append(slots, uint8(i))
		}
	}
	var errs []error
	if len(slots) > 0 {
		errs, err = st.s.rebuild(ctx, st.ref, slots, false, unhurried)
	}
	if err != nil {
		a.discard()
		return nil, fmt.Errorf("%w: %v", ErrNoQuorum, err)
	}
	for j, i := range slots {
		a.slots[i].stored, a.slots[i].err = errs[j] == nil, errs[j]
	}
	a.accuse()
	missed, err := a.verdict()
	if err != nil {
		a.discard()
	}
	return missed, err
}

// abort drops a blob that was not pumped to its end.
func (st *stream) abort() {
	st.stop() // first, so that no lane seals
	for _, ln := range st.lanes {
		close(ln.in)
	}
	st.abandon()
}

// abandon drops a blob that was pumped to its end, or is aborted.
func (st *stream) abandon() {
	st.stop()
	// A lane that is inside a call ends by its cancelled context; one that does not is awaited by Store.Close.
	st.await(context.Background(), func(ln *lane) bool { return ln.ended })
	st.note()
	st.discard()
}

func (st *stream) stop() {
	for _, ln := range st.lanes {
		ln.cancel()
	}
}

// hopeless reports that too many lanes have failed for the blob to be acknowledged.
func (st *stream) hopeless() error {
	st.note()
	lost := 0
	for i := range st.slots {
		sl := &st.slots[i]
		if sl.err == nil {
			continue
		}
		if sl.grade == gradeUp && refused(sl.err) && !st.stale() {
			return refusal(sl.err)
		}
		lost++
	}
	if need := st.s.need(st.pool); len(st.slots)-lost < need {
		st.accuse()
		return st.quorumError(need, len(st.slots)-lost)
	}
	return nil
}

// await blocks until ok holds for every lane, giving up those that make no progress for AckTimeout, and, once the
// others are there, those on drives that count as lost anyhow.
func (st *stream) await(ctx context.Context, ok func(*lane) bool) error {
	var timer *time.Timer
	for start := time.Now(); ; {
		rest := st.lag(ok, start)
		if rest == 0 {
			return nil
		}
		if timer == nil {
			timer = time.NewTimer(rest)
			defer timer.Stop()
		} else {
			timer.Reset(rest)
		}
		select {
		case <-st.moved:
		case <-timer.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// lag gives up lanes that are too late, and says how long the latest of the others may still take; 0 if all are there.
func (st *stream) lag(ok func(*lane) bool, start time.Time) (rest time.Duration) {
	st.mu.Lock()
	defer st.mu.Unlock()
	patience, good, firm := st.s.opt.AckTimeout, 0, false
	for i := range st.slots {
		if st.slots[i].skip {
			good++
		}
	}
	for _, ln := range st.lanes {
		late := !ln.gaveUp && !ok(ln)
		firm = firm || late && st.slots[ln.slot].grade == gradeUp
		if !late && !ln.gaveUp && ln.err == nil {
			good++
		}
	}
	if !firm && good >= st.s.need(st.pool) {
		patience = st.s.opt.SuspectWait
	}
	now := time.Now()
	for _, ln := range st.lanes {
		if ln.gaveUp || ok(ln) {
			continue
		}
		since := ln.advance
		if since.Before(start) {
			since = start
		}
		left := patience - now.Sub(since)
		if left <= 0 {
			ln.give(errSilent)
			ln.cancel()
			continue
		}
		if rest == 0 || left < rest {
			rest = left
		}
	}
	return rest
}

// give stops listening to ln. st.mu is held.
func (ln *lane) give(err error) {
	ln.gaveUp = true
	if ln.err == nil && !ln.ended {
		ln.err = err
	}
}

// note copies what became of the lanes to the slots.
func (st *stream) note() {
	st.mu.Lock()
	defer st.mu.Unlock()
	for _, ln := range st.lanes {
		sl := &st.slots[ln.slot]
		sl.err = ln.err
		sl.stored = ln.ended && ln.err == nil
	}
}

// run writes the stripes that arrive, then seals. After a failure it only drains.
func (ln *lane) run(ctx context.Context) {
	defer ln.st.s.bg.Done()
	st, sl := ln.st, &ln.st.slots[ln.slot]
	var w Writer
	err := ln.underNewest(ctx, func(epoch uint64) (err error) {
		w, err = sl.drive.Create(ctx, st.t.header(st.pool, st.ref, ln.slot, epoch), st.lay.ShardBytes(ln.slot))
		return err
	})
	if err != nil {
		ln.step(0, err)
	}
	i := 0
	for sp := range ln.in {
		if u := sp.units[ln.slot][:st.lay.UnitBytes(i, ln.slot)]; err == nil && len(u) > 0 {
			err = w.Write(ctx, u)
		}
		sp.release()
		i++
		ln.step(1, err)
	}
	if err == nil && i == st.lay.Stripes() {
		err = ln.underNewest(ctx, func(epoch uint64) error {
			w.Renew(epoch)
			return w.Seal(ctx, st.footer(st.sum, ln.slot))
		})
	} else if err == nil {
		err = context.Canceled
	}
	if err != nil && w != nil {
		w.Abort()
	}
	ln.end(err)
}

// underNewest calls fn with the group's epoch; if the drive knows a newer one, again with that, as long as the slot is
// still the drive's own (I5).
func (ln *lane) underNewest(ctx context.Context, fn func(epoch uint64) error) error {
	st := ln.st
	for try := 1; ; try++ {
		err := fn(ln.epoch)
		if !errors.Is(err, disk.ErrEpoch) {
			return err
		}
		st.mu.Lock()
		st.renewed = true
		st.mu.Unlock()
		if try == epochTries {
			return err
		}
		st.s.awaitEpoch(ctx, st.ref, ln.epoch)
		_, pg, gone := group(st.s.opt.Map(), st.ref.Pool, st.ref.PG)
		if gone != nil || pg.Epoch <= ln.epoch || pg.Slots[ln.slot].Drive != st.slots[ln.slot].owner {
			return err
		}
		ln.epoch = pg.Epoch
	}
}

func (ln *lane) step(stripes int, err error) {
	ln.st.mu.Lock()
	ln.done += stripes
	ln.advance = time.Now()
	if ln.err == nil {
		ln.err = err
	}
	ln.st.mu.Unlock()
	ln.signal()
}

func (ln *lane) end(err error) {
	ln.st.mu.Lock()
	ln.ended = !ln.gaveUp
	if ln.err == nil {
		ln.err = err
	}
	ln.advance = time.Now()
	ln.st.mu.Unlock()
	ln.signal()
}

func (ln *lane) signal() {
	select {
	case ln.st.moved <- struct{}{}:
	default:
	}
}
