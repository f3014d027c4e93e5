package plan

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/placement"
)

// settle completes all slots, as rebuilding does.
func settle(m *placement.Map) *placement.Map {
	var changes []Change
	for _, pool := range m.Pools {
		for id, pg := range pool.PGs {
			next := *pg
			next.Slots = slices.Clone(pg.Slots)
			for i := range next.Slots {
				next.Slots[i].Complete, next.Slots[i].From = true, ids.Drive{}
			}
			changes = append(changes, Change{Pool: pool.ID, ID: ids.PG(id), PG: &next})
		}
	}
	return Apply(m, changes)
}

func setState(m *placement.Map, id ids.Drive, state placement.DriveState) *placement.Map {
	d := *m.Drives[id]
	d.State = state
	return Apply(m, []Change{{Drive: &d}})
}

// checkSteps holds what a round of changes must: one per PG, one slot each, epoch one up, Since the new epoch, and the
// slot to be rebuilt (I5, I19).
func checkSteps(t testing.TB, m *placement.Map, changes []Change) {
	t.Helper()
	seen := map[string]bool{}
	for _, c := range changes {
		key := fmt.Sprint(c.Pool, c.ID)
		if seen[key] {
			t.Fatalf("two changes of pg %s", key)
		}
		seen[key] = true
		old := m.Pools[c.Pool].PGs[c.ID]
		if c.PG.Epoch != old.Epoch+1 || c.PG.Revision != old.Revision {
			t.Fatalf("%s: epoch %d after %d", c, c.PG.Epoch, old.Epoch)
		}
		changed := 0
		for i, s := range c.PG.Slots {
			if s == old.Slots[i] {
				continue
			}
			changed++
			if s.Complete || s.Since != c.PG.Epoch || s.Drive == old.Slots[i].Drive {
				t.Fatalf("%s: slot %d %+v", c, i, s)
			}
		}
		if changed != 1 {
			t.Fatalf("%s: %d slots changed", c, changed)
		}
	}
}

func TestI5_DriveReplaced(t *testing.T) {
	m := simulated(t, 1, 1, 8, Profile{4, 2}, 256, 0, rand.New(rand.NewPCG(1, 1)))
	old := m.Pools[1].PGs[0].Slots[0].Drive
	next := drive(100, "z0n0", 1)
	next.Replaces = old
	m = setState(Apply(m, []Change{{Drive: next}}), old, placement.DriveOut)
	changes := Lost(m)
	checkSteps(t, m, changes)
	if want := slotCount(m, old); len(changes) != want {
		t.Fatalf("%d changes, want %d", len(changes), want)
	}
	after := Apply(m, changes)
	check(t, after)
	if slotCount(after, old) != 0 || slotCount(after, next.ID) != len(changes) {
		t.Fatalf("the old drive has %d slots, the new one %d", slotCount(after, old), slotCount(after, next.ID))
	}
	if again := append(Lost(after), Moves(after, Pace{})...); len(again) != 0 {
		t.Fatalf("again: %v", again)
	}
}

func slotCount(m *placement.Map, id ids.Drive) (n int) {
	for _, pg := range m.Pools[1].PGs {
		if slotOf(pg, id) >= 0 {
			n++
		}
	}
	return n
}

func TestI19_DriveOutMovesOnlyItsSlots(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for _, c := range []struct{ zones, nodes, drives int }{{1, 1, 12}, {1, 7, 4}, {3, 3, 4}} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			m := simulated(t, c.zones, c.nodes, c.drives, Profile{4, 2}, 512, 1, rng)
			for range 3 {
				lost := someDrive(m, rng)
				m = setState(m, lost, placement.DriveOut)
				changes := Lost(m)
				checkSteps(t, m, changes)
				if n := slotCount(m, lost); len(changes) != n {
					t.Fatalf("%d changes for %d slots", len(changes), n)
				}
				m = Apply(m, changes)
				check(t, m)
				if s := skewOf(m); s > 0.15 {
					t.Errorf("a drive is %.0f %% off its share before balancing", s*100)
				}
				m = settle(m)
			}
		})
	}
}

func someDrive(m *placement.Map, rng *rand.Rand) ids.Drive {
	var all []ids.Drive
	for id, d := range m.Drives {
		if d.State == placement.DriveUp {
			all = append(all, id)
		}
	}
	slices.SortFunc(all, func(a, b ids.Drive) int { return slices.Compare(a[:], b[:]) })
	return all[rng.IntN(len(all))]
}

