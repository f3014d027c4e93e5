package plan

import (
	"fmt"
	"slices"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/placement"
)

// joinsForBalance is how many replicas may be joining when another moves though nothing is wrong with the one before it.
const joinsForBalance = 4

// ReplicaMoves brings the ranges towards R replicas on drives that are neither out nor being drained, spread over domains so that
// none has a majority where that is possible (I3), and over drives. In this order: a replica on a drive that is out gets one that
// joins in its stead, on the drive that took that drive's place if there is one; a range with fewer than R gets one more; replicas
// leave drives that are being drained, then domains that have too many, then drives that have more than their share. One replica of
// a range joins at a time; ids are never used again (I10).
func ReplicaMoves(m *placement.Map) []Change {
	l := newLayout(m, usable)
	up, joining := 0, 0
	for i := range l.places {
		if p := &l.places[i]; p.stays && p.sound {
			up++
		}
	}
	if up == 0 {
		return nil
	}
	want := ReplicaCount(mostParity(m), up)
	l.setCaps(want, 0)
	l.setTargets(len(m.Ranges), want)
	groups := make([]*group, len(m.Ranges))
	for i, r := range m.Ranges {
		groups[i] = l.newGroup(rangeSeed(r.ID))
		for _, rep := range r.Replicas {
			if rep.Joining {
				joining++
			}
			if p, ok := l.index[rep.Drive]; ok && !slices.Contains(groups[i].members, p) {
				groups[i].add(p)
			}
		}
	}
	var changes []Change
	for _, pressing := range []bool{true, false} {
		for i, r := range m.Ranges {
			if !r.Settled() { // while it splits, its child takes the replicas that it has
				continue
			}
			var c Change
			var ok bool
			switch {
			case pressing:
				c, ok = groups[i].replaceReplica(m, r, want)
			case joining+len(changes) < joinsForBalance && !contains(changes, r.ID):
				c, ok = groups[i].moveReplica(r)
			}
			if ok {
				changes = append(changes, c)
			}
		}
	}
	return changes
}

func contains(changes []Change, id ids.Range) bool {
	return slices.ContainsFunc(changes, func(c Change) bool { return c.Range.ID == id })
}

func mostParity(m *placement.Map) (parity int) {
	for _, p := range m.Pools {
		parity = max(parity, p.M)
	}
	return parity
}

// replaceReplica does what must be done for a range none of whose replicas is joining.
func (g *group) replaceReplica(m *placement.Map, r *placement.Range, want int) (Change, bool) {
	var gone, drained placement.Replica
	live := 0
	for _, rep := range r.Replicas {
		i, known := g.l.index[rep.Drive]
		switch {
		case !known:
			gone = rep
		default:
			live++
			if !g.l.places[i].stays {
				drained = rep
			}
		}
	}
	switch {
	case gone.ID != 0:
		return g.join(m, r, gone)
	case live < want:
		return g.join(m, r, placement.Replica{})
	case drained.ID != 0:
		return g.join(m, r, drained)
	}
	return Change{}, false
}

// join orders a replica in old's stead (no id: as one more).
func (g *group) join(m *placement.Map, r *placement.Range, old placement.Replica) (Change, bool) {
	l, to, from := g.l, -1, -1
	if i, ok := l.index[old.Drive]; ok && old.ID != 0 {
		from = i
		g.remove(from)
	}
	if heir := Heir(m, old.Drive); heir != nil && old.ID != 0 {
		if i, ok := l.index[heir.ID]; ok && l.places[i].taker && !slices.Contains(g.members, i) {
			to = i
		}
	}
	if to < 0 {
		to = g.pick(1 << 30)
	}
	if to < 0 || !l.places[to].sound {
		if from >= 0 {
			g.add(from)
		}
		return Change{}, false
	}
	g.add(to)
	return joining(r, l.places[to].id, old.ID), true
}

func joining(r *placement.Range, on ids.Drive, instead ids.Replica) Change {
	next := *r
	next.Replicas = append(slices.Clone(r.Replicas), placement.Replica{ID: r.NextReplica, Drive: on, Joining: true, Replaces: instead})
	next.NextReplica++
	return Change{Why: fmt.Sprintf("replica %d joins on drive %s", r.NextReplica, on), Range: &next}
}

// moveReplica moves one for spread or balance: out of a domain that has more than it must, or from a drive that is above its share
// to one that is below, unless they are one away from it each.
func (g *group) moveReplica(r *placement.Range) (Change, bool) {
	l := g.l
	for _, rep := range r.Replicas {
		i, ok := l.index[rep.Drive]
		if !ok || !l.places[i].sound {
			return Change{}, false // not while a replica may be missing
		}
	}
	for _, rep := range r.Replicas {
		from := l.index[rep.Drive]
		p := &l.places[from]
		crowded := g.on(p.node) > l.nodes.least || g.in(p.zone) > l.zones.least
		if !crowded && p.count <= p.target {
			continue
		}
		over := p.count - p.target
		g.remove(from)
		if to := g.pick(1 << 30); to >= 0 && to != from && l.places[to].sound {
			if under := l.places[to].target - l.places[to].count; crowded || under > 0 && over+under > 2 {
				g.add(to)
				return joining(r, l.places[to].id, rep.ID), true
			}
		}
		g.add(from)
	}
	return Change{}, false
}

// Leaders says which drive should lead each range: one with a voter that is up and stays, so that the leaders are spread over nodes,
// then over drives. It changes little when the map does: each range has an order of preference of its own, and takes the first
// that is not full yet. A range without such a voter is not in it.
func Leaders(m *placement.Map) map[ids.Range]ids.Drive {
	l := newLayout(m, func(d *placement.Drive) bool { return d.State == placement.DriveUp && !m.Draining(d) })
	nodes, drives := map[int]bool{}, map[int]bool{}
	for _, r := range m.Ranges {
		for _, i := range l.voters(r) {
			nodes[l.places[i].node], drives[i] = true, true
		}
	}
	if len(drives) == 0 {
		return nil
	}
	onNode, onDrive := make([]int, len(l.nodes.domains)), make([]int, len(l.places))
	leaders := make(map[ids.Range]ids.Drive, len(m.Ranges))
	for _, r := range m.Ranges {
		best := -1
		var bestHash uint64
		for _, i := range l.voters(r) {
			p, hash := &l.places[i], rank(rangeSeed(r.ID), l.places[i].hash)
			full := func(i int) int { // what is left over goes where there is least
				return max(0, onNode[l.places[i].node]-len(m.Ranges)/len(nodes))*len(m.Ranges) + max(0, onDrive[i]-len(m.Ranges)/len(drives))
			}
			if best < 0 || full(i) < full(best) || full(i) == full(best) && hash > bestHash {
				best, bestHash = l.index[p.id], hash
			}
		}
		if best >= 0 {
			onNode[l.places[best].node]++
			onDrive[best]++
			leaders[r.ID] = l.places[best].id
		}
	}
	return leaders
}

// voters are the places with a voter of r.
func (l *layout) voters(r *placement.Range) (out []int) {
	for _, rep := range r.Replicas {
		if i, ok := l.index[rep.Drive]; ok && !rep.Joining && !rep.Leaving {
			out = append(out, i)
		}
	}
	return out
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
	next.Replicas[j].Joining, next.Replicas[j].Leaving, next.Replicas[j].Replaces = false, false, 0
	next.Replicas = slices.DeleteFunc(next.Replicas, func(a placement.Replica) bool { return gone != 0 && a.ID == gone })
	return Change{Why: fmt.Sprintf("replica %d has joined", joined), Range: &next}, true
}
