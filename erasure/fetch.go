package erasure

import (
	"context"
	"sync"

	"github.com/sherd-io/sherd/internal/bufpool"
)

// columns are bytes [from, to) of every unit of a stripe.
type columns struct{ from, to int }

func (c columns) empty() bool { return c.from >= c.to }

// span is the least columns that hold both.
func (c columns) span(d columns) columns {
	switch {
	case c.empty():
		return d
	case d.empty():
		return c
	}
	return columns{min(c.from, d.from), max(c.to, d.to)}
}

// stripeRead is what a stripe's bytes are collected in.
type stripeRead struct {
	*shards
	i    int            // stripe
	want []columns      // by data slot: what the reader needs
	have []columns      // by slot: what bufs holds
	bufs []*bufpool.Buf // by slot
}

// stripe reads bytes [from, to) of stripe i, 0 <= from < to <= StripeBytes. Data slots first, but for parity that is nearer; what they
// cannot give is made from parity. The buffers that it returns hold the bytes in order; the caller releases them. errStale, if not stuck: a newer map is
// to be tried first.
func (b *shards) stripe(ctx context.Context, i, from, to int) ([]*bufpool.Buf, error) {
	n := len(b.slots)
	cols := make([]columns, 2*n)
	r := &stripeRead{shards: b, i: i, want: cols[:n], have: cols[n:], bufs: make([]*bufpool.Buf, n)}
	u := b.lay.UnitLen(i)
	for d := range b.lay.K {
		r.want[d] = columns{max(from-d*u, 0), min(to-d*u, u)}
	}
	now, later := r.needed()
	if len(later) == 0 && to-from == b.lay.StripeBytes(i) {
		if r.nearest(ctx, now) {
			return r.data(), nil
		}
		now = r.lacking()
	}
	if r.fetch(ctx, now, r.want) && len(later) == 0 {
		return r.data(), nil
	}
	if r.stale() && !r.stuck {
		r.release()
		return nil, errStale
	}
	err := r.rebuild(ctx)
	if err != nil && ctx.Err() == nil && (b.forgive() || len(later) > 0) { // the map may be wrong about these
		if r.fetch(ctx, r.lacking(), r.want) {
			err = nil
		} else {
			err = r.rebuild(ctx)
		}
	}
	if err != nil {
		r.release()
		return nil, err
	}
	return r.data(), nil
}

// needed lists the data slots that hold wanted bytes; later are those on drives that the map holds to be away.
func (r *stripeRead) needed() (now, later []int) {
	for d := range r.lay.K {
		switch {
		case r.want[d].empty():
		case r.rankOf(d) == gradeLost:
			later = append(later, d)
		default:
			now = append(now, d)
		}
	}
	return now, later
}

// lacking lists the data slots whose wanted bytes are not there yet.
func (r *stripeRead) lacking() (slots []int) {
	for d := range r.lay.K {
		if r.bufs[d] == nil && !r.want[d].empty() {
			slots = append(slots, d)
		}
	}
	return slots
}

// fetch reads the named columns of slots side by side and reports whether all came.
func (r *stripeRead) fetch(request context.Context, slots []int, cols []columns) bool {
	if len(slots) == 0 {
		return true
	}
	p := r.patience(request)
	defer p.cancel()
	var wg sync.WaitGroup
	for _, slot := range slots[1:] {
		wg.Add(1)
		go func() {
			defer wg.Done()
			r.one(&p, slot, cols[slot])
		}()
	}
	r.one(&p, slots[0], cols[slots[0]])
	wg.Wait()
	r.giveUp(&p, slots)
	for _, slot := range slots {
		if r.bufs[slot] == nil {
			return false
		}
	}
	return true
}

// patience is how long slots are waited for. What is read in the background is.
func (r *stripeRead) patience(request context.Context) patience {
	switch {
	case r.mute || r.by.IsZero():
		return endless(request)
	case r.patient:
		return until(request, r.by)
	}
	return r.s.impatient(request, r.lay.M, r.by)
}

