package replica

import (
	"encoding/binary"
	"errors"
	"fmt"

	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/sherd-io/sherd/internal/ids"
)

// A log record is one replica's part of one group commit. Checksums and torn tails are the segment log's business (I16).
//
//	field        bytes    in kinds
//	format       1        all; now 1
//	kind         1        all
//	range        uvarint  all
//	replica      uvarint  all
//	generation   uvarint  append, reset
//	term         uvarint  append, reset: hard state
//	vote         uvarint  append, reset
//	commit       uvarint  append, reset
//	start index  uvarint  reset: the log begins after it
//	start term   uvarint  reset
//	because      1        reset
//	conf         uvarint n, n bytes   reset: see conf.go
//	entries      uvarint  append, reset: how many; then for each
//	  term, index, type, length of data   uvarints, and the data
//
// An append continues the replica's log: an entry whose index is there already replaces it and drops all after it.
// A reset replaces all that was recorded of the replica before. A remove ends it: the id is never used again (I10).
const recordFormat = 1

type recordKind byte

const (
	kindAppend recordKind = 1
	kindReset  recordKind = 2
	kindRemove recordKind = 3
)

// resetReason says when a reset holds.
type resetReason byte

const (
	created   resetReason = 1 // the replica begins here
	ingested  resetReason = 2 // a snapshot: holds only if the rows have reached its start index (I17)
	rewritten resetReason = 3 // the same log, copied forward
	adopted   resetReason = 4 // the same log under another generation and configuration (I4)
	begotten  resetReason = 5 // the replica begins by a split of another range, whose log brings its first rows (I20)
)

// ErrRecord reports a log record that no version of sherd wrote.
var ErrRecord = errors.New("replica: bad log record")

// entryID names a log entry: there is only one for each (index, term) in a generation.
type entryID struct{ index, term uint64 }

type record struct {
	kind    recordKind
	rng     ids.Range
	id      ids.Replica
	gen     uint64
	term    uint64
	vote    uint64
	commit  uint64
	start   entryID
	because resetReason
	conf    []byte
	entries []*pb.Entry
}

func (rec *record) append(b []byte) []byte {
	b = append(b, recordFormat, byte(rec.kind))
	b = binary.AppendUvarint(b, uint64(rec.rng))
	b = binary.AppendUvarint(b, uint64(rec.id))
	if rec.kind == kindRemove {
		return b
	}
	for _, v := range [...]uint64{rec.gen, rec.term, rec.vote, rec.commit} {
		b = binary.AppendUvarint(b, v)
	}
	if rec.kind == kindReset {
		b = binary.AppendUvarint(b, rec.start.index)
		b = binary.AppendUvarint(b, rec.start.term)
		b = append(b, byte(rec.because))
		b = binary.AppendUvarint(b, uint64(len(rec.conf)))
		b = append(b, rec.conf...)
	}
	b = binary.AppendUvarint(b, uint64(len(rec.entries)))
	for _, e := range rec.entries {
		for _, v := range [...]uint64{e.GetTerm(), e.GetIndex(), uint64(e.GetType()), uint64(len(e.Data))} {
			b = binary.AppendUvarint(b, v)
		}
		b = append(b, e.Data...)
	}
	return b
}

// decode is append's inverse. Conf and the entries' data alias b.
func (rec *record) decode(b []byte) error {
	if len(b) < 2 || b[0] != recordFormat {
		return fmt.Errorf("%w: format", ErrRecord)
	}
	*rec = record{kind: recordKind(b[1])}
	d := decoder{b: b[2:]}
	rec.rng, rec.id = ids.Range(d.uvarint()), ids.Replica(d.uvarint())
	switch rec.kind {
	case kindRemove:
		return d.end()
	case kindAppend, kindReset:
	default:
		return fmt.Errorf("%w: kind %d", ErrRecord, rec.kind)
	}
	rec.gen, rec.term, rec.vote, rec.commit = d.uvarint(), d.uvarint(), d.uvarint(), d.uvarint()
	if rec.kind == kindReset {
		rec.start = entryID{index: d.uvarint(), term: d.uvarint()}
		rec.because = resetReason(d.byte())
		rec.conf = d.bytes()
	}
	rec.entries = d.entries()
	return d.end()
}

// decoder reads fields and remembers the first failure.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.bad = true
		return 0
	}
	v := d.b[0]
	d.b = d.b[1:]
	return v
}

func (d *decoder) bytes() []byte {
	n := d.uvarint()
	if n > uint64(len(d.b)) {
		d.bad, d.b = true, nil
		return nil
	}
	v := d.b[:n:n]
	d.b = d.b[n:]
	return v
}

// entryBytesMin is the least an encoded entry takes: it bounds what a bad count can allocate.
const entryBytesMin = 4

func (d *decoder) entries() []*pb.Entry {
	n := d.uvarint()
	if n == 0 || d.bad {
		return nil
	}
	if n > uint64(len(d.b)/entryBytesMin) {
		d.bad = true
		return nil
	}
	all := make([]*pb.Entry, 0, n)
	for range n {
		e := &pb.Entry{Term: new(d.uvarint()), Index: new(d.uvarint())}
		if t := pb.EntryType(d.uvarint()); t != pb.EntryNormal {
			e.Type = t.Enum()
		}
		if data := d.bytes(); len(data) > 0 {
			e.Data = data
		}
		if d.bad {
			return nil
		}
		all = append(all, e)
	}
	return all
}

func (d *decoder) end() error {
	if d.bad || len(d.b) != 0 {
		return fmt.Errorf("%w: truncated or overlong", ErrRecord)
	}
	return nil
}
