package plan

import (
	"fmt"
	"slices"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/placement"
)

// ReplicaMoves brings the ranges towards R replicas on drives that are not out (I3): a replica on a drive that is out gets
// one that joins in its stead, on the drive that took that drive's place if there is one; a range with fewer than R
// gets one more. One replica of a range joins at a time; ids are never used again (I10).
func ReplicaMoves(m *placement.Map) []Change {
	parity := 0
	for _, p := range m.Pools {
		parity = max(parity, p.M)
	}
	l := newLayout(m.Drives, m.Nodes, func(d *placement.Drive) bool { return d.State == placement.DriveUp })
	if len(l.places) == 0 {
		return nil
	}
	want := ReplicaCount(parity, len(l.places))
	l.setCaps(want)
	l.setTargets(len(m.Ranges), want)
	for _, r := range m.Ranges {
		for _, rep := range r.Replicas {
			if i, ok := l.index[rep.Drive]; ok {
				l.places[i].count++
			}
		}
	}
	var changes []Change
	for _, r := range m.Ranges {
		if c, ok := l.moveReplica(m, r, want); ok {
			changes = append(changes, c)
		}
	}
	return changes
}

func (l *layout) moveReplica(m *placement.Map, r *placement.Range, want int) (Change, bool) {
	if r.Splitting != nil { // its child takes the replicas that it has
		return Change{}, false
	}
	g := l.newGroup(rangeSeed(r.ID))
	var lost placement.Replica
	live := 0
	for _, rep := range r.Replicas {
		if rep.Joining {
			return Change{}, false
		}
		if i, ok := l.index[rep.Drive]; ok {
			g.add(i)
		}
		if d := m.Drives[rep.Drive]; d != nil && d.State != placement.DriveOut {
			live++
		} else if lost.ID == 0 {
			lost = rep
		}
	}
	if lost.ID == 0 && live >= want {
		return Change{}, false
	}
	to := -1
	if lost.ID != 0 {
		if i, ok := l.index[heir(m, lost.Drive)]; ok && !slices.Contains(g.members, i) {
			to = i
		}
	}
	if to < 0 {
		to = g.pick(1 << 30)
	}
	if to < 0 {
		return Change{}, false
	}
	l.places[to].count++
	next := *r
	next.Replicas = append(slices.Clone(r.Replicas),
		placement.Replica{ID: r.NextReplica, Drive: l.places[to].id, Joining: true, Replaces: lost.ID})
	next.NextReplica++
	why := fmt.Sprintf("replica %d joins on drive %s", r.NextReplica, l.places[to].id)
	return Change{Why: why, Range: &next}, true
}

// heir is the drive in the place of one that is out, or in the place of that, and so on; zero if there is none.
func heir(m *placement.Map, out ids.Drive) ids.Drive {
	for range len(m.Drives) {
		var next *placement.Drive
		for _, d := range m.Drives {
			if d.Replaces == out {
				next = d
			}
		}
		if next == nil {
			return ids.Drive{}
		}
		if next.State != placement.DriveOut {
			return next.ID
		}
		out = next.ID
	}
	return ids.Drive{}
}

// ReplicaJoined says that a joining replica is a voter now; the one that it replaces leaves the directory.
func ReplicaJoined(m *placement.Map, id ids.Range, joined ids.Replica) (Change, bool) {
	i := slices.IndexFunc(m.Ranges, func(r *placement.Range) bool { return r.ID == id })
	if i < 0 {
		return Change{}, false
	}
	r := m.Ranges[i]
	j := slices.IndexFunc(r.Replicas, func(a placement.Replica) bool { return a.ID == joined && a.Joining })
	if j < 0 {
		return Change{}, false
	}
	next := *r
	next.Replicas = slices.Clone(r.Replicas)
	gone := next.Replicas[j].Replaces
	next.Replicas[j].Joining, next.Replicas[j].Replaces = false, 0
	next.Replicas = slices.DeleteFunc(next.Replicas, func(a placement.Replica) bool { return gone != 0 && a.ID == gone })
	return Change{Why: fmt.Sprintf("replica %d has joined", joined), Range: &next}, true
}
