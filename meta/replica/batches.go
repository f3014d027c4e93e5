package replica

import (
	"sync"

	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta/metapb"
	"github.com/sherd-io/sherd/meta/state"
)

// Batches lets the replicas of a range in one process apply an entry once: the first to do so leaves its batch here,
// and the others, who stand where it stood, commit a copy. It is safe for concurrent use.
//
// That is right because applying is a function of the rows and the command (I17), and because (index, term,
// generation) names one log prefix.
type Batches struct {
	mu     sync.Mutex
	ranges map[ids.Range]*batchRing
	bytes  int    // of all batches
	puts   uint64 // ever
}

// batch is the outcome of applying the entries after from, up to to.
type batch struct {
	gen      uint64
	from, to entryID
	repr     []byte // never changed
	effect   state.Effect
	results  []*metapb.Result // of each entry with data
}

const (
	batchesKept     = 16
	batchBytesMax   = 1 << 20            // a longer one is not shared
	batchesBytesMax = 16 * batchBytesMax // of all ranges: those that rest give theirs up
)

type batchRing struct {
	ring [batchesKept]*batch
	next int
	last uint64 // the newest's number among all puts
}

// NewBatches returns an empty one.
func NewBatches() *Batches { return &Batches{ranges: map[ids.Range]*batchRing{}} }

// find returns the batch that begins at from and ends at one of es, which follow from.
func (s *Batches) find(rng ids.Range, gen uint64, from entryID, es []*pb.Entry) *batch {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.ranges[rng]
	if r == nil {
		return nil
	}
	for i := range r.ring {
		// The newest first.
		b := r.ring[(r.next-1-i+2*batchesKept)%batchesKept]
		if b == nil || b.from != from || b.gen != gen || b.to.index-from.index > uint64(len(es)) {
			continue
		}
		if es[b.to.index-from.index-1].GetTerm() == b.to.term {
			return b
		}
	}
	return nil
}

func (s *Batches) put(rng ids.Range, b *batch) {
	if len(b.repr) > batchBytesMax {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.ranges[rng]
	if r == nil {
		r = &batchRing{}
		s.ranges[rng] = r
	}
	if old := r.ring[r.next]; old != nil {
		s.bytes -= len(old.repr)
	}
	s.puts++
	r.ring[r.next], r.last = b, s.puts
	r.next = (r.next + 1) % batchesKept
	s.bytes += len(b.repr)
	for s.bytes > batchesBytesMax && len(s.ranges) > 1 {
		s.dropOldest()
	}
}

// dropOldest forgets the batches of the range that had none for longest.
func (s *Batches) dropOldest() {
	var oldest ids.Range
	for rng, r := range s.ranges {
		if o := s.ranges[oldest]; o == nil || r.last < o.last {
			oldest = rng
		}
	}
	for _, b := range s.ranges[oldest].ring {
		if b != nil {
			s.bytes -= len(b.repr)
		}
	}
	delete(s.ranges, oldest)
}
