package replica

import (
	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
)

// store is one replica's part of the drive's log, as raft reads it: positions of all entries, the newest entries
// themselves. It belongs to the host's goroutine.
//
// Invariant: index[i] is entry start.index+1+i; cache holds the entries up to the last, without gap.
type store struct {
	log   Log
	hard  *pb.HardState
	conf  *conf
	start entryID // the log begins after it
	index []entryPos

	cache      []*pb.Entry
	cacheBytes int

	// resetSegment is where the last reset record lies and hardSegment the newest hard state: neither may be released.
	resetSegment uint64
	hardSegment  uint64

	applied func() entryID // of the rows now; Snapshot describes it

	readPos Pos // the record read last: entries are mostly read in order
	read    []*pb.Entry
}

// entryPos is where an entry lies: the ord-th of the record at pos.
type entryPos struct {
	term uint64
	pos  Pos
	ord  uint32
}

// cacheBytesMax bounds the entries that a replica keeps in memory. In one process the replicas of a range
// share them.
const cacheBytesMax = 2 << 20

var _ raft.Storage = (*store)(nil)

func (s *store) lastIndex() uint64 { return s.start.index + uint64(len(s.index)) }

func (s *store) lastID() entryID {
	if n := len(s.index); n > 0 {
		return entryID{s.lastIndex(), s.index[n-1].term}
	}
	return s.start
}

// InitialState is raft's.
func (s *store) InitialState() (*pb.HardState, *pb.ConfState, error) {
	return s.hard, pb.EnsureConfState(s.conf.state), nil
}

// FirstIndex is raft's.
func (s *store) FirstIndex() (uint64, error) { return s.start.index + 1, nil }

// LastIndex is raft's.
func (s *store) LastIndex() (uint64, error) { return s.lastIndex(), nil }

// Term is raft's.
func (s *store) Term(i uint64) (uint64, error) {
	switch {
	case i == s.start.index:
		return s.start.term, nil
	case i < s.start.index:
		return 0, raft.ErrCompacted
	case i > s.lastIndex():
		return 0, raft.ErrUnavailable
	}
	return s.index[i-s.start.index-1].term, nil
}

// Snapshot describes the rows as they are now. The host copies them when it sees the message.
func (s *store) Snapshot() (*pb.Snapshot, error) {
	at := s.applied()
	return &pb.Snapshot{Metadata: &pb.SnapshotMetadata{
		Index: new(at.index), Term: new(at.term), ConfState: s.conf.state,
	}}, nil
}

// Entries is raft's.
func (s *store) Entries(lo, hi, bytesMax uint64) ([]*pb.Entry, error) {
	if lo <= s.start.index {
		return nil, raft.ErrCompacted
	}
	if hi > s.lastIndex()+1 {
		return nil, raft.ErrUnavailable
	}
	first := s.lastIndex() + 1 - uint64(len(s.cache))
	if lo >= first {
		return limit(s.cache[lo-first:hi-first:hi-first], bytesMax), nil
	}
	var out []*pb.Entry
	bytes := uint64(0)
	for i := lo; i < hi; i++ {
		e, err := s.entry(i)
		if err != nil {
			return nil, err
		}
		bytes += entryBytes(e)
		if bytes > bytesMax && len(out) > 0 {
			break
		}
		out = append(out, e)
	}
	return out, nil
}

func limit(es []*pb.Entry, bytesMax uint64) []*pb.Entry {
	bytes := uint64(0)
	for i, e := range es {
		if bytes += entryBytes(e); bytes > bytesMax && i > 0 {
			return es[:i:i]
		}
	}
	return es
}

// entryBytes is about what an entry takes on disk and on the wire.
func entryBytes(e *pb.Entry) uint64 { return uint64(len(e.Data)) + 24 }

