package gateway

import (
	"context"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"
)

const (
	// requestBytes is what the largest request may hold: a few stripes with their parity (DESIGN §3).
	requestBytes = 4 << 20
	// smallBytes is what a request holds that moves no data to speak of.
	smallBytes = 64 << 10
)

// admission bounds the memory of all requests under way, first come, first served.
type admission struct {
	total int64
	sem   *semaphore.Weighted
	wait  time.Duration
	held  atomic.Int64
}

func newAdmission(total int64, wait time.Duration) *admission {
	total = max(total, requestBytes+smallBytes)
	return &admission{total: total, sem: semaphore.NewWeighted(total), wait: wait}
}

// acquire takes n bytes, waiting a little for its turn. It returns what release must be given.
// Errors: errSlowDown.
func (a *admission) acquire(ctx context.Context, n int64) (int64, error) {
	if !a.sem.TryAcquire(n) {
		ctx, cancel := context.WithTimeout(ctx, a.wait)
		defer cancel()
		if a.sem.Acquire(ctx, n) != nil {
			return 0, errSlowDown
		}
	}
	a.held.Add(n)
	return n, nil
}

func (a *admission) release(n int64) {
	if n > 0 {
		a.held.Add(-n)
		a.sem.Release(n)
	}
}

// admitBody takes what a body of size bytes needs besides what the request has: its stripes in the making.
func (r *request) admitBody(size int64) error {
	if size <= smallBytes/2 {
		return nil
	}
	n, err := r.s.admit.acquire(r.ctx, min(2*size, requestBytes-smallBytes))
	r.weight += n
	return err
}
