package plan

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/placement"
)

// live makes rounds of moves until there are none left, each completed before the next, and gives how many moves that took.
func live(t testing.TB, m *placement.Map, pace Pace) (after *placement.Map, moves int) {
	t.Helper()
	for rounds := 0; ; rounds++ {
		changes := Lost(m)
		if len(changes) == 0 {
			changes = Moves(m, pace)
		} else if early := Moves(m, pace); len(early) != 0 {
			t.Fatalf("moves for no need while slots are lost: %v", early[0])
		}
		checkSteps(t, m, changes)
		if len(changes) == 0 {
			t.Logf("%d moves in %d rounds", moves, rounds)
			return m, moves
		}
		if moves += len(changes); rounds > 2000 {
			t.Fatal("does not come to an end")
		}
		m = settle(Apply(m, changes))
	}
}

// shortage is how many slots must move at least: those that drives lack to their share.
func shortage(m *placement.Map) (least int) {
	for _, p := range newTable(m, m.Pools[1]).l.places {
		least += max(0, p.target-p.count)
	}
	return least
}

func withDrives(m *placement.Map, node string, first, n int) *placement.Map {
	m = Apply(m, nil)
	m.Nodes = maps.Clone(m.Nodes)
	if m.Nodes[node] == nil {
		m.Nodes[node] = &placement.Node{Name: node, Zone: "z0"}
	}
	for i := range n {
		d := drive(first+i, node, 1)
		m.Drives[d.ID] = d
	}
	return m
}

func edited(m *placement.Map, id ids.Drive, change func(*placement.Drive)) *placement.Map {
	d := *m.Drives[id]
	change(&d)
	return Apply(m, []Change{{Drive: &d}})
}

func withNode(m *placement.Map, name string, change func(*placement.Node)) *placement.Map {
	m = Apply(m, nil)
	m.Nodes = maps.Clone(m.Nodes)
	n := *m.Nodes[name]
	change(&n)
	m.Nodes[name] = &n
	return m
}

// TestI19_Growth: nodes and drives are added; what moves is at most 1.1 times what must, and what comes out is balanced, spread,
// and can do without each domain.
func TestI19_Growth(t *testing.T) {
	for _, c := range []struct {
		name                string
		nodes, drives, pgs  int
		profile             Profile
		addNodes, addDrives int // drives on each new node, or on the first one
	}{
		{"4 to 6 nodes", 4, 2, 256, Profile{4, 2}, 2, 2},
		{"4 to 5 nodes", 4, 2, 256, Profile{4, 2}, 1, 2},
		{"3 to 4 nodes", 3, 4, 256, Profile{4, 2}, 1, 4},
		{"6 to 7 nodes", 6, 2, 256, Profile{4, 2}, 1, 2},
		{"5 to 8 nodes, 8+3", 5, 4, 512, Profile{8, 3}, 3, 4},
		{"20 to 25 nodes", 20, 10, 4096, Profile{8, 3}, 5, 10},
		{"1 to 2 nodes", 1, 6, 256, Profile{4, 2}, 1, 6},
		{"1 to 4 nodes", 1, 6, 256, Profile{4, 2}, 3, 6},
		{"2 to 4 nodes", 2, 6, 256, Profile{4, 2}, 2, 6},
		{"a drive of 6", 1, 6, 256, Profile{4, 2}, 0, 1},
		{"two drives of 6", 1, 6, 256, Profile{4, 2}, 0, 2},
		{"a drive in one node of 4", 4, 3, 256, Profile{4, 2}, 0, 1},
	} {
		for _, pace := range []int{0, 8} {
			t.Run(fmt.Sprint(c.name, " pace ", pace), func(t *testing.T) {
				m := simulated(t, 1, c.nodes, c.drives, c.profile, c.pgs, 0, rand.New(rand.NewPCG(1, 2)))
				for i := range c.addNodes {
					m = withDrives(m, fmt.Sprint("new", i), 10_000+i*c.addDrives, c.addDrives)
				}
				if c.addNodes == 0 {
					m = withDrives(m, "z0n0", 10_000, c.addDrives)
				}
				least := shortage(m)
				m, moves := live(t, m, Pace{PerDrive: pace})
				check(t, m)
				checkSpared(t, m)
				if s := skewOf(m); s > moveTolerance {
					t.Errorf("a drive is %.1f %% off its share", s*100)
				}
				if moves > least+least/10 {
					t.Errorf("%d moves, ideal are %d", moves, least)
				}
			})
		}
	}
}

