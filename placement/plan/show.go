package plan

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/placement"
)

// ErrUnknown reports an order about something that is not there.
var ErrUnknown = errors.New("plan: no such drive or node")

// WhatIf is a change that somebody thinks of. The zero WhatIf is none: what is due anyhow.
type WhatIf struct {
	Add        []placement.Drive // new ones; without an id they get one, without a weight that of their size
	Drain      []ids.Drive
	DrainNodes []string
	Out        []ids.Drive // lost for good
	Weights    map[ids.Drive]float64
}

// Edit makes the change in a map, which is not touched. Errors: ErrUnknown.
func (w WhatIf) Edit(m *placement.Map) (*placement.Map, error) {
	next := Apply(m, nil)
	next.Nodes = make(map[string]*placement.Node, len(m.Nodes))
	for name, n := range m.Nodes {
		next.Nodes[name] = n
	}
	for i := range w.Add {
		d := w.Add[i]
		if d.ID.IsZero() {
			d.ID = ids.Drive{0xff, 0xff, byte(i >> 8), byte(i), 15: 1} // of a drive that is not there
		}
		d.State, d.Weight = placement.DriveUp, WeightOf(&d)
		if next.Nodes[d.Node] == nil {
			next.Nodes[d.Node] = &placement.Node{Name: d.Node}
		}
		next.Drives[d.ID] = &d
	}
	for _, name := range w.DrainNodes {
		n := next.Nodes[name]
		if n == nil {
			return nil, fmt.Errorf("%w: node %s", ErrUnknown, name)
		}
		own := *n
		own.Draining = true
		next.Nodes[name] = &own
	}
	drive := func(id ids.Drive, change func(*placement.Drive)) error {
		d := next.Drives[id]
		if d == nil {
			return fmt.Errorf("%w: drive %s", ErrUnknown, id)
		}
		own := *d
		change(&own)
		next.Drives[id] = &own
		return nil
	}
	var errs []error
	for _, id := range w.Drain {
		errs = append(errs, drive(id, func(d *placement.Drive) { d.Draining = true }))
	}
	for _, id := range w.Out {
		errs = append(errs, drive(id, func(d *placement.Drive) { d.State = placement.DriveOut }))
	}
	for id, weight := range w.Weights {
		errs = append(errs, drive(id, func(d *placement.Drive) { d.Weight = weight }))
	}
	return next, errors.Join(errs...)
}

// Outline is what a map will lead to, by itself.
type Outline struct {
	Slots    int // that get another owner
	Rebuilt  int // of them, those whose old owner cannot be read: they are made from the others
	Replicas int // of ranges that get another drive, or none
	Bytes    int64
	Stuck    int // slots that should leave a drive that is lost or drained, and have nowhere to go
	Drives   []Shift
	After    *placement.Map // when all is done
}

// Shift is one drive's part in an Outline.
type Shift struct {
	Drive             *placement.Drive
	SlotsNow, Slots   int // that it owns, now and when all is done
	In, Out           int // slots that it gets, and gives
	BytesIn, BytesOut int64
	Share             int // slots that are its share by weight and domains, when all is done
}

// Idle reports that nothing is to be done.
func (o *Outline) Idle() bool { return o.Slots == 0 && o.Replicas == 0 }

// roundsMax bounds Show; growth from 1 to 4 nodes takes 7 rounds.
const roundsMax = 100

// Show plays a map through until nothing is left to do. used are the bytes of chunks on each drive, as far as they are known: a
// slot's are a drive's over its slots, and the mean of those where they are not.
func Show(m *placement.Map, used map[ids.Drive]int64) *Outline {
	o := &Outline{}
	shifts := make(map[ids.Drive]*Shift, len(m.Drives))
	for id, d := range m.Drives {
		shifts[id] = &Shift{Drive: d}
	}
	owned(m, func(id ids.Drive) {
		if s := shifts[id]; s != nil {
			s.SlotsNow++
		}
	})
	size := slotBytes(m, shifts, used)
	for range roundsMax {
		changes := Lost(m)
		if len(changes) == 0 {
			changes = Moves(m, Pace{})
		}
		if len(changes) == 0 {
			break
		}
		for _, c := range changes {
			o.count(m, c, shifts, size)
		}
		m = Apply(m, completed(changes))
	}
	for range roundsMax {
		changes := joined(ReplicaMoves(m))
		if len(changes) == 0 {
			changes = left(m)
		}
		if len(changes) == 0 {
			break
		}
		o.Replicas += len(changes)
		m = Apply(m, changes)
	}
	o.finish(m, shifts)
	return o
}

