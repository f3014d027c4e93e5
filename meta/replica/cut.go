package replica

import (
	"bytes"

	"github.com/cockroachdb/pebble/v2"
	"go.etcd.io/raft/v3"

	"github.com/sherd-io/sherd/meta/keys"
)

// noteAppended counts the log's bytes.
func (h *Host) noteAppended(p Pos, bytes int) {
	l := &h.loop
	n := int64(max(int(p.Bytes), bytes))
	l.logBytes[p.Segment] += n
	l.sinceCut += n
	l.lastAppend, l.trimmed = h.now(), false
}

// maybeCut shortens the log when it has grown by an eighth of its bound, and, once it rests, to its last segment: so a
// drive that is idle holds little log, and starts without reading much of it.
func (h *Host) maybeCut() error {
	l := &h.loop
	if l.flushing != nil {
		select {
		case <-l.flushing:
			l.flushing = nil
			return h.cut()
		default:
			return nil
		}
	}
	switch {
	case l.sinceCut >= h.opt.LogBytes/8:
		l.sinceCut, l.keepBytes = 0, h.opt.LogBytes
	case h.atRest():
		l.trimmed, l.keepBytes = true, 0
	default:
		return nil
	}
	if h.cutTarget() == 0 {
		return nil
	}
	// What is applied now is durable once this is done; then the log below it may go.
	flushed, err := h.opt.Rows.AsyncFlush()
	if err != nil {
		return err
	}
	l.flushing = flushed
	return nil
}

// atRest reports whether the log was not appended to for a while, was not trimmed since, and no peer lacks any of it: what one
// lacks that is not in the log would cost a snapshot.
func (h *Host) atRest() bool {
	l := &h.loop
	if l.trimmed || h.now()-l.lastAppend < int64(h.opt.Rest) {
		return false
	}
	for _, r := range l.replicas {
		if r.leading && !r.peersAreEven() {
			return false
		}
	}
	return true
}

// peersAreEven reports whether all peers of r, the leader, have its whole log.
func (r *Replica) peersAreEven() bool {
	even, last := true, r.store.lastIndex()
	r.rn.WithProgress(func(_ uint64, _ raft.ProgressType, pr progress) { even = even && pr.Match == last })
	return even
}

// cutTarget is the oldest segment to keep: the newest ones that hold half of keepBytes. 0: the log is short enough.
func (h *Host) cutTarget() uint64 {
	l := &h.loop
	var total int64
	var newest uint64
	for seg, n := range l.logBytes {
		total += n
		newest = max(newest, seg)
	}
	if total <= l.keepBytes || len(l.logBytes) < 2 {
		return 0
	}
	kept := int64(0)
	for seg := newest; seg > 0; seg-- {
		if kept += l.logBytes[seg]; kept > l.keepBytes/2 {
			return seg
		}
	}
	return 0
}

// cut drops the entries that lie before the target and whose effect is durable, copies forward what else lies there,
// and releases the segments (I17).
func (h *Host) cut() error {
	target := h.cutTarget()
	if target == 0 || target <= h.loop.lowestCut {
		return nil
	}
	for _, r := range h.Replicas() {
		if r.busy {
			return nil // its log is in between; later
		}
		durable, own, err := h.durableApplied(r)
		if err != nil {
			return err
		}
		if !own {
			return nil // its first rows are not on stable storage: its log must begin where it began
		}
		if err := r.cut(target, durable); err != nil {
			return err
		}
	}
	for seg := range h.loop.logBytes {
		if seg < target {
			delete(h.loop.logBytes, seg)
		}
	}
	h.loop.lowestCut = target
	return h.opt.Log.Release(target)
}

// durableApplied is the applied index that rows on stable storage have: 0 for a replica that is still blank. own tells
// whether its own row is among them, and they are its rows.
func (h *Host) durableApplied(r *Replica) (index uint64, own bool, err error) {
	applied, ownKey := keys.AppendRange(nil, keys.Applieds, r.rng), r.conf.key(r.rng, r.id)
	it, err := h.opt.Rows.NewIter(&pebble.IterOptions{OnlyReadGuaranteedDurable: true})
	if err != nil {
		return 0, false, err
	}
	defer it.Close()
	if !it.SeekGE(ownKey) || !bytes.Equal(it.Key(), ownKey) {
		return 0, false, it.Error()
	}
	if !it.SeekGE(applied) || !bytes.Equal(it.Key(), applied) {
		return 0, true, it.Error()
	}
	var a keys.Applied
	err = a.Decode(it.Value())
	return a.Index, true, err
}

// cut makes r need nothing of the segments below target. Entries up to durable may go.
func (r *Replica) cut(target, durable uint64) error {
	s := r.store
	at := s.start.index
	for i, e := range s.index {
		if e.pos.Segment >= target || s.start.index+1+uint64(i) > durable {
			break
		}
		at++
	}
	s.cut(at)
	if s.lowest() >= target {
		return nil
	}
	// A reset record holds the whole log of the replica: make that short.
	s.cut(max(s.start.index, min(durable, s.lastIndex())))
	return r.rewrite(rewritten, r.conf)
}
