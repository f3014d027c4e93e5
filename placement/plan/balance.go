package plan

import (
	"container/heap"
	"slices"

	"github.com/sherd-io/sherd/internal/ids"
)

const (
	// moveTolerance is how far from its share a drive may be before slots are moved for that alone.
	moveTolerance = 0.03
	// exactly tolerates nothing: for a table that is only being laid out.
	exactly = -1

	giversTried = 512 // for one taker; only where domains allow almost nothing are there more
	groupsTried = 512 // of one giver
)

// balance moves slots from the drives furthest above their share to those furthest below, as long as either is further from it
// than tolerance.
func (t *table) balance(tolerance float64) {
	over := &queue{l: t.l, sign: -1}
	under := &queue{l: t.l, sign: 1}
	for i := range t.l.places {
		p := &t.l.places[i]
		switch {
		case p.count > p.target && p.stays && p.sound:
			over.places = append(over.places, i)
		case p.count < p.target && p.taker && p.sound:
			under.places = append(under.places, i)
		}
	}
	heap.Init(over)
	heap.Init(under)
	for under.Len() > 0 {
		to := under.places[0]
		if !t.busy(to) && t.give(over, to, tolerance) && t.l.places[to].count < t.l.places[to].target {
			heap.Fix(under, 0)
		} else {
			heap.Pop(under)
		}
	}
}

// give moves one slot to a drive, from the fullest that can.
func (t *table) give(over *queue, to int, tolerance float64) (given bool) {
	var aside []int
	for len(aside) < giversTried && over.Len() > 0 && !given {
		from := over.places[0]
		if tolerance >= 0 && t.l.places[to].off() >= -tolerance && t.l.places[from].off() <= tolerance {
			break // and those behind it are nearer to their share
		}
		if t.busy(from) {
			heap.Pop(over)
			continue
		}
		id, ok := t.choose(from, to)
		if !ok {
			aside = append(aside, heap.Pop(over).(int))
			continue
		}
		g := t.group(id)
		g.remove(from)
		t.move(g, id, from, to, " for balance")
		given = true
		if t.l.places[from].count > t.l.places[from].target {
			heap.Fix(over, 0)
		} else {
			heap.Pop(over)
		}
	}
	for _, i := range aside {
		heap.Push(over, i)
	}
	return given
}

// choose finds the PG of from in which to can best have its slot.
func (t *table) choose(from, to int) (best ids.PG, ok bool) {
	most, tried := 0, 0
	for _, id := range t.byPlace[from] {
		st := &t.pgs[id]
		if st.fixed || st.weak || !slices.Contains(st.members, from) || slices.Contains(st.members, to) {
			continue
		}
		if worth, may := t.worth(st, from, to); may && (!ok || worth > most) {
			best, most, ok = id, worth, true
		}
		if tried++; tried == groupsTried {
			break
		}
	}
	return best, ok
}

// worth rates a move: what it mends or saves in the domains. may is false if they do not allow it.
func (t *table) worth(st *pgState, from, to int) (worth int, may bool) {
	a, b := &t.l.places[from], &t.l.places[to]
	zones := [4]int{a.zone, b.zone}
	nodes := [4]int{a.node, b.node}
	for _, i := range st.members {
		p := &t.l.places[i]
		count(zones[2:], p.zone, a.zone, b.zone)
		count(nodes[2:], p.node, a.node, b.node)
	}
	inZone, may := t.l.zones.worth(zones)
	if !may {
		return 0, false
	}
	onNode, may := t.l.nodes.worth(nodes)
	return inZone + onNode, may
}

func count(n []int, of, a, b int) {
	if of == a {
		n[0]++
	}
	if of == b {
		n[1]++
	}
}

// worth rates a move between the domains m[0] and m[1], which have m[2] and m[3] slots of the PG before.
func (v *level) worth(m [4]int) (worth int, may bool) {
	if m[0] == m[1] {
		return 0, true
	}
	from, to := &v.domains[m[0]], &v.domains[m[1]]
	tired := to.touched >= to.touchMax // no more PGs should touch it: it may have a second slot of one sooner
	switch has := m[3]; {
	case has == 0 && tired, has > 0 && has >= v.least && (has >= v.most || !tired):
		return 0, false
	case has == 0:
		worth += 2
	}
	switch gives := m[2]; {
	case gives > v.least:
		worth += 8
	case from.touched > from.touchMax:
		worth += 16 / gives // one after another, until the domain has no slot of the PG
	case gives > 1:
		worth++
	}
	return worth, true
}

// off is how far the drive is from its share, relative to it; within one slot counts as there.
func (p *place) off() float64 {
	d := p.count - p.target
	if d >= -1 && d <= 1 {
		return 0
	}
	return float64(d) / float64(max(p.target, 1))
}

// queue orders drives by how far they are from their share: those most below it first (sign 1), or most above it (-1).
type queue struct {
	l      *layout
	sign   float64
	places []int
}

// Len, Less, Swap, Push and Pop implement heap.Interface.
func (q *queue) Len() int { return len(q.places) }

func (q *queue) Less(a, b int) bool {
	x, y := &q.l.places[q.places[a]], &q.l.places[q.places[b]]
	if i, j := q.sign*x.off(), q.sign*y.off(); i != j {
		return i < j
	}
	return q.places[a] < q.places[b]
}

func (q *queue) Swap(a, b int) { q.places[a], q.places[b] = q.places[b], q.places[a] }
func (q *queue) Push(x any)    { q.places = append(q.places, x.(int)) }

func (q *queue) Pop() any {
	last := q.places[len(q.places)-1]
	q.places = q.places[:len(q.places)-1]
	return last
}
