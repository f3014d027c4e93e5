package plan

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/placement"
)

// withRanges gives a map so many ranges, placed as splits leave them: all where the first one is.
func withRanges(m *placement.Map, n int) *placement.Map {
	m = Apply(m, nil)
	first := m.Ranges[0]
	m.Ranges = nil
	for i := range n {
		r := *first
		r.ID = ids.Range(i + 1)
		r.Replicas = slices.Clone(first.Replicas)
		m.Ranges = append(m.Ranges, &r)
	}
	return m
}

// settleReplicas makes replica moves until there are none left, each joined before the next look.
func settleReplicas(t *testing.T, m *placement.Map) (after *placement.Map, moves int) {
	t.Helper()
	for range 500 {
		changes := ReplicaMoves(m)
		if len(changes) == 0 {
			return m, moves
		}
		seen := map[ids.Range]bool{}
		for _, c := range changes {
			last := c.Range.Replicas[len(c.Range.Replicas)-1]
			if seen[c.Range.ID] || !last.Joining || last.ID != c.Range.NextReplica-1 {
				t.Fatalf("I10: %s: %+v", c, c.Range)
			}
			seen[c.Range.ID] = true
		}
		moves += len(changes)
		m = Apply(m, changes)
		if again := ReplicaMoves(m); slices.ContainsFunc(again, func(c Change) bool { return seen[c.Range.ID] }) {
			t.Fatal("a second replica joins a range")
		}
		m = Apply(m, joined(changes))
	}
	t.Fatal("does not come to an end")
	return nil, 0
}

// perDomain is the most replicas that a range has on one node, and how many each drive has.
func perDomain(m *placement.Map) (most int, drives map[ids.Drive]int) {
	drives = map[ids.Drive]int{}
	for _, r := range m.Ranges {
		on := map[string]int{}
		for _, rep := range r.Replicas {
			drives[rep.Drive]++
			on[m.Drives[rep.Drive].Node]++
			most = max(most, on[m.Drives[rep.Drive].Node])
		}
	}
	return most, drives
}

// TestI3_ReplicasSpread: no node has a majority of a range's replicas where there are enough, and drives have equal numbers.
func TestI3_ReplicasSpread(t *testing.T) {
	for _, c := range []struct{ nodes, drives, ranges, most int }{
		{1, 6, 1, 5}, {1, 8, 40, 5}, {2, 4, 20, 3}, {3, 4, 40, 2}, {4, 2, 40, 2}, {6, 3, 60, 1},
	} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			m := withRanges(simulated(t, 1, c.nodes, c.drives, Profile{4, 2}, 16, 0, rand.New(rand.NewPCG(1, 1))), c.ranges)
			m, moves := settleReplicas(t, m)
			most, drives := perDomain(m)
			if most > c.most {
				t.Errorf("%d replicas of a range are on one node, want at most %d", most, c.most)
			}
			for id := range m.Drives {
				if n, share := drives[id], c.ranges*5/len(m.Drives); n < share-1 || n > share+2 {
					t.Errorf("drive %s has %d replicas, its share is %d", id, n, share)
				}
			}
			t.Logf("%d moves", moves)
		})
	}
}

// TestI3_ReplicasFollowNodes: a cluster of one node gets others; no node keeps a majority.
func TestI3_ReplicasFollowNodes(t *testing.T) {
	m := withRanges(simulated(t, 1, 1, 6, Profile{4, 2}, 16, 0, rand.New(rand.NewPCG(1, 1))), 10)
	for i := range 3 {
		m = withDrives(m, fmt.Sprint("new", i), 100*(i+1), 4)
	}
	if n := len(ReplicaMoves(m)); n == 0 || n > joinsForBalance {
		t.Fatalf("%d replicas join at once though nothing is wrong with those before", n)
	}
	m, _ = settleReplicas(t, m)
	if most, _ := perDomain(m); most > 2 {
		t.Errorf("%d replicas of a range are on one node", most)
	}
}

