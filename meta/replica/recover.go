package replica

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta/keys"
	"github.com/sherd-io/sherd/meta/state"
)

// found is what log and rows say of a replica while the log is scanned.
type found struct {
	r       *Replica
	own     *conf   // its own row; nil: the rows are not its
	applied entryID // of the rows, if own
	conf    *conf   // of the last reset that holds
	because resetReason
	begun   resetReason // how the replica began, if the log still says
	unsure  bool        // a snapshot's record came after conf and did not hold
	gap     error       // entries did not follow; a later reset may make them void
}

// recover rebuilds the replicas from log and rows (I17): positions of entries from the log, all else from the rows.
func (h *Host) recover() error {
	h.loop.logBytes = map[uint64]int64{}
	all := map[address]*found{}
	err := h.opt.Log.Scan(func(pos Pos, b []byte) error {
		h.loop.logBytes[pos.Segment] += int64(pos.Bytes)
		var rec record
		if err := rec.decode(b); err != nil {
			return fmt.Errorf("%w: %w at %d/%d", ErrLost, err, pos.Segment, pos.Offset)
		}
		return h.scanned(all, &rec, pos)
	})
	if err != nil {
		return err
	}
	for at, f := range all {
		if err := f.finish(); err != nil {
			return err
		}
		if o := h.byRange[at.rng]; o != nil {
			return fmt.Errorf("%w: range %d has replicas %d and %d", ErrLost, at.rng, o.id, at.id)
		}
		h.byRange[at.rng] = f.r
	}
	if err := h.dropUnborn(); err != nil {
		return err
	}
	return h.clearOrphans()
}

// scanned takes one record of the log.
func (h *Host) scanned(all map[address]*found, rec *record, pos Pos) error {
	at := address{rec.rng, rec.id}
	f := all[at]
	switch {
	case rec.kind == kindRemove:
		delete(all, at)
		return nil
	case f == nil && rec.kind == kindAppend:
		return nil // its reset was released: a later one follows
	case f == nil:
		var err error
		if f, err = h.look(at); err != nil {
			return err
		}
	}
	s := f.r.store
	hard := &pb.HardState{Term: new(rec.term), Vote: new(rec.vote), Commit: new(rec.commit)}
	if rec.kind == kindAppend {
		s.hard, s.hardSegment = hard, pos.Segment
		if f.gap == nil && s.append(rec.entries, pos, false) != nil {
			f.gap = fmt.Errorf("%w: range %d: entries at %d/%d do not follow", ErrLost, rec.rng, pos.Segment, pos.Offset)
		}
		return nil
	}
	if rec.because == ingested && (f.own == nil || f.applied.index < rec.start.index) {
		// The snapshot did not arrive: the log before holds, and only what that said to be committed is: its tail may be
		// of a leader that was deposed.
		hard.Commit = new(s.hard.GetCommit())
		s.hard, s.hardSegment = hard, pos.Segment
		f.unsure = true
		return nil
	}
	c, err := decodeConf(rec.rng, rec.conf)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrLost, err)
	}
	all[at] = f
	f.conf, f.because, f.unsure, f.gap, s.hard = c, rec.because, false, nil, hard
	if rec.because == created || rec.because == begotten {
		f.begun = rec.because
	}
	return s.resetScanned(rec.start, rec.entries, pos)
}

// resetScanned is reset for entries whose bytes are borrowed.
func (s *store) resetScanned(start entryID, es []*pb.Entry, pos Pos) error {
	if err := s.reset(start, nil, pos); err != nil {
		return err
	}
	return s.append(es, pos, false)
}

// look reads what the rows say of a replica.
func (h *Host) look(at address) (*found, error) {
	f := &found{r: h.newReplica(at.rng, at.id)}
	b, closer, err := h.opt.Rows.Get(keys.AppendOwn(nil, at.rng, at.id, ownConf))
	if errors.Is(err, pebble.ErrNotFound) {
		return f, nil
	}
	if err != nil {
		return nil, err
	}
	defer closer.Close()
	if f.own, err = decodeConf(at.rng, b); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrLost, err)
	}
	machine, err := state.Load(h.opt.Rows, f.own.span)
	if err != nil {
		return nil, lostIfCorrupt(err)
	}
	f.r.machine = machine
	f.applied.index, f.applied.term = machine.Applied()
	return f, nil
}