func TestDriveOutWithoutASpareChangesNothing(t *testing.T) {
	m := simulated(t, 1, 1, 6, Profile{4, 2}, 256, 0, rand.New(rand.NewPCG(1, 1)))
	lost := someDrive(m, rand.New(rand.NewPCG(1, 1)))
	if changes := Lost(setState(m, lost, placement.DriveOut)); len(changes) != 0 {
		t.Fatalf("%d changes though every drive has a slot of every PG", len(changes))
	}
}

func TestI19_DriveAddedMovesTheFewest(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for _, c := range []struct{ zones, nodes, drives, add int }{{1, 1, 6, 1}, {1, 1, 12, 1}, {1, 4, 3, 4}, {3, 3, 3, 3}, {4, 10, 25, 20}} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			m := simulated(t, c.zones, c.nodes, c.drives, Profile{4, 2}, 1024, 0, rng)
			for i := range c.add {
				d := drive(10_000+i, fmt.Sprintf("z%dn%d", i%c.zones, i%c.nodes), 1)
				m = Apply(m, []Change{{Drive: d}})
			}
			l := newTable(m, m.Pools[1]).l
			least := 0 // moves without which some drive stays more than 5 % short
			for _, p := range l.places {
				least += max(0, int(float64(p.target)*(1-moveTolerance))-p.count)
			}
			moves, rounds := 0, 0
			for ; ; rounds++ {
				changes := Moves(m, Pace{})
				checkSteps(t, m, changes)
				if len(changes) == 0 {
					break
				}
				moves += len(changes)
				for _, ch := range changes {
					for i, s := range ch.PG.Slots {
						if !s.Complete && s.From != m.Pools[1].PGs[ch.ID].Slots[i].Drive {
							t.Fatalf("%s: from %s", ch, s.From)
						}
					}
				}
				if more := Moves(Apply(m, changes), Pace{}); len(more) > 0 {
					for _, ch := range more {
						if !atRest(Apply(m, changes).Pools[1].PGs[ch.ID]) {
							t.Fatalf("I19: %s: a second slot moves", ch)
						}
					}
				}
				m = settle(Apply(m, changes))
				check(t, m)
				if rounds > 50 {
					t.Fatal("does not come to an end")
				}
			}
			t.Logf("%d moves in %d rounds, at least %d needed", moves, rounds, least)
			if s := skewOf(m); s > moveTolerance+0.001 {
				t.Errorf("a drive is %.1f %% off its share", s*100)
			}
			if moves > least+least/4+len(l.places) {
				t.Errorf("%d moves, at least %d were needed", moves, least)
			}
		})
	}
}

func TestDriveAddedLeavesWhatIsBalanced(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	for range 20 {
		m := simulated(t, 1+rng.IntN(3), 1+rng.IntN(4), 3+rng.IntN(5), Profile{2, 1}, 256, rng.Float64(), rng)
		if changes := Moves(m, Pace{}); len(changes) != 0 {
			t.Fatalf("%d moves of a fresh table: %v", len(changes), changes[0])
		}
	}
}

func TestI5_SlotCompleteOnlyForItsOwner(t *testing.T) {
	m := simulated(t, 1, 1, 8, Profile{4, 2}, 16, 0, rand.New(rand.NewPCG(1, 1)))
	old := m.Pools[1].PGs[3].Slots[2].Drive
	next := drive(100, "z0n0", 1)
	next.Replaces = old
	m = setState(Apply(m, []Change{{Drive: next}}), old, placement.DriveOut)
	m = Apply(m, Lost(m))
	pg := m.Pools[1].PGs[3]
	if _, ok := SlotComplete(m, 1, 3, 2, old, pg.Epoch); ok {
		t.Error("for the old owner")
	}
	if _, ok := SlotComplete(m, 1, 3, 2, next.ID, pg.Epoch-1); ok {
		t.Error("for an older epoch")
	}
	c, ok := SlotComplete(m, 1, 3, 2, next.ID, pg.Epoch)
	if !ok || !c.PG.Slots[2].Complete || c.PG.Epoch != pg.Epoch || !c.PG.Slots[2].From.IsZero() {
		t.Fatalf("%v %+v", ok, c.PG)
	}
	if _, ok := SlotComplete(Apply(m, []Change{c}), 1, 3, 2, next.ID, pg.Epoch); ok {
		t.Error("twice")
	}
	for _, bad := range []struct {
		pool ids.Pool
		pg   ids.PG
		slot int
	}{{2, 0, 0}, {1, 16, 0}, {1, 0, 6}} {
		if _, ok := SlotComplete(m, bad.pool, bad.pg, bad.slot, old, 1); ok {
			t.Errorf("%+v", bad)
		}
	}
}

