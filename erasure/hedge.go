package erasure

import (
	"context"
	"errors"
	"sync/atomic"
)

// errSlow marks a slot that was not waited for. It says nothing of its drive's or its chunk's state (I23).
var errSlow = errors.New("slow")

const (
	hedgeCost = 20              // reads that earn one hedge: 5 %
	hedgesMax = 100 * hedgeCost // what can be saved up
)

// budget bounds how many reads are worked around because they are slow: where all drives are, more reads would not help.
type budget struct{ saved atomic.Int64 }

// earn counts a read and reports whether a hedge can be paid for.
func (b *budget) earn() bool {
	n := b.saved.Load()
	if n < hedgesMax {
		n = b.saved.Add(1)
	}
	return n >= hedgeCost
}

func (b *budget) spend() { b.saved.Add(-hedgeCost) }

// impatient bounds ctx for reading what parity could replace. The caller calls cancel.
func (s *Store) impatient(ctx context.Context, m int) (context.Context, context.CancelFunc) {
	if m == 0 || !s.hedges.earn() {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, s.opt.SlowAfter)
}

// giveUp marks those of slots that have not answered by the time ctx ended, though the request lives, as slow.
func (r *stripeRead) giveUp(request, ctx context.Context, slots []int) {
	if ctx.Err() == nil || request.Err() != nil {
		return
	}
	for _, slot := range slots {
		sh := &r.slots[slot]
		if r.bufs[slot] != nil || sh.err != nil {
			continue
		}
		sh.err = errSlow
		if sh.r != nil {
			sh.r.Close()
			sh.r = nil
		}
		r.s.hedges.spend()
	}
}

// forgive lets slow slots be asked again, and waited for as long as it takes: parity was not enough.
func (b *shards) forgive() (any bool) {
	b.patient = true
	for i := range b.slots {
		if b.slots[i].err == errSlow {
			b.slots[i].err, any = nil, true
		}
	}
	return any
}
