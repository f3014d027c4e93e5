package plan

import (
	"fmt"
	"slices"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/placement"
)

// Pace bounds what moves at once, so that a move can still be called off, and foreground load goes on.
type Pace struct {
	PerDrive int // slots in motion that one drive takes part in, as giver or taker; 0: any number
}

// Moves is what is to move next, most pressing first: slots of drives that are being drained; of domains that hold more of a PG than
// may be lost; from drives above their share to those below, until all are within 3 % of it; and those that keep a domain from
// being done without. It is nothing while slots are lost that somebody can take (Lost). No PG changes more than one slot, and none
// that has one in motion already: so when the moves of a round are complete, the next call makes the next, and there is nothing to
// remember in between (I19). Moved slots are read from their old owner.
func Moves(m *placement.Map, pace Pace) (changes []Change) {
	if len(Lost(m)) > 0 {
		return nil
	}
	moving := inMotion(m)
	for _, pool := range sortedPools(m) {
		t := newTable(m, pool)
		if t.l.staying() < pool.N() {
			continue // there is nobody to take anything
		}
		t.moving, t.pace = moving, pace.PerDrive
		draining := t.drain()
		t.mend()
		if idle := t.resting && len(t.changes) == 0; idle || !draining { // what is drained goes to those that lack something
			t.balance(moveTolerance)
		}
		if t.resting && len(t.changes) == 0 {
			t.spare()
		}
		changes = append(changes, t.changes...)
	}
	return changes
}

// InMotion counts the slots that are being filled.
func InMotion(m *placement.Map) (n int) {
	for _, pool := range m.Pools {
		for _, pg := range pool.PGs {
			for _, s := range pg.Slots {
				if !s.Complete && !s.Drive.IsZero() {
					n++
				}
			}
		}
	}
	return n
}

// inMotion counts the incomplete slots that each drive takes part in.
func inMotion(m *placement.Map) map[ids.Drive]int {
	moving := map[ids.Drive]int{}
	for _, pool := range m.Pools {
		for _, pg := range pool.PGs {
			for _, s := range pg.Slots {
				if !s.Complete && !s.Drive.IsZero() {
					moving[s.Drive]++
					moving[s.From]++
				}
			}
		}
	}
	return moving
}

// Lost gives the slots of drives that are out, or not in the map any more, to others: to the drive in its place if there is one,
// else to the one furthest behind its share. Where every drive has a slot of the PG already there is nobody to take it: that PG
// stays one short. Whatever is in motion, one slot of a PG at a time: then the next call gives the next.
func Lost(m *placement.Map) (changes []Change) {
	for _, pool := range sortedPools(m) {
		changes = append(changes, lost(m, pool)...)
	}
	return changes
}

func lost(m *placement.Map, pool *placement.Pool) (changes []Change) {
	var t *table // made when there is something to give
	for id, pg := range pool.PGs {
		slot := slices.IndexFunc(pg.Slots, func(s placement.Slot) bool { return isLost(m, s.Drive) })
		if slot < 0 || pg.Slots[slot].Drive.IsZero() {
			continue
		}
		if t == nil {
			t = newTable(m, pool)
			t.heirs = heirsIn(m)
		}
		if c, ok := t.replace(ids.PG(id)); ok {
			changes = append(changes, c)
		}
	}
	return changes
}

func isLost(m *placement.Map, id ids.Drive) bool {
	d := m.Drives[id]
	return d == nil || d.State == placement.DriveOut
}

// replace gives the first lost slot of a PG that somebody can take to who takes it.
func (t *table) replace(id ids.PG) (Change, bool) {
	pg := t.pool.PGs[id]
	for slot, s := range pg.Slots {
		if !isLost(t.m, s.Drive) {
			continue
		}
		g := t.group(id)
		to, why := -1, "drive %s is out"
		if i, ok := t.l.index[t.heirs.of(t.m, s.Drive)]; ok && t.l.places[i].stays && slotOf(pg, t.l.places[i].id) < 0 {
			to, why = i, "drive %s was replaced"
		}
		if to < 0 {
			to = g.pick(1 << 30)
		}
		if to < 0 {
			continue
		}
		g.add(to)
		return Change{Why: fmt.Sprintf(why, s.Drive), Pool: t.pool.ID, ID: id, PG: withOwner(t.m, pg, slot, t.l.places[to].id)}, true
	}
	return Change{}, false
}

