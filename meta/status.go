package meta

import (
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta/remote/remotepb"
	"github.com/sherd-io/sherd/meta/replica"
	"github.com/sherd-io/sherd/placement"
)

// RangeStatus is what this process knows of a range.
type RangeStatus struct {
	ID         ids.Range
	Start, End []byte
	Generation uint64
	Leader     ids.Drive // zero: none is known
	Term       uint64
	Commit     uint64
	Replicas   []ReplicaStatus
	// Quorum: more than half of the voters are known to run, or the replicas here follow a leader, who would not be one
	// without a quorum.
	Quorum bool
}

// ReplicaStatus is one replica of a range.
type ReplicaStatus struct {
	ID      ids.Replica
	Drive   ids.Drive
	Joining bool // not yet a voter
	Here    bool // on a drive of this process, and it runs
	Runs    bool // here, or on a node that says so
	Applied uint64
	Lag     uint64 // entries that it has not applied though they are committed, if it runs
}

// Status describes every range of the map, for operators and for the planner, as this process knows it without asking
// another. It does not block.
func (n *Node) Status() []RangeStatus {
	m := n.view()
	all := make([]RangeStatus, 0, len(m.Ranges))
	for _, row := range m.Ranges {
		all = append(all, n.rangeStatus(row, nil))
	}
	return all
}

// rangeStatus puts together what is known here and what other nodes said.
func (n *Node) rangeStatus(row *placement.Range, there map[rangeReplica]*remotepb.ReplicaStatus) RangeStatus {
	s := RangeStatus{ID: row.ID, Start: row.Start, End: row.End, Generation: row.Generation}
	voters, running := 0, 0
	for _, named := range row.Replicas {
		r := ReplicaStatus{ID: named.ID, Drive: named.Drive, Joining: named.Joining}
		st, runs := n.replicaStatus(row, named, &r, there)
		if runs {
			r.Runs, r.Applied = true, st.Applied
			if st.Serving && st.Term >= s.Term {
				s.Leader = named.Drive
			}
			s.Commit, s.Term = max(s.Commit, st.Commit), max(s.Term, st.Term)
		}
		if !named.Joining {
			voters++
			if r.Runs {
				running++
			}
		}
		s.Replicas = append(s.Replicas, r)
	}
	for i := range s.Replicas {
		if r := &s.Replicas[i]; r.Runs {
			r.Lag = s.Commit - min(r.Applied, s.Commit)
		}
	}
	s.Quorum = running > voters/2
	if s.Leader.IsZero() {
		n.followedLeader(row, &s)
	}
	return s
}

// replicaStatus is how one replica is, by itself or by what its node said.
func (n *Node) replicaStatus(row *placement.Range, named placement.Replica, r *ReplicaStatus, there map[rangeReplica]*remotepb.ReplicaStatus) (replica.Status, bool) {
	if here := n.running(row, named); here != nil {
		r.Here = true
		return here.Status(), true
	}
	said := there[rangeReplica{row.ID, named.ID}]
	return statusOf(said), said.GetRunning()
}

// followedLeader fills in a leader on another node, as the replicas here know it from Raft.
func (n *Node) followedLeader(row *placement.Range, s *RangeStatus) {
	if n.allHere(row) {
		return
	}
	lead := n.raftLeader(row)
	for _, named := range row.Replicas {
		if named.ID == lead && n.host(named.Drive) == nil {
			s.Leader, s.Quorum = named.Drive, true
		}
	}
}

// Stranded lists the ranges that have lost their quorum for as long as the missing drives do not return, and that
// Recover may take further by itself (I4): all their replicas are on drives of this process, and those that do not run
// number less than a commit's quorum.
func (n *Node) Stranded() (all []ids.Range) {
	m := n.view()
	for _, row := range m.Ranges {
		s := n.rangeStatus(row, nil)
		if !s.Quorum && sameNode(m, row) && n.recoverable(row) {
			all = append(all, row.ID)
		}
	}
	return all
}

// Holds reports whether a drive here has a replica of a range.
func (n *Node) Holds(id ids.Drive, rng ids.Range) bool {
	h := n.host(id)
	return h != nil && h.Replica(rng) != nil
}
