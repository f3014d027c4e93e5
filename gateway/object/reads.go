package object

import (
	"sync"
	"time"

	"github.com/sherd-io/sherd/internal/hlc"
)

// reads is the registry of open reads (I13): a list in order of their numbers, oldest first, because
// numbers are given under the same lock that appends.
type reads struct {
	clock *hlc.Clock
	max   time.Duration

	mu   sync.Mutex
	root openRead // sentinel of the ring
	n    int
	next uint64 // number of the next read
}

// openRead is one read between begin and end.
type openRead struct {
	number     uint64
	stamp      hlc.Stamp
	prev, next *openRead
}

func (r *reads) init(clock *hlc.Clock, max time.Duration) {
	r.clock, r.max, r.next = clock, max, 1
	r.root.prev, r.root.next = &r.root, &r.root
}

// begin registers o before the read looks at anything.
func (r *reads) begin(o *openRead) {
	r.mu.Lock()
	o.stamp = r.clock.Now()
	o.number = r.next
	r.next++
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

// Hold registers a read that begins now, of somebody who reads blobs by himself. What dies from here on is not reclaimed until the function
// that it returns was called, once or more (I13).
func (s *Store) Hold() (end func()) {
	o := new(openRead)
	s.reads.begin(o)
	return func() { s.reads.end(o) }
}

// OpenReads says which reads are open: none with a number below Oldest. Reads older than any may be are being ended, and not
// among them.
type OpenReads struct {
	Oldest uint64 `json:"oldest"` // Next if there is none
	Next   uint64 `json:"next"`   // the number that the next read gets
	Count  int    `json:"count"`  // how many are open, those that are being ended too
}

func (r *reads) open() OpenReads {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := OpenReads{Oldest: r.next, Next: r.next, Count: r.n}
	limit := r.clock.Now().Add(-r.max)
	for o := r.root.next; o != &r.root; o = o.next {
		if o.stamp >= limit {
			all.Oldest = o.number
			break
		}
	}
	return all
}

// expired reports whether o is older than any read may be.
func (r *reads) expired(o *openRead) bool {
	return r.max > 0 && time.Since(o.stamp.Time()) > r.max
}