func owned(m *placement.Map, fn func(ids.Drive)) {
	for _, pool := range m.Pools {
		for _, pg := range pool.PGs {
			for _, s := range pg.Slots {
				fn(s.Drive)
			}
		}
	}
}

// slotBytes estimates the bytes of a slot that a drive has.
func slotBytes(m *placement.Map, shifts map[ids.Drive]*Shift, used map[ids.Drive]int64) func(ids.Drive) int64 {
	var bytes, slots int64
	for id, n := range used {
		if s := shifts[id]; s != nil && s.SlotsNow > 0 {
			bytes += n
			slots += int64(s.SlotsNow)
		}
	}
	return func(id ids.Drive) int64 {
		n, known := used[id]
		if s := shifts[id]; known && s != nil && s.SlotsNow > 0 {
			return n / int64(s.SlotsNow)
		}
		return bytes / max(slots, 1)
	}
}

// count adds a change of one slot to the outline.
func (o *Outline) count(m *placement.Map, c Change, shifts map[ids.Drive]*Shift, size func(ids.Drive) int64) {
	for i, s := range c.PG.Slots {
		was := m.Pools[c.Pool].PGs[c.ID].Slots[i]
		if s.Drive == was.Drive {
			continue
		}
		n := size(was.Drive)
		o.Slots++
		o.Bytes += n
		if s.From.IsZero() {
			o.Rebuilt++
		}
		shifts[s.Drive].In++
		shifts[s.Drive].BytesIn += n
		if from := shifts[was.Drive]; from != nil {
			from.Out++
			from.BytesOut += n
		}
	}
}

// completed are changes as they are when the slots hold all.
func completed(changes []Change) []Change {
	done := make([]Change, len(changes))
	for i, c := range changes {
		pg := *c.PG
		pg.Slots = slices.Clone(pg.Slots)
		for s := range pg.Slots {
			pg.Slots[s].Complete, pg.Slots[s].From = true, ids.Drive{}
		}
		c.PG = &pg
		done[i] = c
	}
	return done
}

// joined are changes as they are when the replicas vote.
func joined(changes []Change) []Change {
	done := make([]Change, len(changes))
	for i, c := range changes {
		next := *c.Range
		last := next.Replicas[len(next.Replicas)-1]
		next.Replicas = slices.DeleteFunc(slices.Clone(next.Replicas), func(r placement.Replica) bool {
			return r.ID == last.ID || last.Replaces != 0 && r.ID == last.Replaces
		})
		next.Replicas = append(next.Replicas, placement.Replica{ID: last.ID, Drive: last.Drive})
		c.Range = &next
		done[i] = c
	}
	return done
}

// left are the replicas that are to leave without another in their stead, as changes when they are gone.
func left(m *placement.Map) (changes []Change) {
	m = Apply(m, ReplicaLeaves(m))
	for _, d := range Drops(m) {
		if c, ok := Dropped(m, d); ok {
			changes = append(changes, c)
		}
	}
	return changes
}

// finish notes how things are at the end.
func (o *Outline) finish(m *placement.Map, shifts map[ids.Drive]*Shift) {
	o.After = m
	owned(m, func(id ids.Drive) {
		d := m.Drives[id]
		if s := shifts[id]; s != nil {
			s.Slots++
		}
		if !id.IsZero() && (d == nil || d.State == placement.DriveOut || m.Draining(d)) {
			o.Stuck++
		}
	})
	for _, pool := range sortedPools(m) {
		for _, p := range newTable(m, pool).l.places {
			shifts[p.id].Share += p.target
		}
	}
	for _, s := range shifts {
		if usable(s.Drive) || s.SlotsNow > 0 {
			o.Drives = append(o.Drives, *s)
		}
	}
	slices.SortFunc(o.Drives, func(a, b Shift) int {
		return cmp.Or(cmp.Compare(a.Drive.Node, b.Drive.Node), cmp.Compare(a.Drive.Path, b.Drive.Path), compareDrives(a.Drive, b.Drive))
	})
}

// MayCreate reports why the drives cannot hold a pool. Errors: ErrProfile.
func MayCreate(m *placement.Map, pool *placement.Pool) error {
	if err := (Profile{pool.K, pool.M}).check(); err != nil {
		return err
	}
	for _, id := range pool.Drives {
		if d := m.Drives[id]; d == nil || !usable(d) {
			return fmt.Errorf("%w: drive %s is not there", ErrProfile, id)
		}
	}
	have := newTable(m, &placement.Pool{ID: pool.ID, K: pool.K, M: pool.M, PGCount: pool.PGCount, Drives: pool.Drives}).l.staying()
	if n := pool.N(); have < n {
		return fmt.Errorf("%w: %d+%d needs %d drives, there are %d", ErrProfile, pool.K, pool.M, n, have)
	}
	return nil
}
