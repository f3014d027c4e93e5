package replica

import (
	"slices"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"

	"github.com/sherd-io/sherd/internal/ids"
)

type (
	progress     = tracker.Progress
	progressType = raft.ProgressType
)

// sendAll sends the Ready's messages: those that promise something after the sync, the others before.
func (r *Replica) sendAll(synced bool) {
	msgs := r.ready.Messages
	var steady []uint64 // peers that take appends one after the other
	looked := false
	for i, m := range msgs {
		t := m.GetType()
		if afterSync(t) != synced {
			continue
		}
		e := Envelope{Range: r.rng, Generation: r.conf.gen, From: r.id, To: ids.Replica(m.GetTo()), Msg: m, Wall: r.wallOf(t)}
		switch t {
		case pb.MsgHeartbeat:
			e.Round = r.host.now()
		case pb.MsgHeartbeatResp:
			if got := r.rounds[e.To]; got.term == m.GetTerm() {
				e.Round = got.at
			}
		case pb.MsgApp:
			if len(m.Entries) == 0 {
				if !looked {
					steady, looked = r.steadyPeers(), true
				}
				if slices.Contains(steady, m.GetTo()) {
					if superseded(m, msgs[i+1:]) {
						continue
					}
					e.Lazy = r.splits == 0 || m.GetCommit() < r.splits
				}
			}
		case pb.MsgAppResp:
			if superseded(m, msgs[i+1:]) {
				continue
			}
		case pb.MsgSnap:
			r.sendSnapshot(e)
			continue
		}
		r.host.opt.Transport.Send(e)
	}
}

// steadyPeers lists who is in Raft's replicate state. To them an append without entries only tells the commit index:
// the next append or heartbeat tells it too, so that nobody needs to wake for it.
func (r *Replica) steadyPeers() []uint64 {
	r.steady = r.steady[:0]
	r.rn.WithProgress(func(id uint64, _ raft.ProgressType, pr progress) {
		if pr.State == tracker.StateReplicate {
			r.steady = append(r.steady, id)
		}
	})
	return r.steady
}

// superseded reports whether a later message to the same peer says all that m does. m is an append without entries
// or the answer to an append.
func superseded(m *pb.Message, later []*pb.Message) bool {
	if m.GetReject() {
		return false
	}
	for _, n := range later {
		if n.GetTo() == m.GetTo() && n.GetType() == m.GetType() && n.GetTerm() == m.GetTerm() &&
			!n.GetReject() && n.GetIndex() >= m.GetIndex() {
			return true
		}
	}
	return false
}