func TestI10_ReplicaMoves(t *testing.T) {
	m := simulated(t, 1, 1, 6, Profile{4, 2}, 16, 0, rand.New(rand.NewPCG(1, 1)))
	if c := ReplicaMoves(m); len(c) != 0 {
		t.Fatalf("of a whole range: %v", c)
	}
	old := m.Ranges[0].Replicas[1]
	next := drive(100, "z0n0", 1)
	next.Replaces = old.Drive
	m = setState(Apply(m, []Change{{Drive: next}}), old.Drive, placement.DriveOut)
	changes := ReplicaMoves(m)
	if len(changes) != 1 {
		t.Fatalf("%v", changes)
	}
	m = Apply(m, changes)
	joining := m.Ranges[0].Replicas[5]
	if joining.Drive != next.ID || joining.ID != 6 || joining.Replaces != old.ID || !joining.Joining || m.Ranges[0].NextReplica != 7 {
		t.Fatalf("%+v", joining)
	}
	if c := ReplicaMoves(m); len(c) != 0 {
		t.Fatalf("while one joins: %v", c)
	}
	c, ok := ReplicaJoined(m, 1, 6)
	if !ok || len(c.Range.Replicas) != 5 || slices.ContainsFunc(c.Range.Replicas, func(r placement.Replica) bool { return r.ID == old.ID || r.Joining }) {
		t.Fatalf("%+v", c.Range)
	}
	if _, ok := ReplicaJoined(Apply(m, []Change{c}), 1, 6); ok {
		t.Error("joined twice")
	}
}

func TestReplicaMovesGrowsARange(t *testing.T) {
	m := simulated(t, 1, 1, 4, Profile{2, 2}, 16, 0, rand.New(rand.NewPCG(1, 1)))
	d := drive(50, "z0n0", 1)
	m = Apply(m, []Change{{Drive: d}})
	changes := ReplicaMoves(m)
	if len(changes) != 1 || changes[0].Range.Replicas[4].Drive != d.ID || changes[0].Range.Replicas[4].Replaces != 0 {
		t.Fatalf("%v", changes)
	}
}

func TestI9_EtcdHosts(t *testing.T) {
	for _, c := range []struct {
		drives int
		p      Profile
		want   int
	}{{1, Profile{1, 0}, 1}, {2, Profile{1, 1}, 2}, {3, Profile{2, 1}, 3}, {4, Profile{2, 2}, 4}, {5, Profile{3, 2}, 5}, {6, Profile{4, 2}, 5}, {12, Profile{8, 3}, 7}} {
		m := simulated(t, 1, 1, c.drives, c.p, 16, 0, rand.New(rand.NewPCG(1, 1)))
		hosts := EtcdHosts(m, nil)
		if len(hosts) != c.want {
			t.Errorf("%d drives, %s: %d hosts, want %d", c.drives, c.p, len(hosts), c.want)
		}
		if again := EtcdHosts(m, hosts); !sameSet(again, hosts) {
			t.Errorf("%d drives: the hosts change without a reason", c.drives)
		}
		if c.drives < 6 {
			continue
		}
		down := EtcdHosts(setState(m, hosts[1], placement.DriveDown), hosts)
		if !sameSet(down, hosts) {
			t.Errorf("%d drives: one that is down is replaced before it is out", c.drives)
		}
		out := EtcdHosts(setState(m, hosts[1], placement.DriveOut), hosts)
		if slices.Contains(out, hosts[1]) || len(out) != c.want {
			t.Errorf("%d drives: %d hosts when one is out", c.drives, len(out))
		}
		kept := 0
		for _, h := range hosts {
			if slices.Contains(out, h) {
				kept++
			}
		}
		if kept != c.want-1 {
			t.Errorf("%d drives: %d hosts kept", c.drives, kept)
		}
	}
	m := simulated(t, 3, 2, 4, Profile{4, 2}, 16, 0, rand.New(rand.NewPCG(1, 1)))
	perZone := map[string]int{}
	for _, h := range EtcdHosts(m, nil) {
		perZone[m.Nodes[m.Drives[h].Node].Zone]++
	}
	for z, n := range perZone {
		if n > 2 {
			t.Errorf("zone %s has %d of 5 members", z, n)
		}
	}
}

