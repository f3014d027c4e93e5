package replica

import (
	"testing"

	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/sherd-io/sherd/internal/ids"
)

// Batches of ranges that were written to once do not stay for ever.
func TestBatchesAreBounded(t *testing.T) {
	s := NewBatches()
	repr := make([]byte, batchBytesMax)
	const ranges = 100
	at := func(index uint64) entryID { return entryID{index, 1} }
	for rng := ids.Range(1); rng <= ranges; rng++ {
		for i := range uint64(3) {
			s.put(rng, &batch{gen: 1, from: at(i), to: at(i + 1), repr: repr})
		}
	}
	held := 0
	for _, r := range s.ranges {
		for _, b := range r.ring {
			if b != nil {
				held += len(b.repr)
			}
		}
	}
	if held > batchesBytesMax || held != s.bytes {
		t.Errorf("%d bytes are held, counted are %d, %d may be", held, s.bytes, batchesBytesMax)
	}
	if s.find(ranges, 1, at(2), []*pb.Entry{{Index: new(uint64(3)), Term: new(uint64(1))}}) == nil {
		t.Error("the newest is gone")
	}
}

// TestI17_BatchIsOfTheSameLog: a batch is followed only where the entry that it ends with is the same.
func TestI17_BatchIsOfTheSameLog(t *testing.T) {
	s := NewBatches()
	s.put(1, &batch{gen: 1, from: entryID{7, 2}, to: entryID{9, 2}})
	log := func(terms ...uint64) (es []*pb.Entry) {
		for i, term := range terms {
			es = append(es, &pb.Entry{Index: new(8 + uint64(i)), Term: new(term)})
		}
		return es
	}
	for _, c := range []struct {
		gen  uint64
		from entryID
		es   []*pb.Entry
		want bool
	}{
		{1, entryID{7, 2}, log(2, 2, 3), true},
		{1, entryID{7, 2}, log(2, 2), true},
		{1, entryID{7, 2}, log(2), false},
		{1, entryID{7, 2}, log(2, 3), false},
		{1, entryID{7, 3}, log(3, 3), false},
		{2, entryID{7, 2}, log(2, 2), false},
	} {
		if got := s.find(1, c.gen, c.from, c.es) != nil; got != c.want {
			t.Errorf("generation %d, from %v, %d entries: %v", c.gen, c.from, len(c.es), got)
		}
	}
}
