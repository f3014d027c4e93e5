package plan

import (
	"fmt"
	"slices"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/placement"
)

// DriveReplaced gives every slot of old to next, which took its place. The slots are to be rebuilt, from old too if that
// can still be read. The replicas of ranges are ReplicaMoves's. PGs that next is in already are left to DriveOut.
func DriveReplaced(m *placement.Map, old, next ids.Drive) []Change {
	why := fmt.Sprintf("drive %s takes the place of %s", next, old)
	return eachPG(m, func(pg *placement.PG) *placement.PG {
		if slotOf(pg, next) >= 0 {
			return nil
		}
		return withOwner(m, pg, slotOf(pg, old), next)
	}, why)
}

// DriveOut gives the slots of a drive that is lost for good to others, each to the one furthest behind its share that the
// domains allow. Where every drive has a slot of the PG already there is nobody to take it: that PG stays one short.
func DriveOut(m *placement.Map, lost ids.Drive) []Change {
	var changes []Change
	for _, pool := range sortedPools(m) {
		l := poolLayout(m, pool, func(d *placement.Drive) bool { return d.State != placement.DriveOut && d.ID != lost })
		if len(l.places) == 0 {
			continue
		}
		for id, pg := range pool.PGs {
			slot := slotOf(pg, lost)
			if slot < 0 {
				continue
			}
			g := l.group(pg, seedOf(pool.ID, ids.PG(id)))
			p := g.pick(1 << 30)
			if p < 0 {
				continue
			}
			l.places[p].count++
			changes = append(changes, Change{
				Why: fmt.Sprintf("drive %s is out", lost), Pool: pool.ID, ID: ids.PG(id),
				PG: withOwner(m, pg, slot, l.places[p].id),
			})
		}
	}
	return changes
}

// moveTolerance is how far from its share a drive may be before slots are moved for that alone.
const moveTolerance = 0.05

// DriveAdded moves slots to drives below their share until all are within 5 % of it, with the fewest moves: one round of
// it, in which no PG moves more than one slot and none that has one moving already. When the moves of a round are
// complete the next call makes the next. The moved slots are read from their old owner.
func DriveAdded(m *placement.Map) []Change {
	var changes []Change
	for _, pool := range sortedPools(m) {
		l := poolLayout(m, pool, func(d *placement.Drive) bool { return d.State == placement.DriveUp })
		if len(l.places) >= pool.N() {
			changes = append(changes, l.rebalance(m, pool)...)
		}
	}
	return changes
}

// rebalance moves one slot at a time from the fullest drive to the emptiest that a PG allows.
func (l *layout) rebalance(m *placement.Map, pool *placement.Pool) (changes []Change) {
	table := slices.Clone(pool.PGs)
	byDrive := make([][]ids.PG, len(l.places)) // PGs at rest
	for id, pg := range table {
		if !atRest(pg) {
			continue
		}
		for _, s := range pg.Slots {
			if i, ok := l.index[s.Drive]; ok {
				byDrive[i] = append(byDrive[i], ids.PG(id))
			}
		}
	}
	for {
		from, to, id := l.bestMove(table, byDrive, pool.ID)
		if to < 0 {
			return changes
		}
		pg := table[id]
		next := withOwner(m, pg, slotOf(pg, l.places[from].id), l.places[to].id)
		l.places[from].count--
		l.places[to].count++
		table[id] = next // not at rest any more
		changes = append(changes, Change{
			Why:  fmt.Sprintf("slot moves from drive %s to %s for balance", l.places[from].id, l.places[to].id),
			Pool: pool.ID, ID: id, PG: next,
		})
	}
}

// bestMove finds a drive, a PG that can give its slot up, and who takes it: the drive that is furthest from its share
// first. to is -1 when all are near enough, or nothing can move.
func (l *layout) bestMove(table []*placement.PG, byDrive [][]ids.PG, pool ids.Pool) (from, to int, id ids.PG) {
	over, under := l.ordered()
	for _, to := range under {
		for _, from := range over {
			a, b := &l.places[from], &l.places[to]
			if a.off() <= moveTolerance && b.off() >= -moveTolerance || a.count-a.target <= 0 && b.count+1 > b.target {
				continue
			}
			if a.count <= a.target || b.count >= b.target {
				continue
			}
			for _, id := range byDrive[from] {
				if pg := table[id]; atRest(pg) && l.movable(pg, from, to, seedOf(pool, id)) {
					return from, to, id
				}
			}
		}
	}
	return 0, -1, 0
}

func (l *layout) movable(pg *placement.PG, from, to int, seed uint64) bool {
	if slotOf(pg, l.places[from].id) < 0 {
		return false
	}
	g := l.group(pg, seed)
	g.remove(from)
	return g.allows(to)
}

