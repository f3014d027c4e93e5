package plan

import (
	"cmp"
	"slices"
	"time"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/placement"
)

// Outlook is what the planner knows, besides the map, when it considers giving a drive up.
type Outlook struct {
	// Down is for how long this process has seen a drive to be down, by no wall clock: a wrong one gives nothing up (I18).
	Down func(*placement.Drive) time.Duration
	Etcd time.Duration // how long etcd has answered without a break
	Held bool          // the time after a restore, in which nothing is given up (I9)

	// Answering are the nodes that some other node still reaches, whatever the map says of them.
	Answering map[string]bool

	OutAfter  time.Duration // how long a drive may be down
	EtcdGrace time.Duration // how long after a break of etcd nothing is given up
}

// GiveUp chooses the drive that is put out next though nobody asked for it, the one that is down longest; zero if there is
// none (I19): not when more are gone than the pools can lose, or than are on one node that they can lose; nor soon after a start
// or a restart of etcd, when the map may not know yet who is back; nor if its node shows no sign of life but answers others, so
// that it is not the drive that is lost; and only one whose slots others can take: else it may as well come back.
func GiveUp(m *placement.Map, o Outlook) ids.Drive {
	if o.Held || o.Etcd < o.EtcdGrace || !survivable(m) {
		return ids.Drive{}
	}
	var due []*placement.Drive
	for _, d := range m.Drives {
		cutOff := o.Answering[d.Node] && !m.Alive[d.Node]
		if d.State == placement.DriveDown && o.Down(d) >= o.OutAfter && !cutOff {
			due = append(due, d)
		}
	}
	slices.SortFunc(due, func(a, b *placement.Drive) int { return cmp.Or(a.Since.Compare(b.Since), compareDrives(a, b)) })
	for _, d := range due {
		if canBeSpared(m, d) {
			return d.ID
		}
	}
	return ids.Drive{}
}

// canBeSpared reports whether somebody can take a slot of d; of one that has none, whether ranges can do with the drives that there are
// besides: what it was to get, a replica that was joining there, holds up its range else.
func canBeSpared(m *placement.Map, d *placement.Drive) bool {
	if h := Holdings(m, nil)[d.ID]; h.Slots+h.Source == 0 {
		n := 0
		for _, other := range m.Drives {
			if other.Up() && !m.Draining(other) {
				n++
			}
		}
		return n >= ReplicaCount(mostParity(m), n+1)
	}
	out := *d
	out.State = placement.DriveOut
	after := Apply(m, []Change{{Drive: &out}})
	for _, pool := range after.Pools {
		if len(lost(after, pool)) > 0 {
			return true
		}
	}
	return false
}

// survivable reports whether the drives that are gone are no more than every pool can lose: m of them, or those of one node where
// pools are spread over nodes so that they can lose one.
func survivable(m *placement.Map) bool {
	gone := goneDrives(m)
	if len(gone) <= leastParity(m) {
		return true
	}
	if slices.ContainsFunc(gone, func(d *placement.Drive) bool { return d.Node != gone[0].Node }) {
		return false
	}
	for _, pool := range m.Pools {
		l := newLayout(m, func(d *placement.Drive) bool { return m.Uses(pool, d) && (usable(d) || slices.Contains(gone, d)) })
		if l.setCaps(pool.N(), pool.M); len(l.nodes.domains) < 2 || l.nodes.most > pool.M {
			return false
		}
	}
	return true
}

// goneDrives are those that are down, or out with none in their place; not those that an operator took away.
func goneDrives(m *placement.Map) (gone []*placement.Drive) {
	h := heirsIn(m)
	for _, d := range m.Drives {
		if d.State == placement.DriveDown || d.State == placement.DriveOut && !d.Removed && h.of(m, d.ID).IsZero() {
			gone = append(gone, d)
		}
	}
	return gone
}

// leastParity is how many drives every pool can lose.
func leastParity(m *placement.Map) int {
	least := 0
	for i, p := range sortedPools(m) {
		if i == 0 || p.M < least {
			least = p.M
		}
	}
	return least
}

// Heir is the drive in the place of one that is out, or of the one after it, and so on; nil if there is none.
func Heir(m *placement.Map, out ids.Drive) *placement.Drive {
	return m.Drives[heirsIn(m).of(m, out)]
}

// heirs has the drive that took the place of another.
type heirs map[ids.Drive]ids.Drive

func heirsIn(m *placement.Map) heirs {
	h := heirs{}
	for id, d := range m.Drives {
		if !d.Replaces.IsZero() {
			h[d.Replaces] = id
		}
	}
	return h
}

// of is Heir's id; zero if there is none.
func (h heirs) of(m *placement.Map, out ids.Drive) ids.Drive {
	for range len(h) {
		next, ok := h[out]
		if !ok {
			return ids.Drive{}
		}
		if m.Drives[next].State != placement.DriveOut {
			return next
		}
		out = next
	}
	return ids.Drive{}
}
