package replica

import (
	"bytes"
	"encoding/binary"

	"github.com/cockroachdb/pebble/v2"
	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/sherd-io/sherd/meta/metapb"
)

// applyBytesMax bounds the commands that go into one batch.
const applyBytesMax = 1 << 20

// apply applies committed entries in order: rows, applied index, term and stamp in one batch, not synced (I17).
func (r *Replica) apply(es []*pb.Entry) error {
	if len(es) == 0 {
		return nil
	}
	for len(es) > 0 && !r.removed {
		n, err := r.applySome(es)
		if err != nil {
			return err
		}
		es = es[n:]
	}
	r.publishApplied()
	return nil
}

// applySome applies a first part of es in one batch and returns how many.
func (r *Replica) applySome(es []*pb.Entry) (int, error) {
	if es[0].GetType() != pb.EntryNormal {
		return 1, r.applyConf(es[0])
	}
	n, size := 0, 0
	for n < len(es) && es[n].GetType() == pb.EntryNormal && size < applyBytesMax {
		size += len(es[n].Data)
		n++
	}
	es = es[:n]
	if b := r.host.opt.Batches.find(r.rng, r.conf.gen, r.at, es); b != nil {
		n = int(b.to.index - r.at.index)
		return n, r.follow(b, es[:n])
	}
	return r.compute(es)
}

// compute applies es, up to a Split, and leaves the batch for the other replicas. It returns how many it applied.
func (r *Replica) compute(es []*pb.Entry) (int, error) {
	b := r.host.opt.Rows.NewIndexedBatch()
	defer b.Close()
	results := make([]*metapb.Result, len(es))
	for i, e := range es {
		if len(e.Data) == 0 {
			continue
		}
		cmd := decodeCommand(e.Data)
		if cmd.GetSplit() != nil {
			if i == 0 {
				return 1, r.applySplit(e, cmd)
			}
			es, results = es[:i], results[:i]
			break
		}
		var err error
		if results[i], err = r.machine.Apply(b, cmd); err != nil {
			r.machine.Abandon()
			return 0, err
		}
	}
	last := es[len(es)-1]
	to := entryID{last.GetIndex(), last.GetTerm()}
	effect, err := r.machine.Finish(b, to.index, to.term)
	if err != nil {
		return 0, err
	}
	shared := &batch{gen: r.conf.gen, from: r.at, to: to, repr: bytes.Clone(b.Repr()), effect: effect, results: results}
	if err := b.Commit(pebble.NoSync); err != nil {
		return 0, err
	}
	r.host.opt.Batches.put(r.rng, shared)
	r.at = to
	r.answer(es, results)
	return len(es), nil
}

// follow commits what another replica computed.
func (r *Replica) follow(shared *batch, es []*pb.Entry) error {
	b := r.host.opt.Rows.NewBatch()
	defer b.Close()
	if err := b.SetRepr(bytes.Clone(shared.repr)); err != nil { // a copy: commit writes into it
		return err
	}
	if err := b.Commit(pebble.NoSync); err != nil {
		return err
	}
	r.machine.Follow(shared.effect)
	r.at = shared.to
	r.answer(es, shared.results)
	return nil
}

// decodeCommand returns nil for what is not a command: it is refused at apply, by all replicas alike.
func decodeCommand(data []byte) *metapb.Command {
	cmd := &metapb.Command{}
	if err := cmd.UnmarshalVT(data); err != nil {
		return nil
	}
	return cmd
}

// answer tells those who proposed es here.
func (r *Replica) answer(es []*pb.Entry, results []*metapb.Result) {
	if len(r.inflight) == 0 {
		return
	}
	r.pub.applied.Store(r.at.index) // before the answer: who reads after it finds it applied
	for i, e := range es {
		if p := r.inflight[e.GetIndex()]; p != nil && e.GetTerm() == r.term {
			delete(r.inflight, e.GetIndex())
			p.finish(results[i], nil)
		}
	}
}

// applyConf applies a change of the configuration. One that was proposed under another generation changes nothing
// (I4): what was recovered has the configuration that the directory gave it.
func (r *Replica) applyConf(e *pb.Entry) error {
	next := r.conf
	if cc := r.acceptConf(e); cc != nil {
		next = r.conf.with(r.rn.ApplyConfChange(cc))
	}
	b := r.host.opt.Rows.NewIndexedBatch()
	defer b.Close()
	if _, err := r.machine.Finish(b, e.GetIndex(), e.GetTerm()); err != nil {
		return err
	}
	if err := b.Set(next.key(r.rng, r.id), next.append(nil), nil); err != nil {
		return err
	}
	if err := b.Commit(pebble.NoSync); err != nil {
		return err
	}
	r.at = entryID{e.GetIndex(), e.GetTerm()}
	if next != r.conf {
		r.setConf(next)
		r.noteMembership()
		r.announce()
	}
	return nil
}

// acceptConf decodes a change and returns nil if it must not be made.
func (r *Replica) acceptConf(e *pb.Entry) pb.ConfChangeI {
	cc := &pb.ConfChangeV2{}
	if e.GetType() != pb.EntryConfChangeV2 || proto.Unmarshal(e.Data, cc) != nil {
		return nil
	}
	joint := len(r.conf.state.GetVotersOutgoing()) > 0
	if cc.LeaveJoint() {
		if !joint {
			return nil
		}
		return cc
	}
	if joint || len(cc.GetContext()) != 8 || binary.BigEndian.Uint64(cc.GetContext()) != r.conf.gen {
		return nil
	}
	return cc
}

// noteMembership finds out whether r was removed.
func (r *Replica) noteMembership() {
	s := r.conf.state
	for _, set := range [][]uint64{s.GetVoters(), s.GetLearners(), s.GetVotersOutgoing(), s.GetLearnersNext()} {
		for _, id := range set {
			if id == uint64(r.id) {
				return
			}
		}
	}
	r.removed = true
	if r.leading {
		r.loseLead()
	}
}