// ordered lists the drives above their share, fullest first, and those below, emptiest first.
func (l *layout) ordered() (over, under []int) {
	for i := range l.places {
		if l.places[i].count > l.places[i].target {
			over = append(over, i)
		}
		if l.places[i].count < l.places[i].target {
			under = append(under, i)
		}
	}
	slices.SortStableFunc(over, func(a, b int) int { return compareOff(&l.places[b], &l.places[a]) })
	slices.SortStableFunc(under, func(a, b int) int { return compareOff(&l.places[a], &l.places[b]) })
	return over, under
}

func compareOff(a, b *place) int {
	switch x, y := a.off(), b.off(); {
	case x < y:
		return -1
	case x > y:
		return 1
	}
	return 0
}

// off is how far the drive is from its share, relative to it; within one slot counts as there.
func (p *place) off() float64 {
	d := p.count - p.target
	if d >= -1 && d <= 1 {
		return 0
	}
	return float64(d) / float64(max(p.target, 1))
}

// SlotComplete says that the owner of a slot holds all that was written before it became the owner at since (I5). A change
// of owner meanwhile makes it nothing. The epoch stays: the owners do.
func SlotComplete(m *placement.Map, pool ids.Pool, id ids.PG, slot int, owner ids.Drive, since uint64) (Change, bool) {
	p := m.Pools[pool]
	if p == nil || int(id) >= len(p.PGs) || slot >= len(p.PGs[id].Slots) {
		return Change{}, false
	}
	pg := p.PGs[id]
	if s := pg.Slots[slot]; s.Drive != owner || s.Since != since || s.Complete {
		return Change{}, false
	}
	next := *pg
	next.Slots = slices.Clone(pg.Slots)
	next.Slots[slot].Complete, next.Slots[slot].From = true, ids.Drive{}
	return Change{Why: fmt.Sprintf("slot %d is complete on drive %s", slot, owner), Pool: pool, ID: id, PG: &next}, true
}

// withOwner is pg with a new owner of one slot; nil if slot is below 0.
func withOwner(m *placement.Map, pg *placement.PG, slot int, owner ids.Drive) *placement.PG {
	if slot < 0 {
		return nil
	}
	next := *pg
	next.Epoch++
	next.Slots = slices.Clone(pg.Slots)
	was := pg.Slots[slot]
	next.Slots[slot] = placement.Slot{Drive: owner, Since: next.Epoch, From: source(m, was)}
	return &next
}

// source is who can still be read for a slot that changes hands: its owner if that was complete, else whom the owner
// itself was being filled from.
func source(m *placement.Map, was placement.Slot) ids.Drive {
	if was.Complete && m.Drives[was.Drive].Up() {
		return was.Drive
	}
	if !was.Complete && !was.From.IsZero() && m.Drives[was.From].Up() {
		return was.From
	}
	return ids.Drive{}
}

func eachPG(m *placement.Map, change func(*placement.PG) *placement.PG, why string) (changes []Change) {
	for _, pool := range sortedPools(m) {
		for id, pg := range pool.PGs {
			if next := change(pg); next != nil {
				changes = append(changes, Change{Why: why, Pool: pool.ID, ID: ids.PG(id), PG: next})
			}
		}
	}
	return changes
}

func sortedPools(m *placement.Map) []*placement.Pool {
	pools := make([]*placement.Pool, 0, len(m.Pools))
	for _, p := range m.Pools {
		pools = append(pools, p)
	}
	slices.SortFunc(pools, func(a, b *placement.Pool) int { return int(a.ID) - int(b.ID) })
	return pools
}

// poolLayout is the drives that usable accepts, with their targets and what they hold of the pool.
func poolLayout(m *placement.Map, pool *placement.Pool, usable func(*placement.Drive) bool) *layout {
	l := newLayout(m.Drives, m.Nodes, usable)
	if len(l.places) == 0 {
		return l
	}
	l.setCaps(pool.N())
	l.setTargets(pool.PGCount, pool.N())
	for _, pg := range pool.PGs {
		for _, s := range pg.Slots {
			if i, ok := l.index[s.Drive]; ok {
				l.places[i].count++
			}
		}
	}
	return l
}

// group is the drives of pg that the layout knows.
func (l *layout) group(pg *placement.PG, seed uint64) *group {
	g := l.newGroup(seed)
	for _, s := range pg.Slots {
		if i, ok := l.index[s.Drive]; ok {
			g.add(i)
		}
	}
	return g
}

func slotOf(pg *placement.PG, drive ids.Drive) int {
	return slices.IndexFunc(pg.Slots, func(s placement.Slot) bool { return s.Drive == drive })
}

func atRest(pg *placement.PG) bool {
	return !slices.ContainsFunc(pg.Slots, func(s placement.Slot) bool { return !s.Complete })
}