// one reads one slot's columns; what lies behind the stored bytes is zeros.
func (r *stripeRead) one(p *patience, slot int, c columns) {
	stored := r.lay.UnitBytes(r.i, slot)
	end := min(c.to, stored)
	if c.from >= end { // only implied zeros; the slot may not even exist
		r.set(slot, c, r.zeros(c.to-c.from))
		return
	}
	buf, err := r.read(p, slot, r.lay.ShardOffset(r.i)+int64(c.from), int64(end-c.from))
	if err != nil {
		return
	}
	if c.to > end {
		padded := r.s.opt.Buffers.Get(c.to - c.from)
		clear(padded.B[copy(padded.B, buf.B):])
		buf.Release()
		buf = padded
	}
	r.set(slot, c, buf)
}

func (r *stripeRead) zeros(n int) *bufpool.Buf {
	buf := r.s.opt.Buffers.Get(n)
	clear(buf.B)
	return buf
}

func (r *stripeRead) set(slot int, c columns, buf *bufpool.Buf) {
	r.bufs[slot].Release()
	r.bufs[slot], r.have[slot] = buf, c
}

// rebuild makes the wanted columns of data slots that could not be read.
func (r *stripeRead) rebuild(ctx context.Context) error {
	made := make([]bool, len(r.slots))
	var all columns
	for _, d := range r.lacking() {
		made[d] = true
		all = all.span(r.want[d])
	}
	got := r.fresh(r.i)
	defer got.release()
	for slot, buf := range r.bufs {
		if buf != nil && r.have[slot] == all {
			buf.Retain()
			got.set(slot, all, buf)
		}
	}
	err := got.gather(ctx, all, made)
	if err == nil {
		err = got.decode(made)
	}
	if err != nil {
		return err
	}
	for d := range made {
		if made[d] {
			buf, w := got.bufs[d], r.want[d]
			got.bufs[d] = nil
			buf.B = buf.B[w.from-all.from : w.to-all.from]
			r.set(d, w, buf)
		}
	}
	return nil
}

// fresh is a stripe of which nothing is read yet.
func (b *shards) fresh(i int) *stripeRead {
	return &stripeRead{shards: b, i: i, have: make([]columns, len(b.slots)), bufs: make([]*bufpool.Buf, len(b.slots))}
}

// gather reads columns c until k slots have them, but of none that avoid names.
func (r *stripeRead) gather(ctx context.Context, c columns, avoid []bool) error {
	cols := make([]columns, len(r.slots))
	for slot := range cols {
		cols[slot] = c
	}
	for {
		missing := r.lay.K - r.present()
		if missing == 0 {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		next := r.candidates(avoid, missing)
		if len(next) == 0 {
			return r.unreadable()
		}
		r.fetch(ctx, next, cols)
	}
}

func (r *stripeRead) present() (n int) {
	for _, buf := range r.bufs {
		if buf != nil {
			n++
		}
	}
	return n
}

// candidates picks at most max slots to read next, the best first.
func (r *stripeRead) candidates(avoid []bool, max int) (slots []int) {
	for want := gradeUp; want >= gradeLost && len(slots) < max; want-- {
		for i := range r.slots {
			usable := r.bufs[i] == nil && r.slots[i].err == nil && !avoid[i]
			if usable && len(slots) < max && r.rankOf(i) == want {
				slots = append(slots, i)
			}
		}
	}
	return slots
}

// rankOf is rank, with implied zeros, which cost nothing, first.
func (r *stripeRead) rankOf(slot int) grade {
	if r.lay.UnitBytes(r.i, slot) == 0 {
		return gradeUp
	}
	return r.rank(slot)
}

// decode makes the slots that made names, those that are there aside, over the columns that were gathered.
func (r *stripeRead) decode(made []bool) error {
	units, n := make([][]byte, len(r.bufs)), 0
	for i, buf := range r.bufs {
		if buf != nil {
			units[i], n = buf.B, len(buf.B)
		}
	}
	for i := range units {
		if units[i] == nil && made[i] {
			r.bufs[i] = r.s.opt.Buffers.Get(n)
			units[i] = r.bufs[i].B[:0:n]
		}
	}
	return r.codec.Reconstruct(units, made)
}

// data gives the wanted bytes, in order.
func (r *stripeRead) data() []*bufpool.Buf {
	out := r.bufs[:0]
	for _, buf := range r.bufs[:r.lay.K] {
		if buf != nil {
			out = append(out, buf)
		}
	}
	return out
}

func (r *stripeRead) release() {
	for _, buf := range r.bufs {
		buf.Release()
	}
}
