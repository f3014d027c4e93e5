package replica

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta/metapb"
	"github.com/sherd-io/sherd/meta/state"
)

// ErrOverlap reports that another replica on the drive covers a part of the span: the parent of the range here has not
// split yet, or its leader has not. The caller tries again.
var ErrOverlap = errors.New("replica: another range here covers the span")

// ErrUnborn reports a replica that is in the log while the rows do not have the split yet that it comes from: it takes part by
// itself when its parent has applied that.
var ErrUnborn = errors.New("replica: waits for the split that it comes from")

// applySplit applies a Split, in a batch of its own, which the replicas of a process do not share: it holds rows of the
// replica's own. If it splits, the same batch shrinks the parent and makes the child's first rows, so that a crash leaves
// both or neither. The child's record is in the log before: as long as the rows do not have the batch, the child is unborn,
// and keeps what it may have promised before the crash (I10).
func (r *Replica) applySplit(e *pb.Entry, cmd *metapb.Command) error {
	b := r.host.opt.Rows.NewIndexedBatch()
	defer b.Close()
	result, err := r.machine.Apply(b, cmd)
	if err != nil {
		r.machine.Abandon()
		return err
	}
	to := entryID{e.GetIndex(), e.GetTerm()}
	if _, err := r.machine.Finish(b, to.index, to.term); err != nil {
		return err
	}
	next, born, known := r.conf, (*Replica)(nil), false
	if span := r.machine.Span(); !bytes.Equal(span.End, r.conf.span.End) {
		next = r.conf.over(span)
		if err := b.Set(next.key(r.rng, r.id), next.append(nil), nil); err != nil {
			return err
		}
		if born, known, err = r.beget(b, cmd.GetSplit()); err != nil {
			return err
		}
		r.host.loop.splits = true
		r.pub.span.Store(&next.span) // before the rows change: who has read them looks whether the key was still here
	}
	if err := b.Commit(pebble.NoSync); err != nil {
		return err
	}
	r.at, r.splits = to, 0
	if next != r.conf {
		r.setConf(next)
	}
	if born != nil {
		if err := born.join(r, known); err != nil {
			return err
		}
	}
	r.answer([]*pb.Entry{e}, []*metapb.Result{result})
	return nil
}

// beget makes the child's replica that is to be here, unborn, with its own row in b; nil if none is to be. It is among the
// host's before the parent's span is shorter: who looks what covers a place always finds one of them. known: it was in the
// log before.
func (r *Replica) beget(b *pebble.Batch, s *metapb.Split) (child *Replica, known bool, err error) {
	h := r.host
	span := state.Span{ID: ids.Range(s.Child), Start: s.At, End: r.conf.span.End}
	if !slices.Contains(s.Replicas, uint64(r.id)) {
		return nil, false, clearRows(b, span)
	}
	child = h.Replica(span.ID)
	if known = child != nil; !known {
		child = h.newReplica(span.ID, r.id)
		c := &conf{gen: s.Generation, span: span, state: &pb.ConfState{Voters: slices.Clone(s.Replicas)}}
		child.store.hard = &pb.HardState{Term: new(firstID.term), Vote: new(uint64(0)), Commit: new(firstID.index)}
		pos, err := h.appendSync([][]byte{child.resetRecord(begotten, firstID, c, nil)})
		if err != nil {
			return nil, false, err
		}
		if err := child.store.reset(firstID, nil, pos[0]); err != nil {
			return nil, false, err
		}
		child.setConf(c)
		child.unborn = true
		h.mu.Lock()
		h.byRange[child.rng] = child
		h.mu.Unlock()
	} else if !child.unborn || child.id != r.id {
		return nil, false, fmt.Errorf("%w: range %d is here before range %d has split", ErrLost, span.ID, r.rng)
	}
	return child, known, b.Set(child.conf.key(child.rng, child.id), child.conf.append(nil), nil)
}

// campaignsMax is for how many ticks the child of a leader asks for leadership: until then its peers should have split.
const campaignsMax = 20