// table is the PGs of one pool while slots move. A place's number stands for its drive.
type table struct {
	m       *placement.Map
	l       *layout
	pool    *placement.Pool
	pgs     []pgState
	byPlace [][]ids.PG // PGs that have, or had, a slot on the place
	resting bool       // no slot of the pool is in motion

	heirs   heirs
	moving  map[ids.Drive]int
	pace    int // 0: none
	changes []Change
}

// pgState is who has the slots of one PG.
type pgState struct {
	members []int // places that the layout knows
	fixed   bool  // a slot of it is in motion, or nothing is in it: it is left alone
	weak    bool  // a drive of it is not up: it is moved only where that is necessary
}

// newTable takes a pool's PGs as they are.
func newTable(m *placement.Map, pool *placement.Pool) *table {
	l := newLayout(m, func(d *placement.Drive) bool { return usable(d) && m.Uses(pool, d) })
	t := &table{m: m, l: l, pool: pool, resting: true}
	t.pgs, t.byPlace = make([]pgState, len(pool.PGs)), make([][]ids.PG, len(l.places))
	if len(l.places) == 0 {
		return t
	}
	l.setCaps(pool.N(), pool.M)
	l.setTargets(pool.PGCount, pool.N())
	for id, pg := range pool.PGs {
		st := &t.pgs[id]
		st.members = make([]int, 0, len(pg.Slots))
		g := l.newGroup(0)
		g.members = st.members
		for _, s := range pg.Slots {
			if i, ok := l.index[s.Drive]; ok {
				g.add(i)
				st.weak = st.weak || !l.places[i].sound
			} else {
				st.weak = true
			}
		}
		st.members = g.members
		st.fixed = !atRest(pg)
		t.resting = t.resting && !st.fixed
		t.list(ids.PG(id))
	}
	return t
}

func (t *table) list(id ids.PG) {
	for _, i := range t.pgs[id].members {
		t.byPlace[i] = append(t.byPlace[i], id)
	}
}

// group is the drives of a PG, to be changed.
func (t *table) group(id ids.PG) *group {
	g := t.l.newGroup(seedOf(t.pool.ID, id))
	g.members = slices.Clone(t.pgs[id].members)
	return g
}

// busy reports a drive that takes part in as many moves as it may.
func (t *table) busy(i int) bool { return t.pace > 0 && t.moving[t.l.places[i].id] >= t.pace }

// move notes that to has from's slot of a PG now. g is the PG's group with from taken out.
func (t *table) move(g *group, id ids.PG, from, to int, why string) {
	g.add(to)
	st := &t.pgs[id]
	st.members = g.members
	t.byPlace[to] = append(t.byPlace[to], id)
	if t.m == nil {
		return // a table that is only being laid out
	}
	st.fixed = true
	giver, taker := t.l.places[from].id, t.l.places[to].id
	t.moving[giver]++
	t.moving[taker]++
	pg := t.pool.PGs[id]
	t.changes = append(t.changes, Change{
		Why:  fmt.Sprintf("slot moves from drive %s to %s%s", giver, taker, why),
		Pool: t.pool.ID, ID: id, PG: withOwner(t.m, pg, slotOf(pg, giver), taker),
	})
}

// shift moves from's slot of a PG to the drive that is furthest behind its share, if one can take it.
func (t *table) shift(id ids.PG, from int, why string, least strictness) bool {
	g := t.group(id)
	g.remove(from)
	to := g.pickWithin(1<<30, least)
	if to < 0 || to == from || t.busy(to) {
		g.add(from)
		return false
	}
	t.move(g, id, from, to, why)
	return true
}

// drain moves slots away from drives that are being drained, and reports whether there are any.
func (t *table) drain() (draining bool) {
	for from := range t.l.places {
		if t.l.places[from].stays || t.l.places[from].count == 0 {
			continue
		}
		draining = true
		for _, id := range t.byPlace[from] {
			if t.busy(from) {
				break
			}
			if !t.pgs[id].fixed {
				t.shift(id, from, ", which is drained", spread)
			}
		}
	}
	return draining
}
