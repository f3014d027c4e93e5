package replica

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta/keys"
	"github.com/sherd-io/sherd/meta/metapb"
	"github.com/sherd-io/sherd/meta/state"
)

// SalvagedLog collects the Raft logs of all replicas on one drive from the records of its log, for tools that read bare
// directories. The zero value is empty.
type SalvagedLog struct {
	logs map[peer]*salvaged
}

type peer struct {
	rng ids.Range
	id  ids.Replica
}

type salvaged struct {
	conf    *conf // of the newest reset; nil if that was not seen
	empty   bool  // the replica began empty at start
	start   entryID
	entries []*pb.Entry // contiguous, after start
	before  *salvaged   // the log that a snapshot was to replace; nil: it began otherwise
}

// at is the log that goes with rows at index: a snapshot may have been recorded, and its rows not have arrived.
func (s *salvaged) at(index uint64) *salvaged {
	for s != nil && s.before != nil && s.start.index > index {
		s = s.before
	}
	return s
}

// Add takes the next record, in the order of the log. head is not kept. Errors: ErrRecord; the record is passed over.
func (l *SalvagedLog) Add(head []byte) error {
	var rec record
	if err := rec.decode(slices.Clone(head)); err != nil {
		return err
	}
	at := peer{rec.rng, rec.id}
	if l.logs == nil {
		l.logs = map[peer]*salvaged{}
	}
	if rec.kind == kindRemove {
		delete(l.logs, at)
		return nil
	}
	s := l.logs[at]
	if s == nil || rec.kind == kindReset {
		old := s
		s = &salvaged{start: rec.start}
		if rec.kind == kindReset {
			if rec.because == ingested {
				s.before = old
			}
			if c, err := decodeConf(rec.rng, rec.conf); err == nil {
				s.conf, s.empty = c, rec.because == created || rec.because == begotten
			}
		}
		l.logs[at] = s
	}
	for _, e := range rec.entries {
		s.add(e)
	}
	return nil
}

// add puts e after the entries that precede it, and drops all that it replaces. An entry after a gap begins anew:
// what lies before was released or damaged.
func (s *salvaged) add(e *pb.Entry) {
	i := e.GetIndex()
	first := s.start.index + 1
	if i < first || i > first+uint64(len(s.entries)) {
		s.start, s.entries, s.empty = entryID{index: i - 1}, nil, false
		first = i
	}
	s.entries = append(s.entries[:i-first], e)
}

// SalvagedRange is one range as one drive has it.
type SalvagedRange struct {
	Span        state.Span
	Replica     ids.Replica
	Index, Term uint64 // of the last entry, all of them applied
}

// Salvage applies to rows what log holds beyond them, committed or not: of an entry that is in the log of a replica with the
// greatest (term, index) nobody can say that it was not acknowledged (I4). It returns the ranges that rows and log have.
//
// rows are a copy: they are written to.
func Salvage(rows *pebble.DB, log *SalvagedLog) (out []SalvagedRange, err error) {
	spans, err := salvagedSpans(rows)
	if err != nil {
		return nil, err
	}
	for at, s := range log.logs { // of which rows were never flushed
		if _, ok := spans[at]; !ok && s.at(0).conf != nil {
			spans[at] = s.at(0).conf.span
		}
	}
	for len(spans) > 0 {
		at := firstPeer(spans)
		r, born, err := salvageRange(rows, spans[at], log.logs[at])
		if err != nil {
			return out, fmt.Errorf("range %d: %w", at.rng, err)
		}
		delete(spans, at)
		for _, child := range born { // the log of the child may be lost, or its first rows
			spans[peer{child.ID, at.id}] = child
		}
		r.Replica = at.id
		out = append(out, r)
	}
	return out, nil
}

// firstPeer is the one with the least range: a child's id is greater than its parent's, whose log may hold its first rows.
func firstPeer(spans map[peer]state.Span) peer {
	return slices.MinFunc(slices.Collect(maps.Keys(spans)), func(a, b peer) int {
		return cmp.Or(cmp.Compare(a.rng, b.rng), cmp.Compare(a.id, b.id))
	})
}

// salvagedSpans reads the replicas' own rows.
func salvagedSpans(rows *pebble.DB) (map[peer]state.Span, error) {
	it, err := rows.NewIter(&pebble.IterOptions{LowerBound: []byte{byte(keys.Owns)}, UpperBound: []byte{byte(keys.Owns) + 1}})
	if err != nil {
		return nil, err
	}
	spans := map[peer]state.Span{}
	for ok := it.First(); ok; ok = it.Next() {
		rng, id, kind, ok := parseOwn(it.Key())
		if !ok || kind != ownConf {
			continue
		}
		if c, err := decodeConf(rng, it.Value()); err == nil {
			spans[peer{rng, id}] = c.span
		}
	}
	return spans, it.Close()
}

// salvageRange also returns the spans of ranges that began by splits it applied.
func salvageRange(rows *pebble.DB, span state.Span, log *salvaged) (r SalvagedRange, born []state.Span, err error) {
	machine, err := state.Load(rows, span)
	if err != nil {
		return SalvagedRange{}, nil, err
	}
	r = SalvagedRange{Span: span}
	r.Index, r.Term = machine.Applied()
	log = log.at(r.Index)
	if log == nil || (log.start.index > r.Index && !(log.empty && r.Index == 0)) { // a gap: what follows it does not fit
		return r, nil, nil
	}
	for _, e := range log.entries {
		if e.GetIndex() <= r.Index {
			continue
		}
		b := rows.NewIndexedBatch()
		var cmd *metapb.Command
		if e.GetType() == pb.EntryNormal && len(e.Data) > 0 {
			cmd = decodeCommand(e.Data)
			_, err = machine.Apply(b, cmd)
		}
		if err == nil {
			_, err = machine.Finish(b, e.GetIndex(), e.GetTerm())
		}
		if err == nil {
			err = b.Commit(pebble.NoSync)
		}
		if err != nil {
			machine.Abandon()
			b.Close()
			return r, born, err
		}
		b.Close()
		r.Index, r.Term = e.GetIndex(), e.GetTerm()
		if now := machine.Span(); !bytes.Equal(now.End, r.Span.End) {
			born = append(born, state.Span{ID: ids.Range(cmd.GetSplit().GetChild()), Start: now.End, End: r.Span.End})
			r.Span = now
		}
	}
	return r, born, nil
}

// parseOwn is keys.AppendOwn's inverse.
func parseOwn(key []byte) (rng ids.Range, id ids.Replica, kind byte, ok bool) {
	if len(key) != 1+8+8+1 || key[0] != byte(keys.Owns) {
		return 0, 0, 0, false
	}
	for i := range 8 {
		rng = rng<<8 | ids.Range(key[1+i])
		id = id<<8 | ids.Replica(key[9+i])
	}
	return rng, id, key[17], true
}
