package node

import (
	"maps"
	"slices"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/placement"
)

// share gives the ranges that the healer of the node of that name looks after; each range is one node's. It is one of those that live and have
// a replica of it on an up drive: by its replica it sees when the ledger is to be counted anew. Where there is none, it is any that
// lives and has drives, and that counts again and again. A gateway has none.
func share(m *placement.Map, self string) (mine []*placement.Range) {
	healers := map[ids.Drive]string{} // the node of each drive
	for id, d := range m.Drives {
		if d.State != placement.DriveOut && (m.Alive[d.Node] || d.Node == self) {
			healers[id] = d.Node
		}
	}
	all := slices.Compact(slices.Sorted(maps.Values(healers)))
	for _, r := range m.Ranges {
		of := holders(m, r, healers)
		if len(of) == 0 {
			of = all
		}
		if len(of) > 0 && of[uint64(r.ID)%uint64(len(of))] == self {
			mine = append(mine, r)
		}
	}
	return mine
}

// holders names those of the nodes that have a voter of r on an up drive, in order.
func holders(m *placement.Map, r *placement.Range, nodes map[ids.Drive]string) (of []string) {
	for _, rep := range r.Replicas {
		if node, lives := nodes[rep.Drive]; lives && !rep.Joining && m.Drives[rep.Drive].State == placement.DriveUp {
			of = append(of, node)
		}
	}
	slices.Sort(of)
	return slices.Compact(of)
}