// TestI19_Drain: everything leaves a drive, or a node, and nothing comes to it; it is read from meanwhile.
func TestI19_Drain(t *testing.T) {
	for _, c := range []struct{ nodes, drives int }{{1, 8}, {5, 2}, {7, 3}, {12, 4}} {
		for _, whole := range []bool{false, true} {
			if whole && c.nodes == 1 {
				continue
			}
			t.Run(fmt.Sprint(c, whole), func(t *testing.T) {
				m := simulated(t, 1, c.nodes, c.drives, Profile{4, 2}, 256, 0, rand.New(rand.NewPCG(1, 2)))
				gone := map[ids.Drive]bool{}
				if whole {
					m = withNode(m, "z0n0", func(n *placement.Node) { n.Draining = true })
					for _, d := range drivesOf(m, "z0n0") {
						gone[d.ID] = true
					}
				} else {
					gone[drivesOf(m, "z0n0")[0].ID] = true
					m = edited(m, drivesOf(m, "z0n0")[0].ID, func(d *placement.Drive) { d.Draining = true })
				}
				least := shortage(m)
				for _, ch := range Moves(m, Pace{}) {
					for i, s := range ch.PG.Slots {
						if was := m.Pools[1].PGs[ch.ID].Slots[i].Drive; !s.Complete && s.From != was {
							t.Errorf("%s: read from %s, not from %s", ch, s.From, was)
						}
					}
				}
				m, moves := live(t, m, Pace{PerDrive: 8})
				check(t, m)
				checkSpared(t, m)
				if s := skewOf(m); s > moveTolerance {
					t.Errorf("a drive is %.1f %% off its share", s*100)
				}
				for id := range gone {
					if n := slotCount(m, id); n != 0 {
						t.Errorf("%d slots are left on %s", n, id)
					}
				}
				if moves > least+least/10 {
					t.Errorf("%d moves, ideal are %d", moves, least)
				}
			})
		}
	}
}

// TestI19_DrainKeepsWhatNobodyCanTake: a drain of drives without which a PG does not fit moves nothing.
func TestI19_DrainKeepsWhatNobodyCanTake(t *testing.T) {
	m := simulated(t, 1, 1, 6, Profile{4, 2}, 64, 0, rand.New(rand.NewPCG(1, 2)))
	m = edited(m, someDrive(m, rand.New(rand.NewPCG(1, 2))), func(d *placement.Drive) { d.Draining = true })
	if changes := Moves(m, Pace{}); len(changes) != 0 {
		t.Fatalf("%v", changes)
	}
}

// TestI19_Pace: no drive takes part in more moves than it may, also when some are under way.
func TestI19_Pace(t *testing.T) {
	m := simulated(t, 1, 1, 6, Profile{4, 2}, 256, 0, rand.New(rand.NewPCG(1, 2)))
	m = withDrives(m, "z0n0", 10_000, 2)
	for range 3 {
		m = Apply(m, Moves(m, Pace{PerDrive: 4}))
		for id, n := range inMotion(m) {
			if n > 4 {
				t.Errorf("drive %s takes part in %d moves", id, n)
			}
		}
	}
	if n := inMotion(m)[drive(10_000, "", 0).ID]; n != 4 {
		t.Errorf("a new drive gets %d slots at once, want 4", n)
	}
}