// lostIfCorrupt marks an error of rows that are not what was written (I10): a file of theirs is damaged. Rows whose
// content makes no sense are not taken for that: every replica would have them, and none may be given up for it.
func lostIfCorrupt(err error) error {
	if pebble.IsCorruptionError(err) && !errors.Is(err, ErrLost) {
		return fmt.Errorf("%w: %w", ErrLost, err)
	}
	return err
}

// finish decides what the replica is.
func (f *found) finish() error {
	r, s := f.r, f.r.store
	if f.gap != nil {
		return f.gap
	}
	if f.own == nil {
		if f.because != f.begun && f.because != adopted || f.begun == 0 {
			return fmt.Errorf("%w: range %d: no rows, log begins after %d", ErrLost, r.rng, s.start.index)
		}
		// A crash came before the rows were flushed: begin again, the log has all, or its parent's has.
		if f.begun == begotten {
			r.unborn = true
			r.setConf(f.conf)
			if f.unsure {
				return r.rewrite(begotten, f.conf)
			}
			return nil
		}
		if err := r.layRows(s.start, f.conf); err != nil {
			return err
		}
		return f.settle()
	}
	r.at = f.applied
	if term, err := s.Term(r.at.index); err != nil || term != r.at.term {
		return fmt.Errorf("%w: range %d: rows at %d of term %d, log is (%d, %d]", ErrLost,
			r.rng, r.at.index, r.at.term, s.start.index, s.lastIndex())
	}
	c := f.own
	if f.conf.gen > c.gen {
		c = f.conf.over(c.span) // the rows may be those before a split that the record is later than
		if err := r.host.opt.Rows.Set(c.key(r.rng, r.id), c.append(nil), pebble.NoSync); err != nil {
			return err
		}
	}
	r.setConf(c)
	return f.settle()
}

// settle writes down that the snapshot did not arrive, for when the rows have come further its record would seem to
// hold, and makes the Raft node.
func (f *found) settle() error {
	because := rewritten
	if f.own == nil {
		because = created
	}
	if f.unsure {
		if err := f.r.rewrite(because, f.r.conf); err != nil {
			return err
		}
	}
	return f.r.start()
}

// clearOrphans deletes rows of replicas that the log does not know: they were removed, and the crash came before the
// deletion of their rows was flushed.
func (h *Host) clearOrphans() error {
	it, err := h.opt.Rows.NewIter(&pebble.IterOptions{
		LowerBound: []byte{byte(keys.Owns)}, UpperBound: []byte{byte(keys.Owns) + 1},
	})
	if err != nil {
		return err
	}
	defer it.Close()
	b := h.opt.Rows.NewBatch()
	defer b.Close()
	for it.First(); it.Valid(); it.Next() {
		k := it.Key()
		if len(k) != 1+8+8+1 {
			return fmt.Errorf("%w: own row %x", ErrLost, k)
		}
		rng, id := ids.Range(binary.BigEndian.Uint64(k[1:])), ids.Replica(binary.BigEndian.Uint64(k[9:]))
		r := h.byRange[rng]
		if r != nil && r.id == id {
			continue
		}
		if err := h.clearOrphan(b, rng, r, k, it.Value()); err != nil {
			return err
		}
	}
	if err := it.Error(); err != nil {
		return err
	}
	return b.Commit(pebble.NoSync)
}

func (h *Host) clearOrphan(b *pebble.Batch, rng ids.Range, r *Replica, key, value []byte) error {
	if r != nil { // the range's rows are another's
		return b.Delete(key, nil)
	}
	c, err := decodeConf(rng, value)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrLost, err)
	}
	return clearRows(b, c.span)
}

// ownSpan is where the own rows of a range's replicas lie.
func ownSpan(rng ids.Range) state.KeyRange {
	start := keys.AppendRange(nil, keys.Owns, rng)
	return state.KeyRange{Start: start, End: keys.Successor(keys.AppendRange(nil, keys.Owns, rng))}
}