// TestI19_ReplicasLeaveWhatIsDrained, at once, and nothing comes back.
func TestI19_ReplicasLeaveWhatIsDrained(t *testing.T) {
	m := withRanges(simulated(t, 1, 4, 3, Profile{4, 2}, 16, 0, rand.New(rand.NewPCG(1, 1))), 20)
	m, _ = settleReplicas(t, m)
	m = withNode(m, "z0n2", func(n *placement.Node) { n.Draining = true })
	m, _ = settleReplicas(t, m)
	_, drives := perDomain(m)
	for _, d := range drivesOf(m, "z0n2") {
		if drives[d.ID] != 0 {
			t.Errorf("%d replicas are left on %s", drives[d.ID], d.ID)
		}
	}
	for _, r := range m.Ranges {
		if len(r.Replicas) != 5 {
			t.Errorf("range %d has %d replicas", r.ID, len(r.Replicas))
		}
	}
}

// TestI20_NothingMovesWhileARangeSplits: the child takes the replicas that its parent has.
func TestI20_NothingMovesWhileARangeSplits(t *testing.T) {
	m := simulated(t, 1, 1, 6, Profile{4, 2}, 16, 0, rand.New(rand.NewPCG(1, 1)))
	m = setState(m, m.Ranges[0].Replicas[0].Drive, placement.DriveOut)
	r := *m.Ranges[0]
	r.Splitting = &placement.Splitting{Child: 2}
	if changes := ReplicaMoves(Apply(m, []Change{{Range: &r}})); len(changes) != 0 {
		t.Errorf("%v", changes)
	}
	if changes := ReplicaMoves(m); len(changes) != 1 {
		t.Errorf("%v", changes)
	}
}

func TestLeaders(t *testing.T) {
	m := withRanges(simulated(t, 1, 4, 2, Profile{4, 2}, 16, 0, rand.New(rand.NewPCG(1, 1))), 40)
	m, _ = settleReplicas(t, m)
	leaders := Leaders(m)
	count := func(leaders map[ids.Range]ids.Drive) map[string]int {
		nodes := map[string]int{}
		for id, d := range leaders {
			if !slices.ContainsFunc(m.Ranges[id-1].Replicas, func(r placement.Replica) bool { return r.Drive == d }) {
				t.Errorf("range %d: drive %s has no replica", id, d)
			}
			nodes[m.Drives[d].Node]++
		}
		return nodes
	}
	for node, n := range count(leaders) {
		if n < 8 || n > 12 {
			t.Errorf("node %s leads %d of 40 ranges", node, n)
		}
	}
	gone := drivesOf(m, "z0n1")[0].ID
	after, moved := Leaders(setState(m, gone, placement.DriveSuspect)), 0
	count(after)
	for id, d := range leaders {
		if after[id] == gone {
			t.Errorf("range %d is led by a drive that is suspect", id)
		}
		if after[id] != d && d != gone {
			moved++
		}
	}
	if len(after) != 40 || moved > 20 {
		t.Errorf("%d leaders, %d moved though theirs is well", len(after), moved)
	}
	m.Ranges[0].Replicas[0].Joining = true
	if l := Leaders(m); l[1] == m.Ranges[0].Replicas[0].Drive {
		t.Error("one that does not vote yet is to lead")
	}
}

// TestI9_EtcdHostsFollowNodes: members of a cluster that began as one node spread when others come, and leave drained drives.
func TestI9_EtcdHostsFollowNodes(t *testing.T) {
	m := simulated(t, 1, 1, 6, Profile{4, 2}, 16, 0, rand.New(rand.NewPCG(1, 1)))
	hosts := EtcdHosts(m, nil)
	for i := range 2 {
		m = withDrives(m, fmt.Sprint("new", i), 100*(i+1), 4)
	}
	hosts = EtcdHosts(m, hosts)
	if on := onNodes(m, hosts); len(hosts) != 5 || len(on) != 3 || slices.Max(on) > 2 {
		t.Errorf("%d hosts, on nodes %v", len(hosts), on)
	}
	if again := EtcdHosts(m, hosts); !sameSet(again, hosts) {
		t.Error("they change without a reason")
	}
	m = withNode(m, "new0", func(n *placement.Node) { n.Draining = true })
	left := EtcdHosts(m, hosts)
	if on := onNodes(m, left); len(left) != 5 || len(on) != 2 {
		t.Errorf("%d hosts, on nodes %v", len(left), on)
	}
	down := setState(m, left[0], placement.DriveDown)
	if !sameSet(EtcdHosts(down, left), left) {
		t.Error("one that is down is replaced before it is given up")
	}
}

