package plan

import (
	"fmt"
	"slices"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/placement"
)

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

func sortedPools(m *placement.Map) []*placement.Pool {
	pools := make([]*placement.Pool, 0, len(m.Pools))
	for _, p := range m.Pools {
		pools = append(pools, p)
	}
	slices.SortFunc(pools, func(a, b *placement.Pool) int { return int(a.ID) - int(b.ID) })
	return pools
}

func slotOf(pg *placement.PG, drive ids.Drive) int {
	return slices.IndexFunc(pg.Slots, func(s placement.Slot) bool { return s.Drive == drive })
}

func atRest(pg *placement.PG) bool {
	return !slices.ContainsFunc(pg.Slots, func(s placement.Slot) bool { return !s.Complete })
}
