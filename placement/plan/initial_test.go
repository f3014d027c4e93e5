package plan

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/placement"
)

func drive(n int, node string, weight float64) *placement.Drive {
	var id ids.Drive
	binary.BigEndian.PutUint64(id[:], uint64(n)*0x9e3779b97f4a7c15)
	binary.BigEndian.PutUint64(id[8:], uint64(n))
	return &placement.Drive{ID: id, Node: node, Weight: weight, State: placement.DriveUp}
}

func drives(n int) []*placement.Drive {
	out := make([]*placement.Drive, n)
	for i := range out {
		out[i] = drive(i+1, "n1", 1)
	}
	return out
}

// simulated makes a map with zones × nodes × drives; skew > 0 varies the weights by that factor at most.
func simulated(t testing.TB, zones, nodes, perNode int, p Profile, pgs int, skew float64, rng *rand.Rand) *placement.Map {
	t.Helper()
	m := &placement.Map{
		Nodes:  map[string]*placement.Node{},
		Drives: map[ids.Drive]*placement.Drive{},
		Pools:  map[ids.Pool]*placement.Pool{},
	}
	serial := 0
	for z := range zones {
		for n := range nodes {
			name := fmt.Sprintf("z%dn%d", z, n)
			m.Nodes[name] = &placement.Node{Name: name, Zone: fmt.Sprint("z", z)}
			for range perNode {
				serial++
				d := drive(serial, name, 1+skew*rng.Float64())
				m.Drives[d.ID] = d
			}
		}
	}
	pool := &placement.Pool{ID: 1, K: p.K, M: p.M, PGCount: pgs}
	pool.PGs = Table(m, pool)
	m.Pools[1] = pool
	m.Ranges = []*placement.Range{firstRange(m, ReplicaCount(p.M, len(m.Drives)))}
	return m
}

// check holds what every map must hold: no drive twice in a PG, n slots, domains within what is allowed.
func check(t testing.TB, m *placement.Map) {
	t.Helper()
	for _, pool := range m.Pools {
		l := newLayout(m, usable)
		l.setCaps(pool.N(), pool.M)
		for i, pg := range pool.PGs {
			if len(pg.Slots) != pool.N() {
				t.Fatalf("pg %d has %d slots, want %d", i, len(pg.Slots), pool.N())
			}
			seen := map[ids.Drive]bool{}
			node, zone := map[string]int{}, map[string]int{}
			for _, s := range pg.Slots {
				if seen[s.Drive] {
					t.Fatalf("pg %d has drive %s twice", i, s.Drive)
				}
				seen[s.Drive] = true
				name := m.Drives[s.Drive].Node
				node[name]++
				zone[m.Nodes[name].Zone]++
				if node[name] > l.nodes.most || zone[m.Nodes[name].Zone] > l.zones.most {
					t.Fatalf("pg %d: %d slots on node %s, %d in its zone; at most %d and %d",
						i, node[name], name, zone[m.Nodes[name].Zone], l.nodes.most, l.zones.most)
				}
			}
		}
	}
}

// checkSpared holds that each domain that the drives can do without is done without by 1/(2·domains) of the PGs (I19). It counts
// by itself, apart from what the planner keeps.
func checkSpared(t testing.TB, m *placement.Map) {
	t.Helper()
	pool := m.Pools[1]
	for kind, of := range map[string]func(*placement.Drive) string{
		"drive": func(d *placement.Drive) string { return d.ID.String() },
		"node":  func(d *placement.Drive) string { return d.Node },
		"zone":  func(d *placement.Drive) string { return m.Nodes[d.Node].Zone },
	} {
		domains := map[string]bool{}
		for _, d := range m.Drives {
			if usable(d) && !m.Draining(d) {
				domains[of(d)] = true
			}
		}
		if len(domains) > 100 {
			continue // beyond doubt, and long to count
		}
		for name := range domains {
			rest := &placement.Map{Nodes: m.Nodes, Drives: map[ids.Drive]*placement.Drive{}}
			for id, d := range m.Drives {
				if usable(d) && !m.Draining(d) && of(d) != name {
					rest.Drives[id] = d
				}
			}
			if !fits(rest, pool) {
				continue
			}
			without := 0
			for _, pg := range pool.PGs {
				if !slices.ContainsFunc(pg.Slots, func(s placement.Slot) bool { return of(m.Drives[s.Drive]) == name }) {
					without++
				}
			}
			if without*2*len(domains) < pool.PGCount {
				t.Errorf("%s %s: only %d of %d PGs do without it, want 1/%d", kind, name, without, pool.PGCount, 2*len(domains))
			}
		}
	}
}

// fits reports whether drives can hold a PG of the pool with no more than m slots on a node, nor in a zone if there are several.
func fits(m *placement.Map, pool *placement.Pool) bool {
	nodes, zones := map[string]int{}, map[string]int{}
	for _, d := range m.Drives {
		if nodes[d.Node]++; nodes[d.Node] <= pool.M {
			zones[m.Nodes[d.Node].Zone]++
		}
	}
	all := map[string]bool{}
	for _, n := range m.Nodes {
		all[n.Zone] = true
	}
	sum := 0
	for _, n := range zones {
		if len(all) > 1 {
			n = min(n, pool.M)
		}
		sum += n
	}
	return sum >= pool.N()
}

