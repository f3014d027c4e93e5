package plan

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/placement"
)

// stocked is a stock of drives that have used bytes each, and room for so many more.
func stocked(m *placement.Map, used, room int64) Stock {
	s := Stock{Used: map[ids.Drive]int64{}, Room: map[ids.Drive]int64{}, Device: map[ids.Drive]string{}}
	for id := range m.Drives {
		s.Used[id], s.Room[id] = used, room
	}
	return s
}

// TestMayDrain: a drain is refused where the drives that are left are too few, or too full, or in too few nodes.
func TestMayDrain(t *testing.T) {
	const used = 256 << 20
	firstDrive := func(m *placement.Map) WhatIf { return WhatIf{Drain: []ids.Drive{drivesOf(m, "z0n0")[0].ID}} }
	firstNode := func(*placement.Map) WhatIf { return WhatIf{DrainNodes: []string{"z0n0"}} }
	for _, c := range []struct {
		what          string
		nodes, drives int
		profile       Profile
		order         func(*placement.Map) WhatIf
		change        func(*placement.Map, Stock)
		want          error
		says          string
	}{
		{"as many as slots", 1, 6, Profile{4, 2}, firstDrive, nil, ErrTooFew, "of 4+2, needs 6"},
		{"one more", 1, 7, Profile{4, 2}, firstDrive, nil, nil, ""},
		{"one more, but it is down", 1, 7, Profile{4, 2}, firstDrive, func(m *placement.Map, _ Stock) {
			down := *drivesOf(m, "z0n0")[6]
			down.State = placement.DriveDown
			m.Drives[down.ID] = &down
		}, ErrTooFew, "5 drives that are up"},
		{"full drives", 1, 7, Profile{4, 2}, firstDrive, func(m *placement.Map, s Stock) {
			for id := range s.Room {
				s.Room[id] = 10 << 20
			}
		}, ErrNoRoom, "has room for 10 MiB"},
		{"one full drive", 1, 7, Profile{4, 2}, firstDrive, func(m *placement.Map, s Stock) { s.Room[drivesOf(m, "z0n0")[3].ID] = 0 }, ErrNoRoom, "has room for 0 MiB"},
		{"full, but nobody says so", 1, 7, Profile{4, 2}, firstDrive, func(m *placement.Map, s Stock) { clear(s.Room) }, nil, ""},
		{"all on one device", 1, 7, Profile{4, 2}, firstDrive, func(m *placement.Map, s Stock) {
			for id := range s.Room {
				s.Room[id], s.Device[id] = 10<<20, "8:1"
			}
		}, nil, ""},
		{"two on a device that is full", 1, 7, Profile{4, 2}, firstDrive, func(m *placement.Map, s Stock) {
			for _, d := range drivesOf(m, "z0n0")[1:3] {
				s.Room[d.ID], s.Device[d.ID] = 50<<20, "8:1"
			}
		}, ErrNoRoom, "and the 1 other drive of its device"},
		{"a node of three", 3, 3, Profile{4, 2}, firstNode, nil, ErrDomains, "would be on one node, and 2 may be lost"},
		{"a node of four", 4, 3, Profile{4, 2}, firstNode, nil, nil, ""},
		{"a node of two, neither of which may be lost", 2, 6, Profile{4, 2}, firstNode, func(_ *placement.Map, s Stock) { clear(s.Room) }, nil, ""},
	} {
		t.Run(c.what, func(t *testing.T) {
			m := simulated(t, 1, c.nodes, c.drives, c.profile, 64, 0, rand.New(rand.NewPCG(1, 2)))
			s := stocked(m, used, 200<<20)
			if c.change != nil {
				c.change(m, s)
			}
			after, err := c.order(m).Edit(m)
			if err != nil {
				t.Fatal(err)
			}
			err = MayDrain(m, after, s)
			if !errors.Is(err, c.want) || c.want == nil && err != nil {
				t.Fatalf("%v, want %v", err, c.want)
			}
			if err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v does not say %q", err, c.says)
			}
			if err == nil {
				if o := Show(after, s.Used); o.Stuck != 0 || o.Idle() {
					t.Errorf("%d slots are stuck, %d move", o.Stuck, o.Slots)
				}
			}
		})
	}
}

// TestI3_ReplicasShrinkWithTheDrives: a range has no more replicas than there are drives for them; the one on a drive that is drained leaves,
// one at a time, and only while all others are there.
func TestI3_ReplicasShrinkWithTheDrives(t *testing.T) {
	m := withRanges(simulated(t, 1, 1, 5, Profile{2, 2}, 16, 0, rand.New(rand.NewPCG(1, 2))), 3)
	drives := drivesOf(m, "z0n0")
	if len(m.Ranges[0].Replicas) != 5 || len(ReplicaLeaves(m)) != 0 {
		t.Fatalf("%d replicas, %d leave", len(m.Ranges[0].Replicas), len(ReplicaLeaves(m)))
	}
	drained, err := WhatIf{Drain: []ids.Drive{drives[0].ID}}.Edit(m)
	if err != nil || MayDrain(m, drained, Stock{}) != nil {
		t.Fatal(err, MayDrain(m, drained, Stock{}))
	}
	if o := Show(drained, nil); o.Stuck != 0 || o.Replicas != 3 || len(o.After.Ranges[0].Replicas) != 4 {
		t.Errorf("%d slots are stuck, %d replicas go", o.Stuck, o.Replicas)
	}
	missing := Apply(drained, nil)
	suspect := *drives[3]
	suspect.State = placement.DriveSuspect
	missing.Drives[suspect.ID] = &suspect
	if c := ReplicaLeaves(missing); len(c) != 0 {
		t.Errorf("while another may be missing: %v", c)
	}
	if c := ReplicaMoves(drained); len(c) != 0 {
		t.Fatalf("nobody can take it: %v", c)
	}
	next := Apply(drained, ReplicaLeaves(drained))
	if again := ReplicaLeaves(next); len(again) != 0 {
		t.Errorf("a second leaves: %v", again)
	}
	next = withoutDrains(next) // the order to leave holds, whatever becomes of the drain
	if c := ReplicaMoves(next); len(c) != 0 {
		t.Errorf("while one leaves: %v", c)
	}
	drops := Drops(next)
	if len(drops) != 3 {
		t.Fatalf("%v leave", drops)
	}
	for _, d := range drops {
		c, ok := Dropped(next, d)
		if !ok || slices.ContainsFunc(c.Range.Replicas, func(r placement.Replica) bool { return r.ID == d.Replica || r.Drive == drives[0].ID }) {
			t.Fatalf("%v: %v, %v", d, ok, c.Range)
		}
		next = Apply(next, []Change{c})
		if _, ok := Dropped(next, d); ok {
			t.Error("it leaves twice")
		}
	}
	grown, moves := settleReplicas(t, next)
	if moves != 3 || len(grown.Ranges[0].Replicas) != 5 {
		t.Errorf("%d replicas joined again, the range has %d", moves, len(grown.Ranges[0].Replicas))
	}
}

func withoutDrains(m *placement.Map) *placement.Map {
	next := Apply(m, nil)
	for id, d := range next.Drives {
		own := *d
		own.Draining = false
		next.Drives[id] = &own
	}
	return next
}
