package plan

// domain is a node or a zone: what may fail at once.
type domain struct {
	above  int   // of a node: its zone
	places []int // its drives
	stay   int   // how many of them are not being drained

	target, count int // slots that a node should have, and has
	full          float64

	// touched is how many PGs have a slot here, and touchMax how many should: the others take writes at full strength when the
	// domain dies (I19). All may where the drives cannot do without it.
	touched, touchMax int
	spared            bool
}

// level is all domains of one kind, and how many slots of one PG each may hold.
type level struct {
	domains []domain
	least   int // the least under which the slots fit: what is aimed at
	most    int // what fits also where one domain is done without, if that is not more than m: what is allowed
}

// room sums what domains hold at most, each limit slots of a PG, but for one of them (-1: none).
func room(stay []int, limit, without int) (sum int) {
	for i, n := range stay {
		if i != without {
			sum += min(n, limit)
		}
	}
	return sum
}

// setCaps finds how many of n slots of one PG each zone, then each node, holds at most. parity is how many slots may be lost.
func (l *layout) setCaps(n, parity int) {
	zones, nodes := make([]int, len(l.zones.domains)), make([]int, len(l.nodes.domains))
	for i, d := range l.zones.domains {
		zones[i] = d.stay
	}
	for i, d := range l.nodes.domains {
		nodes[i] = d.stay
	}
	l.zones.least = min(n, leastCap(n, func(limit int) int { return room(zones, limit, -1) }))
	l.zones.spare(parity, func(without int) int {
		return leastCap(n, func(limit int) int { return room(zones, limit, without) })
	})
	within := make([]int, len(zones))
	fits := func(zoneCap, without int) func(limit int) int {
		return func(limit int) int {
			clear(within)
			for node, stay := range nodes {
				if node != without {
					within[l.nodes.domains[node].above] += min(stay, limit)
				}
			}
			return room(within, zoneCap, -1)
		}
	}
	l.nodes.least = min(n, leastCap(n, fits(l.zones.least, -1)))
	l.nodes.spare(parity, func(without int) int { return leastCap(n, fits(l.zones.most, without)) })
}

// leastCap is the least limit with which n slots fit; more than n if they do not fit with any.
func leastCap(n int, fit func(limit int) int) int {
	limit := 1
	for limit <= n && fit(limit) < n {
		limit++
	}
	return limit
}

// spare finds which domains can be done without: where the rest holds n slots, none more than parity (or than it must anyway).
// without gives the least cap of the rest.
func (v *level) spare(parity int, without func(int) int) {
	v.most = v.least
	for i := range v.domains {
		d := &v.domains[i]
		d.spared = false
		if d.stay == 0 || len(v.domains) == 1 {
			continue
		}
		if limit := without(i); limit <= max(parity, v.least) {
			d.spared, v.most = true, max(v.most, limit)
		}
	}
}

// setTouches sets how many of groups PGs may have a slot in each domain.
func (v *level) setTouches(groups int) {
	staying := 0
	for i := range v.domains {
		if v.domains[i].stay > 0 {
			staying++
		}
	}
	for i := range v.domains {
		d := &v.domains[i]
		d.touchMax = groups
		if d.spared {
			d.touchMax -= (groups + 2*staying - 1) / (2 * staying)
		}
	}
}

// limit is how many slots of groups PGs a domain of v is given at most. Where it may have several of one PG it does not get all
// that those PGs allow which may touch it: the last could be had only by moving what others have, too.
func (v *level) limit(d *domain, groups int) int {
	switch {
	case !d.spared:
		return groups * v.least
	case v.most == 1:
		return d.touchMax
	}
	return min(groups*v.least, d.touchMax*v.most*7/8)
}