func onNodes(m *placement.Map, hosts []ids.Drive) (counts []int) {
	on := map[string]int{}
	for _, id := range hosts {
		on[m.Drives[id].Node]++
	}
	for _, n := range on {
		counts = append(counts, n)
	}
	return counts
}

// TestI19_GiveUpNode: all drives of one node may be given up, one after another, though they are more than m; never more than one
// node's, nor while the node answers others.
func TestI19_GiveUpNode(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	o := Outlook{
		Down: func(d *placement.Drive) time.Duration { return now.Sub(d.Since) }, Etcd: time.Hour,
		OutAfter: 10 * time.Minute, EtcdGrace: 10 * time.Minute,
	}
	down := func(m *placement.Map, node string, n int) *placement.Map {
		for _, d := range drivesOf(m, node)[:n] {
			m = edited(m, d.ID, func(d *placement.Drive) { d.State, d.Since = placement.DriveDown, now.Add(-time.Hour) })
		}
		return m
	}
	m := simulated(t, 1, 6, 4, Profile{4, 2}, 64, 0, rand.New(rand.NewPCG(1, 1)))
	lost := down(m, "z0n1", 4)
	for i := range 4 {
		id := GiveUp(lost, o)
		if id.IsZero() || lost.Drives[id].Node != "z0n1" {
			t.Fatalf("after %d: %s", i, id)
		}
		lost = setState(lost, id, placement.DriveOut)
		for changes := Lost(lost); len(changes) > 0; changes = Lost(lost) {
			lost = Apply(lost, completed(changes))
		}
	}
	check(t, lost)
	if id := GiveUp(down(lost, "z0n2", 1), o); !id.IsZero() {
		t.Errorf("one of a second node is given up: %s", id)
	}
	if id := GiveUp(down(down(m, "z0n1", 4), "z0n2", 1), o); !id.IsZero() {
		t.Errorf("more than one node is gone, and %s is given up", id)
	}
	o.Answering = map[string]bool{"z0n1": true}
	if id := GiveUp(down(m, "z0n1", 4), o); !id.IsZero() {
		t.Errorf("the node answers others, and %s is given up", id)
	}
	alive := down(m, "z0n1", 1)
	alive.Alive = map[string]bool{"z0n1": true}
	if id := GiveUp(alive, o); id.IsZero() {
		t.Error("a drive that its own node calls lost is not given up")
	}
	o.Answering = nil
	if id := GiveUp(down(simulated(t, 1, 2, 6, Profile{4, 2}, 64, 0, rand.New(rand.NewPCG(1, 1))), "z0n1", 6), o); !id.IsZero() {
		t.Errorf("a node that the pool cannot lose is given up: %s", id)
	}
}

func TestHoldings(t *testing.T) {
	m := simulated(t, 1, 1, 6, Profile{4, 2}, 16, 0, rand.New(rand.NewPCG(1, 1)))
	id := m.Ranges[0].Replicas[0].Drive
	if h := Holdings(m, []ids.Drive{id})[id]; h.String() != "16 slots, 1 replica, an etcd member" || h.Empty() {
		t.Errorf("%s", h)
	}
	if h := (Holding{}); h.String() != "nothing" || !h.Empty() {
		t.Errorf("%s", h)
	}
}

