package plan

import "slices"

// group is the drives of one PG or range, while it is put together. Adding and removing members keeps the layout's counts.
type group struct {
	l       *layout
	seed    uint64
	members []int
	without [2]int // the zone and the node that this group should do without; -1: none
}

func (l *layout) newGroup(seed uint64) *group {
	return &group{l: l, seed: seed, without: [2]int{-1, -1}}
}

// on counts the members on a node, and in a zone.
func (g *group) on(node int) (n int) {
	for _, i := range g.members {
		if g.l.places[i].node == node {
			n++
		}
	}
	return n
}

func (g *group) in(zone int) (n int) {
	for _, i := range g.members {
		if g.l.places[i].zone == zone {
			n++
		}
	}
	return n
}

func (g *group) add(i int) {
	p := &g.l.places[i]
	node, zone := &g.l.nodes.domains[p.node], &g.l.zones.domains[p.zone]
	if g.on(p.node) == 0 {
		node.touched++
	}
	if g.in(p.zone) == 0 {
		zone.touched++
	}
	g.members = append(g.members, i)
	g.l.hold(i, 1)
}

func (g *group) remove(i int) {
	g.members = slices.DeleteFunc(g.members, func(m int) bool { return m == i })
	p := &g.l.places[i]
	node, zone := &g.l.nodes.domains[p.node], &g.l.zones.domains[p.zone]
	if g.on(p.node) == 0 {
		node.touched--
	}
	if g.in(p.zone) == 0 {
		zone.touched--
	}
	g.l.hold(i, -1)
}

// strictness says which wishes a choice of a drive honours: each of them may be beyond what the drives allow.
type strictness uint8

const (
	aimed   strictness = iota // domains hold what is aimed at, and no domain is touched by more PGs than it should be
	allowed                   // domains hold what is allowed at most
	spread                    // as allowed, however many PGs touch a domain
)

// takes reports whether a domain of v may have one more slot of a PG of which it has n, when chosen as strictly as s.
func (v *level) takes(d, n, without int, s strictness) bool {
	limit := v.most
	if s == aimed {
		limit = v.least
	}
	if n >= limit {
		return false
	}
	return s == spread || n > 0 || d != without && v.domains[d].touched < v.domains[d].touchMax
}

// candidate is a node or a drive, compared with others of its kind.
type candidate struct {
	index  int
	forced bool // it gets all that it should have only if it is taken now
	fill   float64
	hash   uint64
}

// better reports whether one that is forced or not, and so full, goes before c, whatever its rank; level: its rank decides.
func (c *candidate) better(forced bool, fill float64) (better, level bool) {
	switch {
	case c.index < 0 || forced != c.forced:
		return c.index < 0 || forced, false
	case fill != c.fill:
		return fill < c.fill, false
	}
	return false, true
}

// pick chooses the drive that is furthest behind its target on the node that is, equal ones by hash; -1 if none is allowed.
// remaining is how many groups, this one included, are still to be filled.
func (g *group) pick(remaining int) int {
	return g.pickWithin(remaining, spread)
}

// pickWithin is pick as strictly as it goes, but at least as strictly as least.
func (g *group) pickWithin(remaining int, least strictness) int {
	l := g.l
	if l.onNode == nil {
		l.onNode, l.inZone = make([]int, len(l.nodes.domains)), make([]int, len(l.zones.domains))
	}
	for _, i := range g.members {
		l.onNode[l.places[i].node]++
		l.inZone[l.places[i].zone]++
	}
	best := -1
	for s := aimed; s <= least && best < 0; s++ {
		best = g.pickStrictly(remaining, s)
	}
	for _, i := range g.members {
		l.onNode[l.places[i].node], l.inZone[l.places[i].zone] = 0, 0
	}
	return best
}

func (g *group) pickStrictly(remaining int, s strictness) int {
	l, best, bestDrive := g.l, candidate{index: -1}, -1
	for node := range l.nodes.domains {
		d := &l.nodes.domains[node]
		forced := d.target-d.count > (remaining-1)*l.nodes.least
		better, level := best.better(forced, d.full)
		if !better && !level || !l.zones.takes(d.above, l.inZone[d.above], g.without[0], s) || !l.nodes.takes(node, l.onNode[node], g.without[1], s) {
			continue
		}
		hash := rank(g.seed, uint64(node))
		if !better && hash <= best.hash {
			continue
		}
		if drive := g.pickOn(node, remaining); drive >= 0 {
			best, bestDrive = candidate{node, forced, d.full, hash}, drive
		}
	}
	return bestDrive
}

// pickOn chooses among the drives of a node; -1 if none can be given more.
func (g *group) pickOn(node, remaining int) int {
	best := candidate{index: -1}
	for _, i := range g.l.nodes.domains[node].places {
		p := &g.l.places[i]
		if !p.taker || slices.Contains(g.members, i) {
			continue
		}
		forced, hash := p.target-p.count >= remaining, rank(g.seed, p.hash)
		if better, level := best.better(forced, p.full); better || level && hash > best.hash {
			best = candidate{i, forced, p.full, hash}
		}
	}
	return best.index
}

// tired is the domain of v that a group should do without, so that it is not touched by more than its part of the first so many
// of all groups; -1 if there is none.
func (v *level) tired(groups, of int) int {
	worst, over := -1, 0
	for i := range v.domains {
		d := &v.domains[i]
		if !d.spared {
			continue
		}
		if by := (d.touched+1)*of - d.touchMax*groups; by > over {
			worst, over = i, by
		}
	}
	return worst
}
