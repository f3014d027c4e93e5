package meta

import (
	"github.com/sherd-io/sherd/internal/ids"
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
	Quorum     bool // more than half of the voters run
}

// ReplicaStatus is one replica of a range.
type ReplicaStatus struct {
	ID      ids.Replica
	Drive   ids.Drive
	Joining bool // not yet a voter
	Here    bool // on a drive of this process, and it runs
	Applied uint64
	Lag     uint64 // entries that it has not applied though they are committed
}

// Status describes every range of the map, for operators and for the planner. It does not block.
func (n *Node) Status() []RangeStatus {
	m := n.opt.Map()
	all := make([]RangeStatus, 0, len(m.Ranges))
	for _, row := range m.Ranges {
		all = append(all, n.rangeStatus(row))
	}
	return all
}

func (n *Node) rangeStatus(row *placement.Range) RangeStatus {
	s := RangeStatus{ID: row.ID, Start: row.Start, End: row.End, Generation: row.Generation}
	voters, running := 0, 0
	for _, named := range row.Replicas {
		r := ReplicaStatus{ID: named.ID, Drive: named.Drive, Joining: named.Joining}
		if h := n.host(named.Drive); h != nil {
			if here := h.Replica(row.ID); here != nil && here.ID() == named.ID && here.Running() {
				st := here.Status()
				r.Here, r.Applied = true, st.Applied
				s.Commit, s.Term = max(s.Commit, st.Commit), max(s.Term, st.Term)
				if st.Serving {
					s.Leader = named.Drive
				}
			}
		}
		if !named.Joining {
			voters++
			if r.Here {
				running++
			}
		}
		s.Replicas = append(s.Replicas, r)
	}
	for i := range s.Replicas {
		if r := &s.Replicas[i]; r.Here {
			r.Lag = s.Commit - min(r.Applied, s.Commit)
		}
	}
	s.Quorum = running > voters/2
	return s
}

// Stranded lists the ranges that have lost their quorum for as long as the missing drives do not return, and that
// Recover may take further by itself (I4): all their replicas are on drives of this process, and those that do not run
// number less than a commit's quorum.
func (n *Node) Stranded() (all []ids.Range) {
	m := n.opt.Map()
	for _, row := range m.Ranges {
		s := n.rangeStatus(row)
		if !s.Quorum && sameNode(m, row) && n.recoverable(row) {
			all = append(all, row.ID)
		}
	}
	return all
}
