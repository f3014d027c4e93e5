package object

import (
	"sync"
	"time"

	"github.com/sherd-io/sherd/internal/hlc"
)

// reads is the registry of open reads (I13): a list in order of their stamps, oldest first, because
// stamps are taken under the same lock that appends.
type reads struct {
	clock *hlc.Clock
	max   time.Duration
	slack time.Duration

	mu   sync.Mutex
	root openRead // sentinel of the ring
	n    int
}

// openRead is one read between begin and end.
type openRead struct {
	stamp      hlc.Stamp
	prev, next *openRead
}

func (r *reads) init(clock *hlc.Clock, max, slack time.Duration) {
	r.clock, r.max, r.slack = clock, max, slack
	r.root.prev, r.root.next = &r.root, &r.root
}

// begin registers o with a stamp that is older than anything the read will look at.
func (r *reads) begin(o *openRead) {
	r.mu.Lock()
	o.stamp = r.clock.Now()
	o.prev, o.next = r.root.prev, &r.root
	o.prev.next, r.root.prev = o, o
	r.n++
	r.mu.Unlock()
}

// end forgets o. It may be called twice.
func (r *reads) end(o *openRead) {
	r.mu.Lock()
	if o.next != nil {
		o.prev.next, o.next.prev = o.next, o.prev
		o.prev, o.next = nil, nil
		r.n--
	}
	r.mu.Unlock()
}

// mark is the read mark: no open read needs what died before it. A death's stamp is proposed before it
// is applied, so a read may begin between the two and still see what dies: slack covers that, and the
// skew of clocks. Reads older than max are being ended and do not hold it.
func (r *reads) mark() hlc.Stamp {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.clock.Now()
	oldest, limit := now, now.Add(-r.max)
	for o := r.root.next; o != &r.root; o = o.next {
		if o.stamp >= limit {
			oldest = o.stamp
			break
		}
	}
	return oldest.Add(-r.slack)
}

// expired reports whether o is older than any read may be.
func (r *reads) expired(o *openRead) bool {
	return r.max > 0 && time.Since(o.stamp.Time()) > r.max
}

func (r *reads) open() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.n
}
