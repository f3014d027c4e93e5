package meta

import (
	"context"
	"sync"

	"github.com/sherd-io/sherd/internal/hlc"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta/remote/remotepb"
	"github.com/sherd-io/sherd/meta/replica"
	"github.com/sherd-io/sherd/placement"
)

// survey asks the other nodes that have drives, all at once, what is there. Those that do not answer are left out.
func (n *Node) survey(ctx context.Context, m *placement.Map) map[string]*remotepb.Response {
	ctx, cancel := context.WithTimeout(ctx, surveyWithin)
	defer cancel()
	var mu sync.Mutex
	var wg sync.WaitGroup
	all := map[string]*remotepb.Response{}
	asked := map[string]bool{n.opt.Self: true}
	for _, d := range m.Drives {
		if asked[d.Node] {
			continue
		}
		asked[d.Node] = true
		p := n.opt.Peers(d.Node)
		if p == nil {
			continue
		}
		wg.Go(func() {
			resp, err := p.Call(ctx, &remotepb.Request{Op: &remotepb.Request_Survey{Survey: &remotepb.Survey{}}})
			if err == nil && resp.GetCode() == remotepb.Code_OK {
				mu.Lock()
				all[d.Node] = resp
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return all
}

// Survey is Status with what the other nodes say of their replicas. Of a node that does not answer nothing is known.
func (n *Node) Survey(ctx context.Context) ([]RangeStatus, error) {
	if n.opt.Peers == nil {
		return n.Status(), nil
	}
	m := n.opt.Map()
	said := n.survey(ctx, m)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	there := map[rangeReplica]*remotepb.ReplicaStatus{}
	for _, resp := range said {
		for _, r := range resp.GetReplicas() {
			there[rangeReplica{ids.Range(r.GetRange()), ids.Replica(r.GetReplica())}] = r
		}
	}
	all := make([]RangeStatus, 0, len(m.Ranges))
	for _, row := range m.Ranges {
		all = append(all, n.rangeStatus(row, there))
	}
	return all, nil
}

// surveyHere says what drives and replicas this node has.
func (n *Node) surveyHere() *remotepb.Response {
	resp := &remotepb.Response{}
	for _, h := range n.allHosts() {
		id := h.Drive()
		resp.Drives = append(resp.Drives, id[:])
		for _, r := range h.Replicas() {
			resp.Replicas = append(resp.Replicas, statusMessage(r))
		}
	}
	return resp
}

func statusMessage(r *replica.Replica) *remotepb.ReplicaStatus {
	s, drive, span := r.Status(), r.Host().Drive(), r.Span()
	m := &remotepb.ReplicaStatus{
		Range: uint64(r.Range()), Replica: uint64(r.ID()), Drive: drive[:],
		Generation: s.Generation, Term: s.Term, Commit: s.Commit, Applied: s.Applied,
		LastIndex: s.LastIndex, LastTerm: s.LastTerm,
		Leader: uint64(s.Leader), Serving: s.Serving, Running: r.Running(), Blank: r.Blank(), Joint: s.Joint,
		Voters: numbers(s.Voters), Learners: numbers(s.Learners),
		Start: span.Start, End: span.End, Last: uint64(s.Stamp),
	}
	for id, index := range s.Match {
		m.Matches = append(m.Matches, &remotepb.Match{Replica: uint64(id), Index: index})
	}
	return m
}

// statusOf is statusMessage's inverse.
func statusOf(m *remotepb.ReplicaStatus) replica.Status {
	s := replica.Status{
		Generation: m.GetGeneration(), Term: m.GetTerm(), Commit: m.GetCommit(), Applied: m.GetApplied(),
		LastIndex: m.GetLastIndex(), LastTerm: m.GetLastTerm(), Stamp: hlc.Stamp(m.GetLast()),
		Leader: ids.Replica(m.GetLeader()), Serving: m.GetServing(), Joint: m.GetJoint(),
		Voters: replicaIDs(m.GetVoters()), Learners: replicaIDs(m.GetLearners()),
		Match: map[ids.Replica]uint64{},
	}
	for _, p := range m.GetMatches() {
		s.Match[ids.Replica(p.GetReplica())] = p.GetIndex()
	}
	return s
}

func numbers(all []ids.Replica) []uint64 {
	out := make([]uint64, len(all))
	for i, id := range all {
		out[i] = uint64(id)
	}
	return out
}

func replicaIDs(all []uint64) []ids.Replica {
	out := make([]ids.Replica, len(all))
	for i, id := range all {
		out[i] = ids.Replica(id)
	}
	return out
}
