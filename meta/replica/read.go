package replica

import (
	"context"
	"encoding/binary"

	"github.com/cockroachdb/pebble/v2"
	"go.etcd.io/raft/v3"
)

// Read calls fn with the rows as they are at some moment between call and return: all that was acknowledged before the
// call is in them. fn runs on the caller's goroutine. It may be called twice, and its answer counts only if Read
// returns nil; it must be done with the reader when it returns.
//
// Under the lease that costs no message (I8); without it, one round of heartbeats.
// Errors: ErrNotLeader, ErrStopped, ctx's; else fn's.
func (r *Replica) Read(ctx context.Context, fn func(pebble.Reader) error) error {
	h := r.host
	h.using.RLock()
	defer h.using.RUnlock()
	if h.closed {
		return ErrStopped
	}
	if r.leased() {
		if err := r.waitApplied(ctx, r.pub.commit.Load()); err != nil {
			return err
		}
		err := fn(h.opt.Rows)
		if r.leased() {
			return err
		}
	}
	index, err := r.readIndex(ctx)
	if err != nil {
		return err
	}
	if err := r.waitApplied(ctx, index); err != nil {
		return err
	}
	return fn(h.opt.Rows)
}

// leased reports whether the lease holds now.
func (r *Replica) leased() bool {
	return r.host.now() < r.pub.leaseUntil.Load() && !r.host.halted.Load()
}

// ReadStale calls fn with the rows as they are here, which may be behind.
func (r *Replica) ReadStale(fn func(pebble.Reader) error) error {
	h := r.host
	h.using.RLock()
	defer h.using.RUnlock()
	if h.closed {
		return ErrStopped
	}
	return fn(h.opt.Rows)
}

// waitApplied waits until the rows hold all up to index.
func (r *Replica) waitApplied(ctx context.Context, index uint64) error {
	if r.pub.applied.Load() >= index {
		return nil
	}
	r.pub.mu.Lock()
	if r.pub.applied.Load() >= index {
		r.pub.mu.Unlock()
		return nil
	}
	if r.pub.stopped != nil {
		r.pub.mu.Unlock()
		return ErrStopped
	}
	w := appliedWait{index, make(chan struct{})}
	r.pub.waits = append(r.pub.waits, w)
	deposed := r.pub.deposed
	r.pub.mu.Unlock()
	select {
	case <-w.done:
	case <-deposed:
		return ErrNotLeader
	case <-r.host.stop:
		return ErrStopped
	case <-ctx.Done():
		return ctx.Err()
	}
	if r.pub.applied.Load() < index {
		return ErrStopped
	}
	return nil
}

// extendLease computes how long the lease holds: from the newest heartbeat round that a majority answered.
func (r *Replica) extendLease() {
	if !r.serving || r.transferring {
		return
	}
	r.answers[uint64(r.id)] = r.host.now() // our own answer
	t0 := int64(r.quorum.CommittedIndex(r.answers))
	if t0 == 0 {
		return
	}
	until := t0 + int64(leaseShare*float64(r.host.opt.election()))
	if until > r.pub.leaseUntil.Load() {
		r.pub.leaseUntil.Store(until)
	}
}

// readRequest asks for an index that covers all that was committed before.
type readRequest struct {
	r    *Replica
	done chan readOutcome
}

type readOutcome struct {
	index uint64
	err   error
}

func (q *readRequest) finish(index uint64, err error) { q.done <- readOutcome{index, err} }

func (r *Replica) readIndex(ctx context.Context) (uint64, error) {
	q := &readRequest{r: r, done: make(chan readOutcome, 1)}
	deposed := r.deposed()
	h := r.host
	h.inbox.mu.Lock()
	h.inbox.work.reads = append(h.inbox.work.reads, q)
	h.inbox.mu.Unlock()
	h.signal()
	select {
	case o := <-q.done:
		return o.index, o.err
	case <-deposed:
		return 0, ErrNotLeader
	case <-h.stopped:
		return 0, ErrStopped
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// readQueue holds reads until Raft confirms that we led when they came. Those that come together share one round.
type readQueue struct {
	next    uint64
	waiting []*readRequest            // not yet asked for
	asked   map[uint64][]*readRequest // by the round's number
}

func (r *Replica) stepRead(q *readRequest) {
	if !r.running || !r.leading || r.busy {
		q.finish(0, ErrNotLeader)
		return
	}
	r.reads.waiting = append(r.reads.waiting, q)
	r.host.mark(r)
}

// ask begins a round for all that wait.
func (q *readQueue) ask(rn *raft.RawNode) {
	if len(q.waiting) == 0 {
		return
	}
	if q.asked == nil {
		q.asked = map[uint64][]*readRequest{}
	}
	q.next++
	q.asked[q.next] = q.waiting
	q.waiting = nil
	rn.ReadIndex(binary.BigEndian.AppendUint64(nil, q.next))
}

// indexed answers the rounds that Raft confirmed.
func (q *readQueue) indexed(states []raft.ReadState) {
	for _, s := range states {
		if len(s.RequestCtx) != 8 {
			continue
		}
		n := binary.BigEndian.Uint64(s.RequestCtx)
		for _, req := range q.asked[n] {
			req.finish(s.Index, nil)
		}
		delete(q.asked, n)
	}
}

func (q *readQueue) fail(err error) {
	for _, req := range q.waiting {
		req.finish(0, err)
	}
	q.waiting = nil
	for n, all := range q.asked {
		for _, req := range all {
			req.finish(0, err)
		}
		delete(q.asked, n)
	}
}
