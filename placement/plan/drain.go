package plan

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/internal/plural"
	"github.com/sherd-io/sherd/placement"
)

// Errors of orders that should not be carried out.
var (
	ErrTooFew  = errors.New("plan: too few drives would be left")
	ErrNoRoom  = errors.New("plan: too little room would be left")
	ErrDomains = errors.New("plan: too few nodes or zones would be left") // a person may want that
)

// Stock is what drives have and can take, in bytes of chunks, as far as it is known.
type Stock struct {
	Used map[ids.Drive]int64
	Room map[ids.Drive]int64 // that is free above its reserve
	// Device names what several drives share: their room is one. Drives that are not in it have theirs to themselves.
	Device map[ids.Drive]string
}

// MayDrain reports why after, which is before with drives that are to be drained, cannot be or should not be. Each pool needs a drive for
// each slot, up and not drained itself; what moves must find room; and a node or zone that can be lost now must not become one that
// cannot. The ranges of the object records make do with fewer replicas (ReplicaLeaves).
// Errors: ErrTooFew, ErrNoRoom; ErrDomains alone, where nothing else speaks against it.
func MayDrain(before, after *placement.Map, s Stock) error {
	for _, pool := range sortedPools(after) {
		if n := newTable(after, pool).l.takers(); n < pool.N() {
			return fmt.Errorf("%w: %s that %s up, and pool %s, of %d+%d, needs %d", ErrTooFew, plural.Of(n, "drive"), are(n), pool.Name,
				pool.K, pool.M, pool.N())
		}
	}
	if err := Show(after, s.Used).fits(s); err != nil {
		return err
	}
	for _, pool := range sortedPools(after) {
		was, is := newTable(before, pool).l, newTable(after, pool).l
		for _, d := range []struct {
			what    string
			was, is *level
		}{{"zone", &was.zones, &is.zones}, {"node", &was.nodes, &is.nodes}} {
			if d.was.least <= pool.M && d.is.least > pool.M {
				return fmt.Errorf("%w: %d of the %d slots of a group in pool %s would be on one %s, and %d may be lost", ErrDomains,
					d.is.least, pool.N(), pool.Name, d.what, pool.M)
			}
		}
	}
	return nil
}

func are(n int) string {
	if n == 1 {
		return "is"
	}
	return "are"
}

// takers counts the drives that can be given more: they are up, and not being drained.
func (l *layout) takers() (n int) {
	for i := range l.places {
		if l.places[i].taker {
			n++
		}
	}
	return n
}

// fits reports drives that get more than they have room for.
func (o *Outline) fits(s Stock) error {
	type want struct {
		first     *placement.Drive
		drives    int
		net, room int64
	}
	wants := map[string]*want{}
	for i := range o.Drives {
		d := &o.Drives[i]
		room, known := s.Room[d.Drive.ID]
		if !known {
			continue
		}
		device := cmp.Or(s.Device[d.Drive.ID], d.Drive.ID.String())
		w := wants[device]
		if w == nil {
			w = &want{first: d.Drive, room: room}
			wants[device] = w
		}
		w.drives++
		w.net += d.BytesIn - d.BytesOut
		w.room = min(w.room, room)
	}
	var worst *want
	short := int64(0)
	for _, w := range wants {
		if over := w.net - w.room; over > 0 {
			short += over
			if worst == nil || over > worst.net-worst.room || over == worst.net-worst.room && compareDrives(w.first, worst.first) < 0 {
				worst = w
			}
		}
	}
	if worst == nil {
		return nil
	}
	where := worst.first.Path + " on " + worst.first.Node
	if worst.drives > 1 {
		where += fmt.Sprintf(" and the %s of its device", plural.Of(worst.drives-1, "other drive"))
	}
	return fmt.Errorf("%w: %s would get about %s and %s room for %s; %s are missing in all: add drives, or delete objects", ErrNoRoom,
		where, megabytes(worst.net), has(worst.drives), megabytes(worst.room), megabytes(short))
}

func has(n int) string {
	if n == 1 {
		return "has"
	}
	return "have"
}