func TestI19_WeightChange(t *testing.T) {
	m := simulated(t, 1, 4, 3, Profile{4, 2}, 256, 0, rand.New(rand.NewPCG(1, 2)))
	id := drivesOf(m, "z0n1")[0].ID
	for _, weight := range []float64{0.5, 2, 0} {
		m = edited(m, id, func(d *placement.Drive) { d.Weight = weight })
		least := shortage(m)
		var moves int
		m, moves = live(t, m, Pace{})
		check(t, m)
		if s := skewOf(m); s > moveTolerance {
			t.Errorf("weight %g: a drive is %.1f %% off its share", weight, s*100)
		}
		if moves > least+least/10 {
			t.Errorf("weight %g: %d moves, ideal are %d", weight, moves, least)
		}
	}
	if n := slotCount(m, id); n != 0 {
		t.Errorf("a drive of no weight has %d slots", n)
	}
}

// TestI19_DownIsNotGone: a drive that is down keeps its share: it may come back in a minute.
func TestI19_DownIsNotGone(t *testing.T) {
	m := simulated(t, 1, 1, 8, Profile{4, 2}, 256, 0, rand.New(rand.NewPCG(1, 2)))
	for _, state := range []placement.DriveState{placement.DriveDown, placement.DriveSuspect} {
		if changes := Moves(setState(m, someDrive(m, rand.New(rand.NewPCG(1, 2))), state), Pace{}); len(changes) != 0 {
			t.Errorf("%s: %d moves, %v", state, len(changes), changes[0])
		}
	}
}

// TestLostOfAnUnknownDrive: a slot of a drive that is not in the map any more gets an owner.
func TestLostOfAnUnknownDrive(t *testing.T) {
	m := simulated(t, 1, 1, 8, Profile{4, 2}, 64, 0, rand.New(rand.NewPCG(1, 2)))
	id := someDrive(m, rand.New(rand.NewPCG(1, 2)))
	m = Apply(m, nil)
	delete(m.Drives, id)
	m, _ = live(t, m, Pace{})
	if n := slotCount(m, id); n != 0 {
		t.Errorf("%d slots are left", n)
	}
}

// TestPoolsOnSomeDrives: a pool's slots stay on its drives, and on those in their place.
func TestPoolsOnSomeDrives(t *testing.T) {
	m := simulated(t, 1, 1, 12, Profile{2, 1}, 64, 0, rand.New(rand.NewPCG(1, 2)))
	all := drivesOf(m, "z0n0")
	fast := &placement.Pool{ID: 2, K: 2, M: 1, PGCount: 64, Drives: []ids.Drive{all[0].ID, all[1].ID, all[2].ID, all[3].ID}}
	fast.PGs = Table(m, fast)
	m.Pools[2] = fast
	heir := drive(500, "z0n0", 1)
	heir.Replaces = all[0].ID
	m = setState(Apply(m, []Change{{Drive: heir}}), all[0].ID, placement.DriveOut)
	m, _ = live(t, m, Pace{})
	mine := append(slices.Clone(fast.Drives), heir.ID)
	count := map[ids.Drive]int{}
	for _, pg := range m.Pools[2].PGs {
		for _, s := range pg.Slots {
			if count[s.Drive]++; !slices.Contains(mine, s.Drive) || s.Drive == all[0].ID {
				t.Fatalf("a slot is on %s", s.Drive)
			}
		}
	}
	for _, id := range mine[1:] {
		if n := count[id]; n < 45 || n > 51 {
			t.Errorf("drive %s has %d of 192 slots", id, n)
		}
	}
}

// big is 500 nodes in 5 zones with 20 drives each.
func big(t testing.TB) *placement.Map {
	return simulated(t, 5, 100, 20, Profile{8, 3}, 1<<16, 0, rand.New(rand.NewPCG(1, 2)))
}

