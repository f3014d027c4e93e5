package segment

import (
	"errors"
	"io"
	"math"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sherd-io/sherd/internal/bufpool"
)

// Scanned is what a walk over one segment found besides its records.
type Scanned struct {
	End     int64  // of the last record that counts, with its body, rounded up to 4,096
	Safe    int64  // proven to be synced up to here
	LastSeq uint64 // the highest sequence number seen, of records that count or not
	Bad     []Damage
	Torn    int64 // bytes of the last group that are no record and were never proven to be one
}

// scanner walks one segment.
type scanner struct {
	f      vfs.File
	seal   seal
	size   int64 // bytes to look at
	ended  bool  // size is where the segment ended, by its successor, and proven up to where that knew it to be synced
	prefix bool
	proven int64 // known to have been synced up to here
	win    window
	fn     func(Record) error

	out     Scanned
	nextSeq uint64 // expected; 0: not known
	group   []Record
	heads   [][]byte // of group, copied: the window moves on
	bad     []Damage // since the start of group: not known yet whether torn or damaged
}

var errStop = errors.New("stop")

// walk calls fn for each record of the segment that counts, in order.
func (s *scanner) walk(at int64) error {
	s.out.End, s.out.Safe = at, at
	groupEnd, bodies := at, int64(math.MaxInt64) // bodies: where the long ones of the group in hand start
	for at < s.size {
		r, state, err := s.at(at)
		if err != nil {
			return err
		}
		switch state {
		case recordGood:
			if r.group >= groupEnd {
				bodies = math.MaxInt64
			}
			if err := s.good(&r); err != nil {
				return err
			}
			groupEnd = max(groupEnd, r.end)
			if r.bodyApart() {
				bodies = min(bodies, int64(r.Body))
			}
			// Records that fill their last block to its end leave no zeros before the bodies.
			if at = r.next(); at >= bodies {
				at = groupEnd
			}
		case recordNone:
			// The rest of a block is empty: the next group starts on a border, after this one's bodies.
			at = max(roundUp(at+1, blockBytes), groupEnd)
		case recordBad:
			next, err := s.resync(at)
			if err != nil {
				return err
			}
			s.bad = append(s.bad, Damage{Segment: s.seal.segment, Offset: at, Bytes: next - at, Reason: "no record"})
			at = next
		}
	}
	return s.finish()
}

type recordState int

const (
	recordNone recordState = iota // zeros
	recordGood
	recordBad
)

// at looks at offset at, a border of 64 bytes.
func (s *scanner) at(at int64) (r Record, state recordState, err error) {
	b, err := s.win.bytes(at, recordBytes)
	if err != nil {
		return r, 0, err
	}
	if allZero(b) {
		return r, recordNone, nil
	}
	n, ok := headBytes(b)
	if !ok || int64(n) > s.size-at {
		return r, recordBad, nil
	}
	if b, err = s.win.bytes(at, recordBytes+n); err != nil {
		return r, 0, err
	}
	if r, ok = s.seal.parse(b, at, s.size); !ok {
		return r, recordBad, nil
	}
	return r, recordGood, nil
}

// resync finds the next good record after at, or the end.
func (s *scanner) resync(at int64) (int64, error) {
	for at += recordAlign; at < s.size; at += recordAlign {
		b, err := s.win.bytes(at, recordBytes)
		if err != nil {
			return 0, err
		}
		if _, ok := headBytes(b); !ok {
			continue
		}
		_, state, err := s.at(at)
		if err != nil || state == recordGood {
			return at, err
		}
	}
	return s.size, nil
}