// entry returns entry i, which the log holds.
func (s *store) entry(i uint64) (*pb.Entry, error) {
	if first := s.lastIndex() + 1 - uint64(len(s.cache)); i >= first {
		return s.cache[i-first], nil
	}
	at := s.index[i-s.start.index-1]
	if s.read == nil || s.readPos != at.pos {
		b, err := s.log.Read(at.pos)
		if err != nil {
			return nil, err
		}
		var rec record
		if err := rec.decode(b); err != nil {
			return nil, err
		}
		s.readPos, s.read = at.pos, rec.entries
	}
	if uint64(at.ord) >= uint64(len(s.read)) || s.read[at.ord].GetIndex() != i {
		return nil, ErrRecord
	}
	return s.read[at.ord], nil
}

// all returns the whole log; nil if it is longer than bytesMax. None is an empty slice.
func (s *store) all(bytesMax uint64) ([]*pb.Entry, error) {
	es := make([]*pb.Entry, 0, len(s.index))
	bytes := uint64(0)
	for i := s.start.index + 1; i <= s.lastIndex(); i++ {
		e, err := s.entry(i)
		if err != nil {
			return nil, err
		}
		if bytes += entryBytes(e); bytes > bytesMax {
			return nil, nil
		}
		es = append(es, e)
	}
	return es, nil
}

// append takes entries that are on stable storage at pos, which begin at or below the last index plus one.
func (s *store) append(es []*pb.Entry, pos Pos, cache bool) error {
	if len(es) == 0 {
		return nil
	}
	first := es[0].GetIndex()
	if first <= s.start.index || first > s.lastIndex()+1 {
		return ErrRecord
	}
	if drop := s.lastIndex() + 1 - first; drop > 0 {
		s.index = s.index[:uint64(len(s.index))-drop]
		s.trimCacheTail(drop)
	}
	for i, e := range es {
		if e.GetIndex() != first+uint64(i) {
			return ErrRecord
		}
		s.index = append(s.index, entryPos{term: e.GetTerm(), pos: pos, ord: uint32(i)})
	}
	if cache {
		s.remember(es)
	} else {
		s.cache, s.cacheBytes = nil, 0
	}
	return nil
}

func (s *store) trimCacheTail(n uint64) {
	if n >= uint64(len(s.cache)) {
		s.cache, s.cacheBytes = nil, 0
		return
	}
	keep := uint64(len(s.cache)) - n
	for _, e := range s.cache[keep:] {
		s.cacheBytes -= int(entryBytes(e))
	}
	// The full slice: raft may still hold what was handed out of the old one.
	s.cache = s.cache[:keep:keep]
}

// remember puts new last entries into the cache and lets the oldest half go when it is full.
func (s *store) remember(es []*pb.Entry) {
	s.cache = append(s.cache, es...)
	for _, e := range es {
		s.cacheBytes += int(entryBytes(e))
	}
	if s.cacheBytes <= cacheBytesMax {
		return
	}
	n := 0
	for n < len(s.cache)-1 && s.cacheBytes > cacheBytesMax/2 {
		s.cacheBytes -= int(entryBytes(s.cache[n]))
		n++
	}
	s.cache = append([]*pb.Entry(nil), s.cache[n:]...) // a new array: the old one's head must be freed
}

// cut drops the entries up to at.
func (s *store) cut(at uint64) {
	if at <= s.start.index {
		return
	}
	n := at - s.start.index
	s.start = entryID{at, s.index[n-1].term}
	s.index = append([]entryPos(nil), s.index[n:]...)
	if keep := len(s.index); len(s.cache) > keep {
		s.cache = append([]*pb.Entry(nil), s.cache[len(s.cache)-keep:]...)
		s.cacheBytes = 0
		for _, e := range s.cache {
			s.cacheBytes += int(entryBytes(e))
		}
	}
}

// reset begins the log anew after start, with what the reset record at pos holds.
func (s *store) reset(start entryID, es []*pb.Entry, pos Pos) error {
	s.start = start
	s.index, s.cache, s.cacheBytes, s.read = nil, nil, 0, nil
	s.resetSegment, s.hardSegment = pos.Segment, pos.Segment
	return s.append(es, pos, true)
}

// lowest is the oldest segment that holds anything the replica needs.
func (s *store) lowest() uint64 {
	low := min(s.hardSegment, s.resetSegment)
	if len(s.index) > 0 {
		low = min(low, s.index[0].pos.Segment)
	}
	return low
}
