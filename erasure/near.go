package erasure

import (
	"context"

	"github.com/sherd-io/sherd/disk"
	"github.com/sherd-io/sherd/erasure/codec"
	"github.com/sherd-io/sherd/placement"
)

// nearest reads a stripe that is wanted whole with parity of this node's drives in the place of data of other nodes'. Decoding a unit costs
// a fraction of what its way over the network does: encryption, decryption and four copies. now are the data slots that are stored.
//
// It reports whether all came. If not, what came of now stays, and the rest is to be read the ordinary way.
func (r *stripeRead) nearest(ctx context.Context, now []int) bool {
	read, made := r.standIns(now)
	if read == nil {
		return false
	}
	u := r.lay.UnitLen(r.i)
	cols := make([]columns, len(r.slots))
	for slot := range cols {
		cols[slot] = columns{0, u}
	}
	got := r.fresh(r.i)
	defer got.release()
	for d := len(now); d < r.lay.K; d++ { // those that are stored come first
		got.set(d, cols[d], r.zeros(u))
	}
	done := got.fetch(ctx, read, cols) && got.decode(made) == nil
	for _, d := range now {
		if buf := got.bufs[d]; buf != nil {
			got.bufs[d] = nil
			buf.B = buf.B[:r.want[d].to] // shorter only where it was padded or made
			r.set(d, r.want[d], buf)
		}
	}
	return done
}

// standIns picks the slots to read: as many parity slots as are at hand take the place of data slots of other nodes, which are to be made.
// nil: none does.
func (r *stripeRead) standIns(now []int) (read []int, made []bool) {
	far := make([]int, 0, len(now))
	for _, d := range now {
		if r.slots[d].err != nil {
			return nil, nil
		}
		if r.s.far(r.pg.Slots[d].Drive) {
			far = append(far, d)
		}
	}
	for slot := r.lay.K; slot < r.lay.N() && len(far) > 0; slot++ {
		if r.slots[slot].err != nil || !r.s.atHand(r.m, &r.pg.Slots[slot]) {
			continue
		}
		if made == nil {
			made = make([]bool, len(r.slots))
		}
		made[far[0]] = true
		read, far = append(read, slot), far[1:]
	}
	if read == nil {
		return nil, nil
	}
	for _, d := range now {
		if !made[d] {
			read = append(read, d)
		}
	}
	return read, made
}

// atHand reports a slot whose chunk this node has, as far as one can tell without asking.
func (s *Store) atHand(m *placement.Map, slot *placement.Slot) bool {
	if d := m.Drives[slot.Drive]; d == nil || d.State != placement.DriveUp || !slot.Complete {
		return false
	}
	d := s.opt.Drive(slot.Drive)
	return d != nil && !d.Remote() && d.Health().State == disk.OK
}

// parityAtHand reports whether nearest would read n bytes of stripe i otherwise than from the data slots.
func (s *Store) parityAtHand(m *placement.Map, pg *placement.PG, lay codec.Layout, i int, n int64) bool {
	if n != int64(lay.StripeBytes(i)) {
		return false
	}
	for slot := lay.K; slot < lay.N(); slot++ {
		if s.atHand(m, &pg.Slots[slot]) {
			return true
		}
	}
	return false
}