// good takes a record. The first of a new group proves all before that group.
func (s *scanner) good(r *Record) error {
	s.out.LastSeq = max(s.out.LastSeq, r.Seq)
	gap, explained := s.nextSeq != 0 && r.Seq > s.nextSeq, len(s.bad) > 0
	if len(s.group) > 0 && r.group != s.group[0].group {
		if err := s.prove(r.group); err != nil {
			return err
		}
	}
	if gap && !explained {
		s.bad = append(s.bad, Damage{Segment: s.seal.segment, Offset: s.out.End, Bytes: int64(r.Pos.Offset) - s.out.End, Reason: "records missing"})
	}
	if s.bad != nil && r.group > s.bad[0].Offset {
		s.damaged(r.group)
	}
	s.nextSeq = r.Seq + 1
	s.out.End = max(s.out.End, r.end)
	s.group = append(s.group, *r)
	i := len(s.group) - 1
	if i == len(s.heads) {
		s.heads = append(s.heads, nil)
	}
	s.heads[i] = append(s.heads[i][:0], r.Head...)
	s.group[i].Head = s.heads[i]
	return nil
}

// prove hands on the group in hand as proven, because one that starts at next follows.
func (s *scanner) prove(next int64) error {
	s.out.Safe = next
	s.damaged(next)
	return s.emit(true)
}

// damaged makes of the bad places before end damage.
func (s *scanner) damaged(end int64) {
	kept := s.bad[:0]
	for _, d := range s.bad {
		if d.Offset >= end {
			kept = append(kept, d)
			continue
		}
		s.out.Bad = append(s.out.Bad, d)
	}
	if s.bad = kept; len(kept) == 0 {
		s.bad = nil
	}
}

func (s *scanner) emit(proven bool) error {
	for i := range s.group {
		s.group[i].Proven = proven || s.group[i].end <= s.proven
		if s.fn == nil {
			continue
		}
		if err := s.fn(s.group[i]); err != nil {
			return err
		}
	}
	s.group = s.group[:0]
	return nil
}

// finish decides about the last group, which nothing later in the segment proves.
func (s *scanner) finish() error {
	if s.ended && s.out.End < s.proven && len(s.bad) == 0 {
		s.bad = append(s.bad, Damage{Segment: s.seal.segment, Offset: s.out.End, Bytes: s.proven - s.out.End, Reason: "records missing at the end"})
	}
	s.damaged(s.proven)
	if len(s.bad) > 0 && s.prefix && !s.ended {
		s.cut(s.bad[0].Offset)
	}
	for _, d := range s.bad {
		s.out.Torn += d.Bytes
	}
	s.out.Safe = min(max(s.proven, s.out.Safe), s.out.End)
	return s.emit(false)
}

// cut drops the records of the last group from offset on.
func (s *scanner) cut(offset int64) {
	n := 0
	for n < len(s.group) && int64(s.group[n].Pos.Offset) < offset {
		n++
	}
	s.group = s.group[:n]
	s.out.End = roundUp(offset, blockBytes)
	if n == 0 {
		return
	}
	s.out.End = 0
	for i := range s.group {
		s.out.End = max(s.out.End, s.group[i].end)
	}
}

func allZero(b []byte) bool {
	for _, x := range b {
		if x != 0 {
			return false
		}
	}
	return true
}

// window reads a file ahead in aligned steps.
type window struct {
	f    vfs.File
	size int64
	pool *bufpool.Pool
	buf  *bufpool.Buf
	off  int64 // of buf.B
}

const windowBytes = 256 << 10

// bytes returns n bytes at off, which are valid until the next call. Past the end of the file there are zeros.
func (w *window) bytes(off int64, n int) ([]byte, error) {
	if w.buf != nil && off >= w.off && off+int64(n) <= w.off+int64(len(w.buf.B)) {
		return w.buf.B[off-w.off:][:n], nil
	}
	start := off &^ (blockBytes - 1)
	want := int(roundUp(max(off-start+int64(n), windowBytes), blockBytes))
	if w.buf == nil || w.buf.Cap() < want {
		w.buf.Release()
		w.buf = w.pool.Get(want)
	}
	w.buf.B = w.buf.B[:want]
	got, err := w.f.ReadAt(w.buf.B, start)
	if err != nil && !errors.Is(err, io.EOF) {
		w.buf.B = w.buf.B[:0]
		return nil, err
	}
	clear(w.buf.B[got:])
	w.off = start
	return w.buf.B[off-start:][:n], nil
}

func (w *window) close() { w.buf.Release() }
