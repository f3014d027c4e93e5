package erasure

import (
	"context"
	"errors"
	"sync/atomic"
	"time"
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

// usual is how long 95 of 100 reads take of late, about: each read that takes longer moves it up by much, each other one down by little.
// Readers and writers may meet; then one of them is not counted.
type usual struct{ nanos atomic.Int64 }

func (u *usual) note(took time.Duration) {
	was := u.nanos.Load()
	next := was - was/200
	if int64(took) > was {
		next = was + was/10 + int64(time.Millisecond/10)
	}
	u.nanos.CompareAndSwap(was, max(next, int64(time.Millisecond/10)))
}

const (
	hedgeTimes = 4                     // so many times the usual is slow
	hedgeLeast = 20 * time.Millisecond // and this at least: a garbage collection is not worth a read
)

// hedgeAfter is how long a read of another node's drive may take.
func (s *Store) hedgeAfter() time.Duration {
	if s.opt.HedgeAfter > 0 {
		return s.opt.HedgeAfter
	}
	return min(max(hedgeTimes*time.Duration(s.usual.nanos.Load()), hedgeLeast), s.opt.SlowAfter)
}

// patience bounds how long reads are waited for.
type patience struct {
	request, near, far context.Context
	cancel             func()
	paid               bool // what is given up is taken from the budget
}

// of is the context of a read, far if of another node's drive.
func (p *patience) of(far bool) context.Context {
	if far {
		return p.far
	}
	return p.near
}

// endless is for what must be waited for.
func endless(request context.Context) patience {
	return patience{request: request, near: request, far: request, cancel: func() {}}
}

// farBy is until when other nodes are waited for by a read of a stripe that begins now.
func (s *Store) farBy() time.Time { return time.Now().Add(s.opt.FarWithin) }

// until is endless, but that other nodes are waited for until by at most. The caller calls cancel.
func until(request context.Context, by time.Time) patience {
	p := endless(request)
	p.far, p.cancel = context.WithDeadline(request, by)
	return p
}

// impatient gives what to wait for reads with that m parity slots could replace: a drive of another node is hedged, unless load is
// being shed (I23); any drive is given up when it hangs for SlowAfter (I12). Whatever the budget, other nodes get half of the time until by,
// so that there is some left for those that replace them. The caller calls cancel.
func (s *Store) impatient(request context.Context, m int, by time.Time) patience {
	if m == 0 {
		return until(request, by)
	}
	half := time.Until(by) / 2
	if !s.hedges.earn() {
		return until(request, by.Add(-half))
	}
	near, cancel := context.WithTimeout(request, s.opt.SlowAfter)
	p := patience{request: request, near: near, far: near, cancel: cancel, paid: true}
	after := min(half, s.opt.SlowAfter)
	if !s.opt.Shedding() {
		after = min(after, s.hedgeAfter())
	}
	if after < s.opt.SlowAfter {
		var cancelFar func()
		p.far, cancelFar = context.WithTimeout(near, after)
		p.cancel = func() { cancelFar(); cancel() }
	}
	return p
}

// giveUp marks those of slots that have not answered by the time their contexts ended, though the request lives, as slow.
func (r *stripeRead) giveUp(p *patience, slots []int) {
	if p.request.Err() != nil {
		return
	}
	for _, slot := range slots {
		sh := &r.slots[slot]
		if r.bufs[slot] != nil || sh.err != nil || p.of(sh.far).Err() == nil {
			continue
		}
		sh.err = errSlow
		if sh.r != nil {
			sh.r.Close()
			sh.r = nil
		}
		if p.paid {
			r.s.hedges.spend()
		}
	}
}

// forgive lets slow slots be asked again, and waited for as long as it takes, those of other nodes as long as there is time: parity was not
// enough.
func (b *shards) forgive() (any bool) {
	b.patient = true
	for i := range b.slots {
		if b.slots[i].err == errSlow {
			b.slots[i].err, any = nil, true
		}
	}
	return any
}