// join lets a child take part whose first rows are there now. One that was known already, from the log, may have confirmed a
// lease before the crash, and owes an election time-out (I8). Next to the parent's leader it asks for leadership at once.
func (r *Replica) join(parent *Replica, known bool) error {
	h := r.host
	machine, err := state.Load(h.opt.Rows, r.conf.span)
	if err != nil {
		return err
	}
	r.machine, r.at = machine, firstID
	if err := r.start(); err != nil {
		return err
	}
	r.unborn = false
	h.start(r, known)
	h.opt.OnChild(r)
	if parent.leading {
		r.campaigns = campaignsMax
		return r.rn.Campaign()
	}
	return nil
}

// campaignAgain has the child of a leader ask for leadership until somebody leads.
func (r *Replica) campaignAgain() {
	if r.campaigns == 0 {
		return
	}
	if r.campaigns--; r.rn.BasicStatus().Lead != raft.None {
		r.campaigns = 0
		return
	}
	_ = r.rn.Campaign() // it is no member any more, then
}

// vacant reports whether no replica here covers a part of span, but one of the same range: what is to be laid there would
// overwrite its rows. A parent that has not split covers what will be its child's; the child's first rows here come by the
// parent's split, or else the child waits until the parent's span is shorter.
func (h *Host) vacant(span *state.Span) error {
	for _, o := range h.Replicas() {
		if o.rng == span.ID || o.unborn {
			continue
		}
		if overlap(span, &o.conf.span) || o.taking != nil && overlap(span, o.taking) {
			return fmt.Errorf("%w: range %d, by range %d", ErrOverlap, span.ID, o.rng)
		}
	}
	return nil
}

// Occupied reports whether a replica of another range here covers a place.
func (h *Host) Occupied(rng ids.Range, place []byte) bool {
	return slices.ContainsFunc(h.Replicas(), func(o *Replica) bool { return o.rng != rng && o.Covers(place) })
}

func overlap(a, b *state.Span) bool {
	before := func(x, y *state.Span) bool { return len(x.End) > 0 && bytes.Compare(x.End, y.Start) <= 0 }
	return !before(a, b) && !before(b, a)
}

// leave gives up what the replica had of before and has no more: a snapshot passed over a split.
func (r *Replica) leave(before state.Span) error {
	now := r.conf.span
	if len(now.End) == 0 || len(before.End) > 0 && bytes.Compare(before.End, now.End) <= 0 {
		return nil // nothing: what a recovery went on with may end later than the directory has it
	}
	rest := state.Span{Start: now.End, End: before.End}
	b := r.host.opt.Rows.NewBatch()
	defer b.Close()
	for _, s := range rest.ByRoute() {
		if err := b.DeleteRange(s.Start, s.End, nil); err != nil {
			return err
		}
	}
	if err := b.Commit(pebble.NoSync); err != nil {
		return err
	}
	return r.host.dropUnborn()
}

// dropUnborn ends the replicas whose first rows no log here brings any more: the parent's was left behind for a snapshot that
// is later than the split, or the parent is gone. They are lost, to be replaced under other ids.
func (h *Host) dropUnborn() error {
	for _, o := range h.Replicas() {
		if !o.unborn || slices.ContainsFunc(h.Replicas(), func(p *Replica) bool {
			return p != o && p.conf.span.Contains(o.conf.span.Start)
		}) {
			continue
		}
		h.opt.Logger.Warn("replica lost: the split that it came from was passed over", "range", uint64(o.rng),
			"replica", uint64(o.id), "drive", h.opt.Drive)
		if err := h.remove(o); err != nil {
			return err
		}
	}
	return nil
}

// Span is what keys the replica has, as of its applied index.
func (r *Replica) Span() state.Span { return *r.pub.span.Load() }

// Covers reports whether the replica has the rows of a route. Asked after rows were read, true means that they were its own
// when they were read: a span is published before the rows change.
func (r *Replica) Covers(route []byte) bool { return r.pub.span.Load().Contains(route) }

// ReadSpan is what keys the replica has as of rows, which Read gave to its caller, or a snapshot of them.
func (r *Replica) ReadSpan(rows pebble.Reader) (span state.Span, err error) {
	v, closer, err := rows.Get(r.pub.ownKey)
	if err != nil {
		return span, err
	}
	defer closer.Close()
	c, err := decodeConf(r.rng, v)
	if err != nil {
		return span, err
	}
	return c.span, nil
}