// skewOf is the largest relative distance of a drive's slots from its target; one slot is the grain.
func skewOf(m *placement.Map) float64 {
	pool := m.Pools[1]
	l := newLayout(m, usable)
	l.setCaps(pool.N(), pool.M)
	l.setTargets(pool.PGCount, pool.N())
	count := map[ids.Drive]int{}
	for _, pg := range pool.PGs {
		for _, s := range pg.Slots {
			count[s.Drive]++
		}
	}
	worst := 0.0
	for _, p := range l.places {
		off := math.Abs(float64(count[p.id] - p.target))
		if off > 1 {
			worst = max(worst, off/float64(max(p.target, 1)))
		}
	}
	return worst
}

func TestI19_InitialIsBalancedAndRespectsDomains(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct {
		zones, nodes, drives int
		profile              Profile
		pgs                  int
		skew                 float64
	}{
		{1, 1, 1, Profile{1, 0}, 256, 0},
		{1, 1, 2, Profile{1, 1}, 256, 0},
		{1, 1, 3, Profile{2, 1}, 256, 0},
		{1, 1, 4, Profile{2, 2}, 256, 0},
		{1, 1, 6, Profile{4, 2}, 256, 0},
		{1, 1, 7, Profile{4, 2}, 256, 0},
		{1, 1, 12, Profile{8, 3}, 256, 0},
		{1, 1, 12, Profile{4, 2}, 256, 1},
		{1, 3, 4, Profile{4, 2}, 256, 0},
		{1, 4, 2, Profile{4, 2}, 256, 0},
		{1, 5, 2, Profile{4, 2}, 256, 0},
		{1, 6, 2, Profile{4, 2}, 256, 0},
		{1, 6, 1, Profile{4, 2}, 256, 0},
		{1, 7, 1, Profile{4, 2}, 256, 0},
		{1, 5, 4, Profile{8, 3}, 256, 0},
		{1, 3, 3, Profile{2, 1}, 256, 0},
		{4, 1, 2, Profile{4, 2}, 256, 0},
		{4, 2, 2, Profile{4, 2}, 256, 0},
		{1, 6, 3, Profile{4, 2}, 256, 1},
		{3, 2, 4, Profile{4, 2}, 512, 0},
		{3, 3, 4, Profile{4, 2}, 512, 2},
		{2, 5, 6, Profile{8, 3}, 1024, 1},
		{4, 10, 25, Profile{8, 3}, 4096, 1},
	} {
		t.Run(fmt.Sprintf("%dz%dn%dd_%s_%g", c.zones, c.nodes, c.drives, c.profile, c.skew), func(t *testing.T) {
			m := simulated(t, c.zones, c.nodes, c.drives, c.profile, c.pgs, c.skew, rng)
			check(t, m)
			checkSpared(t, m)
			if s := skewOf(m); s > 0.03 {
				t.Errorf("a drive is %.1f %% off its share", s*100)
			}
		})
	}
}

func TestInitialIsDeterministic(t *testing.T) {
	opt := InitialOptions{Nodes: []placement.Node{{Name: "n1"}}, Drives: drives(6)}
	a, err := Initial(opt)
	if err != nil {
		t.Fatal(err)
	}
	opt.Drives = append(opt.Drives[3:], opt.Drives[:3]...) // the order they are given in must not matter
	b, err := Initial(opt)
	if err != nil {
		t.Fatal(err)
	}
	for i := range a.Pool.PGs {
		if fmt.Sprint(a.Pool.PGs[i]) != fmt.Sprint(b.Pool.PGs[i]) {
			t.Fatalf("pg %d differs", i)
		}
	}
	if len(a.Ranges[0].Replicas) != 5 || a.Ranges[0].NextReplica != 6 {
		t.Fatalf("range 1: %+v", a.Ranges[0])
	}
}

func TestInitialSpreadsSlotNumbers(t *testing.T) {
	in, err := Initial(InitialOptions{Nodes: []placement.Node{{Name: "n1"}}, Drives: drives(6)})
	if err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for _, pg := range in.Pool.PGs {
		for s, slot := range pg.Slots {
			count[fmt.Sprint(s, slot.Drive)]++
		}
	}
	for k, n := range count {
		if n < 36 || n > 50 { // 256/6 = 42.7
			t.Errorf("slot and drive %s: %d PGs of 256", k, n)
		}
	}
}

func TestInitialRefuses(t *testing.T) {
	for name, opt := range map[string]InitialOptions{
		"too few drives":  {Drives: drives(5), Profile: Profile{4, 2}},
		"no drives":       {},
		"odd PG count":    {Drives: drives(6), PGCount: 100},
		"same drive":      {Drives: append(drives(6), drives(1)...)},
		"too many shards": {Drives: drives(40), Profile: Profile{30, 8}},
	} {
		if _, err := Initial(opt); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestParseProfile(t *testing.T) {
	for text, want := range map[string]Profile{"4+2": {4, 2}, " 1+0": {1, 0}, "8+3": {8, 3}, "1+2": {1, 2}} {
		if got, err := ParseProfile(text); err != nil || got != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "4", "4+", "+2", "0+2", "4+-1", "2+3", "4+2+1", "30+10", "a+b"} {
		if p, err := ParseProfile(text); err == nil {
			t.Errorf("%q: accepted as %v", text, p)
		}
	}
}

func TestDefaultProfileFits(t *testing.T) {
	for n := 1; n <= 40; n++ {
		if p := DefaultProfile(n); p.N() > n || p.check() != nil {
			t.Errorf("%d drives: %s", n, p)
		}
	}
}
