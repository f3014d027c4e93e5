package plan

import (
	"slices"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/placement"
)

// MemberCount is how many members the embedded etcd has: as many as a range has replicas, and for the same reason (I9).
// It is even where there are just 2m drives: see placement/member.
func MemberCount(parity, drives int) int { return ReplicaCount(parity, drives) }

// EtcdHosts chooses the drives that have the members of the embedded etcd, spread over zones, nodes, then drives. Of current it keeps
// those that are neither out nor being drained, unless their domain has more than it must while another could have one; others are
// added on drives that are up.
func EtcdHosts(m *placement.Map, current []ids.Drive) []ids.Drive {
	l := newLayout(m, func(d *placement.Drive) bool { return usable(d) && !m.Draining(d) })
	if len(l.places) == 0 {
		return nil
	}
	want := MemberCount(mostParity(m), len(l.places))
	l.setCaps(want, 0)
	e := &election{l: l, g: l.newGroup(1<<62 + 1), want: want}
	e.keep(current, true, func(i int) bool { return l.places[i].taker })
	e.keep(current, true, func(int) bool { return true }) // one that does not answer keeps its place until it is given up
	e.fill(aimed)
	e.keep(current, false, func(int) bool { return true }) // too many in its domain, and nobody else can
	e.fill(spread)
	return e.hosts
}

// election is the hosts chosen so far.
type election struct {
	l     *layout
	g     *group
	want  int
	hosts []ids.Drive
}

// keep takes those of current that which accepts, and that the domains have room for, or all.
func (e *election) keep(current []ids.Drive, strict bool, which func(place int) bool) {
	for _, id := range current {
		i, ok := e.l.index[id]
		if ok && len(e.hosts) < e.want && !slices.Contains(e.g.members, i) && which(i) && (!strict || e.fits(i)) {
			e.take(i)
		}
	}
}

// fits reports whether the domains of a place have room for another member.
func (e *election) fits(i int) bool {
	p := &e.l.places[i]
	return e.g.in(p.zone) < e.l.zones.least && e.g.on(p.node) < e.l.nodes.least
}

// fill adds drives that answer, in domains with room, or in any.
func (e *election) fill(s strictness) {
	for len(e.hosts) < e.want {
		best := -1
		for i := range e.l.places {
			p := &e.l.places[i]
			if !p.taker || slices.Contains(e.g.members, i) || s == aimed && !e.fits(i) {
				continue
			}
			if best < 0 || rank(e.g.seed, p.hash) > rank(e.g.seed, e.l.places[best].hash) {
				best = i
			}
		}
		if best < 0 {
			return
		}
		e.take(best)
	}
}

func (e *election) take(i int) {
	e.g.add(i)
	e.hosts = append(e.hosts, e.l.places[i].id)
}