// TestI19_Big: 10,000 drives in 500 nodes: growth, a node drained, a node lost; balance within 3 %, domains never violated.
func TestI19_Big(t *testing.T) {
	if testing.Short() {
		t.Skip("lays out 10,000 drives")
	}
	m := big(t)
	check(t, m)
	if s := skewOf(m); s > 0.03 {
		t.Errorf("a drive is %.1f %% off its share", s*100)
	}
	for _, c := range []struct {
		name string
		edit func(*placement.Map) *placement.Map
	}{
		{"a node more", func(m *placement.Map) *placement.Map { return withDrives(m, "new", 20_000, 20) }},
		{"a node drained", func(m *placement.Map) *placement.Map {
			return withNode(m, "z1n7", func(n *placement.Node) { n.Draining = true })
		}},
		{"a node lost", func(m *placement.Map) *placement.Map {
			for _, d := range drivesOf(m, "z2n8") {
				m = setState(m, d.ID, placement.DriveOut)
			}
			return m
		}},
	} {
		m = c.edit(m)
		begin := time.Now()
		_ = append(Lost(m), Moves(m, Pace{})...)
		t.Logf("%s: planned in %s", c.name, time.Since(begin).Round(time.Millisecond))
		m, _ = live(t, m, Pace{})
		check(t, m)
		if s := skewOf(m); s > 0.03 {
			t.Errorf("%s: a drive is %.1f %% off its share", c.name, s*100)
		}
	}
}

func BenchmarkMoves(b *testing.B) {
	m := withDrives(big(b), "new", 20_000, 20)
	b.ResetTimer()
	for b.Loop() {
		if len(Moves(m, Pace{})) == 0 {
			b.Fatal("nothing to do")
		}
	}
}

// TestI19_SparesWhatCouldNotBeSpared: PGs that all touch every node, as an older planner laid them out, are changed until enough do
// without each.
func TestI19_SparesWhatCouldNotBeSpared(t *testing.T) {
	m := simulated(t, 1, 4, 3, Profile{4, 2}, 256, 0, rand.New(rand.NewPCG(1, 2)))
	pool := *m.Pools[1]
	pool.PGs = nil
	for i := range 256 {
		pg := &placement.PG{Epoch: 1}
		for node, n := range []int{1, 1, 2, 2} {
			of := drivesOf(m, fmt.Sprint("z0n", (node+i)%4))
			for j := range n {
				pg.Slots = append(pg.Slots, placement.Slot{Drive: of[(i+j)%3].ID, Since: 1, Complete: true})
			}
		}
		pool.PGs = append(pool.PGs, pg)
	}
	m.Pools[1] = &pool
	m, moves := live(t, m, Pace{})
	check(t, m)
	checkSpared(t, m)
	if s := skewOf(m); s > moveTolerance {
		t.Errorf("a drive is %.1f %% off its share", s*100)
	}
	if moves > 256 {
		t.Errorf("%d moves", moves)
	}
}

// TestI5_WhatIsReadFromIsInUse: a drive without a slot is not removable as long as others are filled from it.
func TestI5_WhatIsReadFromIsInUse(t *testing.T) {
	m := simulated(t, 1, 1, 8, Profile{4, 2}, 64, 0, rand.New(rand.NewPCG(1, 2)))
	m = setRangesAside(m)
	id := drivesOf(m, "z0n0")[0].ID
	m = edited(m, id, func(d *placement.Drive) { d.Draining = true })
	m = Apply(m, Moves(m, Pace{}))
	if slotCount(m, id) != 0 {
		t.Fatal("slots are left")
	}
	if err := MayRemoveDrive(m, id, nil); !errors.Is(err, ErrInUse) {
		t.Errorf("while others are filled from it: %v", err)
	}
	if err := MayRemoveDrive(settle(m), id, nil); err != nil {
		t.Error(err)
	}
}

func setRangesAside(m *placement.Map) *placement.Map {
	m = Apply(m, nil)
	m.Ranges = nil
	return m
}
