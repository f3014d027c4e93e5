package node

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta"
	"github.com/sherd-io/sherd/placement"
)

// shared is a map of nodes n0, n1, … with as many drives each, all up, and of ranges with three replicas on drives by chance.
func shared(rng *rand.Rand, nodes, drives, ranges int) *placement.Map {
	m := &placement.Map{Alive: map[string]bool{}, Drives: map[ids.Drive]*placement.Drive{}}
	var all []ids.Drive
	for i := range nodes * drives {
		d := &placement.Drive{ID: ids.Drive{byte(i + 1)}, Node: fmt.Sprint("n", i/drives), State: placement.DriveUp}
		m.Drives[d.ID], m.Alive[d.Node] = d, true
		all = append(all, d.ID)
	}
	for i := range ranges {
		r := &placement.Range{ID: ids.Range(i + 1)}
		rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		for k, d := range all[:3] {
			r.Replicas = append(r.Replicas, placement.Replica{ID: ids.Replica(k + 1), Drive: d, Joining: rng.IntN(8) == 0})
		}
		m.Ranges = append(m.Ranges, r)
	}
	return m
}

// sees reports that the node has a voter of r on an up drive.
func sees(m *placement.Map, r *placement.Range, node string) bool {
	return slices.ContainsFunc(r.Replicas, func(rep placement.Replica) bool {
		d := m.Drives[rep.Drive]
		return d.Node == node && d.State == placement.DriveUp && !rep.Joining
	})
}

// TestEachRangeIsOneNodesWhichSeesIt: the shares of the nodes that live are all ranges, each once; and a range is in the share of a node that
// sees what is written to it, if one of them does.
func TestEachRangeIsOneNodesWhichSeesIt(t *testing.T) {
	states := []placement.DriveState{placement.DriveUp, placement.DriveUp, placement.DriveUp, placement.DriveSuspect, placement.DriveDown, placement.DriveOut}
	rng := rand.New(rand.NewPCG(94, 1))
	for range 300 {
		m := shared(rng, 2+rng.IntN(5), 2, 40)
		for _, d := range m.Drives {
			d.State = states[rng.IntN(len(states))]
		}
		for node := range m.Alive {
			if rng.IntN(4) == 0 {
				delete(m.Alive, node)
			}
		}
		taken, shares := map[ids.Range]string{}, 0
		for node := range m.Alive {
			mine := share(m, node)
			shares += len(mine)
			for _, r := range mine {
				taken[r.ID] = node
			}
		}
		lives := func(d *placement.Drive) bool { return m.Alive[d.Node] && d.State != placement.DriveOut }
		if some := slices.ContainsFunc(slices.Collect(maps.Values(m.Drives)), lives); some && (shares != len(m.Ranges) || len(taken) != len(m.Ranges)) {
			t.Fatalf("%d ranges of %d have a node, %d times", len(taken), len(m.Ranges), shares)
		}
		for _, r := range m.Ranges {
			who := taken[r.ID]
			for node := range m.Alive {
				if sees(m, r, node) && !sees(m, r, who) {
					t.Fatalf("range %d of %+v is %q's, and %s would see it", r.ID, r.Replicas, who, node)
				}
			}
		}
		if len(share(m, "gateway")) != 0 {
			t.Fatal("a gateway has a share")
		}
	}
}

// TestSharesAreEven: no node has much more than its part of the ranges.
func TestSharesAreEven(t *testing.T) {
	m := shared(rand.New(rand.NewPCG(94, 2)), 5, 1, 1000)
	for node := range m.Alive {
		if n := len(share(m, node)); n < 120 || n > 300 {
			t.Errorf("%s has %d ranges of 1000", node, n)
		}
	}
}

// TestWhatIsNotSeenMayHaveChanged: a range that is counted here, and has no replica that runs here, counts as another at each look; others
// do when something was committed to them, wherever as much was taken away.
func TestWhatIsNotSeenMayHaveChanged(t *testing.T) {
	here, away := []meta.ReplicaStatus{{ID: 1}, {ID: 2, Here: true}}, []meta.ReplicaStatus{{ID: 1}, {ID: 2}}
	mine := []*placement.Range{{ID: 1}}
	now := time.Now()
	look := func(all ...meta.RangeStatus) uint64 {
		now = now.Add(time.Second)
		return rangeChanges(all, mine, now)
	}
	rests := func(all ...meta.RangeStatus) bool {
		before := look(all...)
		return look(all...) == before
	}
	seen, other := meta.RangeStatus{ID: 1, Commit: 7, Replicas: here}, meta.RangeStatus{ID: 2, Commit: 9, Replicas: here}
	if look(seen, other) != look(other, seen) {
		t.Error("nothing changed, and it is another number")
	}
	more, less := seen, other
	more.Commit++
	less.Commit--
	if look(more, less) == look(seen, other) {
		t.Error("two ranges changed, and it is the same number")
	}
	blind := meta.RangeStatus{ID: 1, Replicas: away}
	if rests(blind, other) {
		t.Error("what is written to a range that has no replica here is not noticed")
	}
	if rests(other) {
		t.Error("what is written to a range that is not known here yet is not noticed")
	}
	if others := (meta.RangeStatus{ID: 2, Replicas: away}); !rests(seen, others) {
		t.Error("a range that another node counts has this one count again")
	}
}