func sameSet(a, b []ids.Drive) bool {
	for _, x := range a {
		if !slices.Contains(b, x) {
			return false
		}
	}
	return len(a) == len(b)
}

// TestI3_Promise: what is promised is what both data and records survive, now.
func TestI3_Promise(t *testing.T) {
	m := simulated(t, 1, 1, 6, Profile{4, 2}, 256, 0, rand.New(rand.NewPCG(1, 1)))
	first, second := m.Pools[1].PGs[0].Slots[0].Drive, m.Pools[1].PGs[0].Slots[1].Drive
	if p := PromiseOf(m, 5, 5); p.Drives() != 2 || p.String() != "any 2 drives" || p.Nominal != 2 {
		t.Errorf("%+v %s", p, p)
	}
	m = setState(m, first, placement.DriveDown)
	if p := PromiseOf(m, 5, 5); p.Drives() != 1 || p.String() != "any 1 drive" {
		t.Errorf("%+v %s", p, p)
	}
	if p := PromiseOf(m, 5, 3); p.Drives() != 0 {
		t.Errorf("two members away: %+v", p)
	}
	m = setState(m, second, placement.DriveSuspect) // counts as lost until its repair rows are drained (I2)
	if p := PromiseOf(m, 0, 0); p.Drives() != 0 || p.String() != "no drive" {
		t.Errorf("%+v %s", p, p)
	}
	if text := (Promise{Data: -1}).String() + " may be lost"; text != "no drive (1 too many are lost already) may be lost" {
		t.Error(text)
	}
	for n, want := range map[int]int{1: 0, 2: 1, 3: 1, 4: 2, 5: 2} {
		p := DefaultProfile(n)
		m := simulated(t, 1, 1, n, p, 256, 0, rand.New(rand.NewPCG(1, 1)))
		c := MemberCount(p.M, n)
		if got := PromiseOf(m, c, c); got.Drives() != want || want != p.M {
			t.Errorf("%d drives at %s: %+v, want %d", n, p, got, want)
		}
	}
}

// TestI19_RandomLives lives a cluster through random events and holds every invariant after each.
func TestI19_RandomLives(t *testing.T) {
	for seed := range uint64(8) {
		rng := rand.New(rand.NewPCG(seed, 99))
		m := simulated(t, 1+rng.IntN(3), 1+rng.IntN(4), 6+rng.IntN(6), Profile{4, 2}, 256, rng.Float64(), rng)
		serial := 1000
		for step := range 30 {
			var changes []Change
			switch rng.IntN(3) {
			case 0:
				old := someDrive(m, rng)
				serial++
				next := drive(serial, m.Drives[old].Node, m.Drives[old].Weight)
				next.Replaces = old
				m = setState(Apply(m, []Change{{Drive: next}}), old, placement.DriveOut)
				changes = Lost(m)
			case 1:
				if alive(m) > 8 {
					lost := someDrive(m, rng)
					m = setState(m, lost, placement.DriveOut)
					changes = Lost(m)
				}
			case 2:
				serial++
				m = Apply(m, []Change{{Drive: drive(serial, m.Drives[someDrive(m, rng)].Node, 1)}})
				changes = Moves(m, Pace{})
			}
			checkSteps(t, m, changes)
			m = Apply(m, changes)
			if rng.IntN(3) > 0 {
				m = settle(m)
			}
			for _, pg := range m.Pools[1].PGs {
				seen := map[ids.Drive]bool{}
				for _, s := range pg.Slots {
					if seen[s.Drive] || m.Drives[s.Drive].State == placement.DriveOut {
						t.Fatalf("seed %d step %d: drive %s twice or out", seed, step, s.Drive)
					}
					seen[s.Drive] = true
				}
			}
		}
	}
}

func alive(m *placement.Map) (n int) {
	for _, d := range m.Drives {
		if d.State == placement.DriveUp {
			n++
		}
	}
	return n
}

func BenchmarkTable(b *testing.B) {
	for _, c := range []struct{ drives, pgs int }{{6, 256}, {100, 4096}, {10_000, 65_536}} {
		b.Run(fmt.Sprint(c.drives), func(b *testing.B) {
			m := &placement.Map{Drives: map[ids.Drive]*placement.Drive{}, Nodes: map[string]*placement.Node{}}
			for i := range c.drives {
				d := drive(i+1, fmt.Sprint("n", i/10), 1)
				m.Drives[d.ID] = d
			}
			for b.Loop() {
				Table(m, &placement.Pool{ID: 1, K: 4, M: 2, PGCount: c.pgs})
			}
		})
	}
}