// TestI19_AJoinOnADeadDriveIsCalledOff: it holds up its range no longer than until it has left, and another drive is found then.
func TestI19_AJoinOnADeadDriveIsCalledOff(t *testing.T) {
	m := withRanges(simulated(t, 1, 4, 3, Profile{4, 2}, 16, 0, rand.New(rand.NewPCG(1, 1))), 1)
	m, _ = settleReplicas(t, m)
	lost := m.Ranges[0].Replicas[0]
	m = Apply(m, nil)
	m.Drives[lost.Drive].State = placement.DriveOut
	changes := ReplicaMoves(m)
	if len(changes) != 1 {
		t.Fatalf("%d changes", len(changes))
	}
	m = Apply(m, changes)
	ordered := m.Ranges[0].Replicas[len(m.Ranges[0].Replicas)-1]
	down := func(d *placement.Drive) bool { return d.State == placement.DriveDown }
	if called := CallOffs(m, down); len(called) != 0 {
		t.Fatalf("called off though its drive is there: %v", called)
	}
	m.Drives[ordered.Drive].State = placement.DriveDown
	if more := ReplicaMoves(m); len(more) != 0 {
		t.Fatalf("a second replica joins before the first is out of the way: %v", more)
	}
	called := CallOffs(m, down)
	if len(called) != 1 {
		t.Fatalf("%d joins are called off", len(called))
	}
	m = Apply(m, called)
	if again := CallOffs(m, down); len(again) != 0 {
		t.Fatalf("called off twice: %v", again)
	}
	drops := Drops(m)
	if len(drops) != 1 || drops[0] != (Drop{1, ordered.ID, true}) {
		t.Fatalf("%+v", drops)
	}
	for name, end := range map[string]func() (Change, bool){
		"left":   func() (Change, bool) { return Dropped(m, drops[0]) },
		"joined": func() (Change, bool) { return ReplicaJoined(m, 1, ordered.ID) },
	} {
		c, ok := end()
		if !ok || !c.Range.Settled() {
			t.Fatalf("%s: %v, %+v", name, ok, c.Range)
		}
		next := ReplicaMoves(Apply(m, []Change{c}))
		if name == "joined" {
			if len(next) != 0 {
				t.Errorf("it votes, and is replaced though its drive is not out: %v", next)
			}
			continue
		}
		if len(next) != 1 {
			t.Fatalf("no other is ordered: %v", next)
		}
		if rep := next[0].Range.Replicas[len(next[0].Range.Replicas)-1]; rep.Drive == ordered.Drive || rep.Replaces != lost.ID || rep.ID <= ordered.ID {
			t.Errorf("ordered: %+v, after %+v for %+v", rep, ordered, lost)
		}
	}
}

// TestI3_FirstReplicasSpread: those that a cluster begins with are on as many nodes as there are, and on none twice before all have one,
// whatever the drives' ids and sizes.
func TestI3_FirstReplicasSpread(t *testing.T) {
	for seed := range uint64(20) {
		for _, c := range []struct{ zones, nodes, drives int }{{1, 4, 2}, {1, 4, 3}, {1, 3, 4}, {1, 5, 1}, {2, 2, 3}, {1, 2, 4}, {1, 1, 6}, {3, 2, 2}} {
			m := simulated(t, c.zones, c.nodes, c.drives, Profile{3, 2}, 16, 0.5, rand.New(rand.NewPCG(seed, 1)))
			for level, of := range map[string]func(*placement.Drive) string{
				"node": func(d *placement.Drive) string { return d.Node },
				"zone": func(d *placement.Drive) string { return m.Nodes[d.Node].Zone },
			} {
				on := map[string]int{}
				for _, d := range m.Drives {
					on[of(d)] = 0
				}
				for _, rep := range m.Ranges[0].Replicas {
					on[of(m.Drives[rep.Drive])]++
				}
				if least, most := slices.Min(slices.Collect(maps.Values(on))), slices.Max(slices.Collect(maps.Values(on))); most-least > 1 {
					t.Errorf("seed %d, %+v: replicas by %s: %v", seed, c, level, on)
				}
			}
		}
	}
}
