package node

import (
	"testing"

	"github.com/sherd-io/sherd/disk"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/placement"
	"github.com/sherd-io/sherd/placement/plan"
)

// plannerOver is a planner whose drives are all in service, with one range of replicas 1, 2, … on them.
func plannerOver(drives ...ids.Drive) (*planner, *placement.Map) {
	b := newBays(nil)
	open := map[ids.Drive]*disk.Drive{}
	row := &placement.Range{ID: 1, Generation: 1, NextReplica: 1}
	m := &placement.Map{Drives: map[ids.Drive]*placement.Drive{}, Ranges: []*placement.Range{row}}
	for _, d := range drives {
		open[d] = new(disk.Drive) // only looked up
		m.Drives[d] = &placement.Drive{ID: d, State: placement.DriveUp}
		row.Replicas = append(row.Replicas, placement.Replica{ID: row.NextReplica, Drive: d})
		row.NextReplica++
	}
	b.byID.Store(&open)
	return newPlanner(&Node{bays: b}), m
}

// A lost replica is replaced once, wherever in the row the one that joins in its stead stands.
func TestI19_LostReplicaIsReplacedOnce(t *testing.T) {
	p, m := plannerOver(ids.Drive{1}, ids.Drive{2}, ids.Drive{3})
	p.lost[rangeReplica{1, 2}] = true
	changes := p.lostReplicas(m)
	if len(changes) != 1 {
		t.Fatalf("%d changes", len(changes))
	}
	joined := changes[0].Range.Replicas[3]
	if joined.ID != 4 || joined.Drive != (ids.Drive{2}) || !joined.Joining || joined.Replaces != 2 || changes[0].Range.NextReplica != 5 {
		t.Fatalf("%+v", joined)
	}
	m.Ranges[0] = changes[0].Range
	if again := p.lostReplicas(m); len(again) != 0 {
		t.Fatalf("a second one is ordered: %v", again)
	}
}

// A joining replica that replaces one that is gone, or whose drive is out, leaves the directory.
func TestI19_UselessJoiningReplicaIsDropped(t *testing.T) {
	_, m := plannerOver(ids.Drive{1}, ids.Drive{2})
	row := m.Ranges[0]
	row.Replicas = append(row.Replicas, placement.Replica{ID: 7, Drive: ids.Drive{2}, Joining: true, Replaces: 2})
	if changes := dropUseless(m); len(changes) != 0 {
		t.Fatalf("a useful one is dropped: %v", changes)
	}
	row.Replicas[2].Replaces = 6
	if changes := dropUseless(m); len(changes) != 1 || len(changes[0].Range.Replicas) != 2 {
		t.Fatalf("not dropped: %v", changes)
	}
	row.Replicas[2].Replaces = 2
	m.Drives[ids.Drive{2}].State = placement.DriveOut
	if changes := dropUseless(m); len(changes) != 1 {
		t.Fatalf("not dropped though its drive is out: %v", changes)
	}
}

// A replica that lost its state while it joined is told not to, once.
func TestI10_LostJoiningReplicaIsCalledOff(t *testing.T) {
	p, m := plannerOver(ids.Drive{1}, ids.Drive{2})
	row := m.Ranges[0]
	row.Replicas = append(row.Replicas, placement.Replica{ID: 7, Drive: ids.Drive{2}, Joining: true, Replaces: 2})
	if changes := plan.LostJoins(m, p.isLost); len(changes) != 0 {
		t.Fatalf("one that is not lost: %v", changes)
	}
	p.lost[rangeReplica{1, 7}] = true
	changes := plan.LostJoins(m, p.isLost)
	if len(changes) != 1 || !changes[0].Range.Replicas[2].Leaving || !changes[0].Range.Replicas[2].Joining {
		t.Fatalf("%v", changes)
	}
	m.Ranges[0] = changes[0].Range
	if again := append(plan.LostJoins(m, p.isLost), p.lostReplicas(m)...); len(again) != 0 {
		t.Fatalf("again: %v", again)
	}
}