// megabytes is for people: rounded up.
func megabytes(n int64) string {
	return strconv.FormatInt((max(n, 0)+1<<20-1)>>20, 10) + " MiB"
}

// ReplicaLeaves orders replicas on drives that are being drained, and which nobody else can take, to leave: their ranges have more of them
// than R for the drives that stay. None while another of the range comes or goes, or one's drive is not up: it may be needed for a quorum.
// The order holds whatever becomes of the drain: Raft may have forgotten the replica already.
func ReplicaLeaves(m *placement.Map) (changes []Change) {
	l := newLayout(m, usable)
	keep := max(ReplicaCount(mostParity(m), l.staying()), 1)
	for _, r := range m.Ranges {
		if !r.Settled() || len(r.Replicas) <= keep {
			continue
		}
		whole, drained := true, -1
		for n, rep := range r.Replicas {
			i, known := l.index[rep.Drive]
			if whole = whole && known && l.places[i].sound; !whole {
				break
			}
			if !l.places[i].stays {
				drained = n
			}
		}
		if !whole || drained < 0 {
			continue
		}
		changes = append(changes, leave(r, drained, "replica %d leaves, its drive is drained"))
	}
	return changes
}

// leave orders a range's replica to go. why has a place for its number.
func leave(r *placement.Range, i int, why string) Change {
	next := *r
	next.Replicas = slices.Clone(r.Replicas)
	next.Replicas[i].Leaving = true
	return Change{Why: fmt.Sprintf(why, next.Replicas[i].ID), Range: &next}
}

// CallOffs orders replicas not to join that were to on drives that away names: one that cannot join would hold up all other changes of its
// range. Once it has left, another drive is looked for as ever.
func CallOffs(m *placement.Map, away func(*placement.Drive) bool) []Change {
	return callOffs(m, "replica %d is not to join, its drive is away", func(_ *placement.Range, rep placement.Replica) bool {
		d := m.Drives[rep.Drive]
		return d != nil && away(d)
	})
}

// LostJoins orders replicas not to join that lost their state while they did (I10).
func LostJoins(m *placement.Map, lost func(ids.Range, ids.Replica) bool) []Change {
	return callOffs(m, "replica %d is not to join, it lost its state", func(r *placement.Range, rep placement.Replica) bool {
		return lost(r.ID, rep.ID)
	})
}

func callOffs(m *placement.Map, why string, which func(*placement.Range, placement.Replica) bool) (changes []Change) {
	for _, r := range m.Ranges {
		i := slices.IndexFunc(r.Replicas, func(rep placement.Replica) bool { return rep.Joining && !rep.Leaving && which(r, rep) })
		if i < 0 || r.Splitting != nil {
			continue
		}
		changes = append(changes, leave(r, i, why))
	}
	return changes
}

// Drop is a replica that leaves its range, and no other comes in its stead.
type Drop struct {
	Range   ids.Range
	Replica ids.Replica
	Joining bool // it was to join, and maybe has
}

// Drops are the replicas that are ordered to leave.
func Drops(m *placement.Map) (drops []Drop) {
	for _, r := range m.Ranges {
		for _, rep := range r.Replicas {
			if rep.Leaving {
				drops = append(drops, Drop{r.ID, rep.ID, rep.Joining})
			}
		}
	}
	return drops
}

// Dropped says that a replica votes no more; it leaves the directory. It is nothing if it is not there any more.
func Dropped(m *placement.Map, d Drop) (Change, bool) {
	i := slices.IndexFunc(m.Ranges, func(r *placement.Range) bool { return r.ID == d.Range })
	if i < 0 || len(m.Ranges[i].Replicas) < 2 {
		return Change{}, false
	}
	is := func(rep placement.Replica) bool { return rep.ID == d.Replica }
	if !slices.ContainsFunc(m.Ranges[i].Replicas, is) {
		return Change{}, false
	}
	next := *m.Ranges[i]
	next.Replicas = slices.DeleteFunc(slices.Clone(next.Replicas), is)
	return Change{Why: fmt.Sprintf("replica %d has left", d.Replica), Range: &next}, true
}
