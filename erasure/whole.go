package erasure

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zeebo/xxh3"

	"github.com/sherd-io/sherd/erasure/codec"
)

// writeWhole stores a blob whose shards are short enough for Drive.Put: all of it is in memory first.
func (s *Store) writeWhole(ctx context.Context, t *Target, ref BlobRef, v *view, f *feed) ([]uint8, error) {
	a, err := s.newAttempt(v, ref)
	if err != nil {
		return nil, err
	}
	c, err := s.codec(a.pool)
	if err != nil {
		return nil, err
	}
	stripes := make([]*stripe, 0, 4)
	defer func() {
		for _, st := range stripes {
			st.release()
		}
	}()
	for i := range a.lay.Stripes() {
		st := newStripe(s.opt.Buffers, c, a.lay, i)
		stripes = append(stripes, st)
		if err := f.fill(ctx, st, c, a.lay, i); err != nil {
			return nil, err
		}
	}
	sum := sumStripes(a.lay, stripes)
	for try := 1; ; try++ {
		r := newRound(a, stripes)
		r.start(t, sum)
		if err := f.settle(0); err != nil { // the drives write meanwhile
			r.wait(ctx)
			a.discard()
			return nil, err
		}
		r.wait(ctx)
		if err := ctx.Err(); err != nil {
			a.discard()
			return nil, err
		}
		if !a.stale() || try == epochTries {
			break
		}
		if a, err = s.again(ctx, a); err != nil {
			return nil, err
		}
	}
	a.accuse()
	missed, err := a.verdict()
	if err != nil {
		a.discard()
	}
	return missed, err
}

// again prepares another attempt under the epoch that some drive has shown to be newer (I5).
func (s *Store) again(ctx context.Context, old *attempt) (*attempt, error) {
	s.awaitEpoch(ctx, old.ref, old.pg.Epoch)
	s.view.Store(nil)
	a, err := s.newAttempt(s.current(), old.ref)
	if err != nil {
		old.discard()
		return nil, err
	}
	a.keep(old)
	return a, nil
}

// round has slots of one blob stored, all at once, without a goroutine for each.
type round struct {
	*attempt
	refs    atomic.Int32 // the writer, and each Put that has not called back
	stripes []*stripe
	puts    []slotPut
	wake    chan struct{}

	mu      sync.Mutex
	pending int // puts without an answer
	firm    int // of those, to drives that do not count as lost
	good    int // slots that are stored, or need not be
}

type slotPut struct {
	r     *round
	slot  int
	units [][]byte

	answered bool // under r.mu
	err      error
}

func newRound(a *attempt, stripes []*stripe) *round {
	r := &round{attempt: a, stripes: stripes, wake: make(chan struct{}, 1), puts: make([]slotPut, 0, len(a.slots))}
	for i := range a.slots {
		if a.slots[i].skip {
			r.good++
		}
		if a.asked(i) {
			r.puts = append(r.puts, slotPut{r: r, slot: i})
			if a.slots[i].grade == gradeUp {
				r.firm++
			}
		}
	}
	r.pending = len(r.puts)
	r.refs.Store(int32(len(r.puts)))
	for _, st := range stripes {
		st.retain()
	}
	if r.pending == 0 {
		r.drop()
	}
	return r
}

// start hands the units to the drives.
func (r *round) start(t *Target, sum [16]byte) {
	all := make([][]byte, len(r.puts)*len(r.stripes))
	for i := range r.puts {
		p := &r.puts[i]
		p.units, all = all[:0:len(r.stripes)], all[len(r.stripes):]
		for j, st := range r.stripes {
			if u := st.unit(r.lay, j, p.slot); len(u) > 0 {
				p.units = append(p.units, u)
			}
		}
		h := t.header(r.pool, r.ref, p.slot, r.pg.Epoch)
		r.slots[p.slot].drive.Put(h, p.units, r.footer(sum, p.slot), p.done)
	}
}

// done is called by a drive, maybe long after the writer has given it up.
func (p *slotPut) done(err error) {
	r := p.r
	r.mu.Lock()
	p.answered, p.err = true, err
	r.pending--
	if err == nil {
		r.good++
	}
	if r.slots[p.slot].grade == gradeUp {
		r.firm--
	}
	wake := r.firm == 0
	r.mu.Unlock()
	if wake {
		select {
		case r.wake <- struct{}{}:
		default:
		}
	}
	if r.refs.Add(-1) == 0 {
		r.drop()
	}
}

// drop lets the stripes go, after the last answer.
func (r *round) drop() {
	for _, st := range r.stripes {
		st.release()
	}
}

// wait hears all drives, or gives up those that are silent, and notes what became of each slot.
func (r *round) wait(ctx context.Context) {
	timer := time.NewTimer(r.s.opt.AckTimeout)
	defer timer.Stop()
	weakOnly := false
	for waiting := true; waiting; {
		r.mu.Lock()
		pending, enough := r.pending, r.firm == 0 && r.good >= r.s.need(r.pool)
		r.mu.Unlock()
		if pending == 0 {
			break
		}
		if enough && !weakOnly {
			weakOnly = true
			timer.Reset(r.s.opt.SuspectWait)
		}
		select {
		case <-r.wake:
		case <-timer.C:
			waiting = false
		case <-ctx.Done():
			waiting = false
		}
	}
	r.note()
}

func (r *round) note() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.puts {
		p := &r.puts[i]
		sl := &r.slots[p.slot]
		switch {
		case !p.answered:
			sl.err = errSilent
		case p.err != nil:
			sl.err = p.err
		default:
			sl.stored, sl.err = true, nil
		}
	}
}

// sumStripes is the checksum of a blob in memory.
func sumStripes(l codec.Layout, stripes []*stripe) [16]byte {
	if len(stripes) == 1 {
		return sumBytes(stripes[0].data.B[:l.StripeBytes(0)])
	}
	h := xxh3.New()
	for i, st := range stripes {
		h.Write(st.data.B[:l.StripeBytes(i)])
	}
	return sumOf(h)
}

// sumBytes and sumOf give the checksum in its canonical form, big-endian.
func sumBytes(b []byte) [16]byte { return xxh3.Hash128(b).Bytes() }

func sumOf(h *xxh3.Hasher) [16]byte { return h.Sum128().Bytes() }
