package plan

import (
	"slices"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/placement"
)

// MemberCount is how many members the embedded etcd has: as many as a range has replicas, and for the same reason (I9).
// It is even where there are just 2m drives: see placement/member.
func MemberCount(parity, drives int) int { return ReplicaCount(parity, drives) }

// EtcdHosts chooses the drives that have the members of the embedded etcd. Of current it keeps those that are not out;
// others are added in distinct failure domains, on drives that are up.
func EtcdHosts(m *placement.Map, current []ids.Drive) []ids.Drive {
	parity := 0
	for _, p := range m.Pools {
		parity = max(parity, p.M)
	}
	l := newLayout(m.Drives, m.Nodes, usable)
	if len(l.places) == 0 {
		return nil
	}
	want := MemberCount(parity, len(l.places))
	l.setCaps(want)
	l.setTargets(1, want)
	g := l.newGroup(1<<62 + 1)
	hosts := make([]ids.Drive, 0, want)
	take := func(i int) {
		g.add(i)
		hosts = append(hosts, l.places[i].id)
	}
	for _, up := range []bool{true, false} { // of those who are, the ones that answer first
		for _, id := range current {
			if i, ok := l.index[id]; ok && m.Drives[id].Up() == up && len(hosts) < want && !slices.Contains(hosts, id) {
				take(i)
			}
		}
		for up && len(hosts) < want-downOf(m, l, current) {
			i := l.pickUp(m, g)
			if i < 0 {
				break
			}
			take(i)
		}
	}
	return hosts
}

// downOf counts the current hosts that do not answer but are not given up: they keep their place.
func downOf(m *placement.Map, l *layout, current []ids.Drive) (n int) {
	for _, id := range current {
		if _, ok := l.index[id]; ok && !m.Drives[id].Up() {
			n++
		}
	}
	return n
}

// pickUp chooses a drive that answers; one in a domain that is full only if there is no other.
func (l *layout) pickUp(m *placement.Map, g *group) int {
	best := -1
	for _, strict := range []bool{true, false} {
		for i := range l.places {
			p := &l.places[i]
			if !m.Drives[p.id].Up() || slices.Contains(g.members, i) || strict && !g.allows(i) {
				continue
			}
			if best < 0 || rendezvous(g.seed, p.id) > rendezvous(g.seed, l.places[best].id) {
				best = i
			}
		}
		if best >= 0 {
			return best
		}
	}
	return best
}
