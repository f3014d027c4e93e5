package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sherd-io/sherd/disk"
	"github.com/sherd-io/sherd/internal/adminapi"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta/keys"
	"github.com/sherd-io/sherd/placement"
	"github.com/sherd-io/sherd/placement/plan"
	"github.com/sherd-io/sherd/placement/store"
)

// replaceStopped puts a freshly formatted drive in the place of drive i of a node that is stopped.
func (r *rig) replaceStopped(i int) (old, fresh ids.Drive) {
	r.t.Helper()
	id, _, err := disk.Probe(vfs.Default, r.paths[i])
	must(r.t, err)
	must(r.t, os.RemoveAll(r.paths[i]))
	next, err := disk.Format(disk.Options{FS: vfs.Default, Path: r.paths[i], Comparer: keys.Comparer}, id.Cluster)
	must(r.t, err)
	must(r.t, mark(vfs.Default, r.paths[i]))
	return id.Drive, next.Drive
}

// TestI19_ReplacementCutShort: the process ends after each of the steps by which a drive takes the place of another. The
// next one goes on from there: the old drive is out, the new one has its slots and replicas.
func TestI19_ReplacementCutShort(t *testing.T) {
	steps := []struct {
		name string
		do   func(t *testing.T, ctx context.Context, s *store.Store, old, fresh *placement.Drive)
	}{
		{"formatted", func(*testing.T, context.Context, *store.Store, *placement.Drive, *placement.Drive) {}},
		{"in the map", func(t *testing.T, ctx context.Context, s *store.Store, old, fresh *placement.Drive) {
			must(t, s.AddDrive(ctx, fresh))
		}},
		{"old one out", func(t *testing.T, ctx context.Context, s *store.Store, old, fresh *placement.Drive) {
			must(t, s.ReplaceDrive(ctx, old.ID, fresh, "test"))
		}},
		{"some slots moved", func(t *testing.T, ctx context.Context, s *store.Store, old, fresh *placement.Drive) {
			must(t, s.ReplaceDrive(ctx, old.ID, fresh, "test"))
			must(t, s.ApplyAll(ctx, plan.Lost(s.Map())[:testPGs/3]))
		}},
		{"replica ordered", func(t *testing.T, ctx context.Context, s *store.Store, old, fresh *placement.Drive) {
			must(t, s.ReplaceDrive(ctx, old.ID, fresh, "test"))
			must(t, s.ApplyAll(ctx, plan.Lost(s.Map())))
			moves := plan.ReplicaMoves(s.Map())
			if len(moves) == 0 {
				t.Fatal("no replica moves")
			}
			must(t, s.ApplyAll(ctx, moves))
		}},
	}
	for _, step := range steps {
		t.Run(step.name, func(t *testing.T) {
			r := newRig(t, 3, nil)
			r.start()
			r.fill(3)
			r.stop()
			oldID, freshID := r.replaceStopped(1)
			r.control(func(ctx context.Context, s *store.Store) {
				old := s.Map().Drives[oldID]
				next := *old
				next.ID, next.Replaces = freshID, oldID
				step.do(t, ctx, s, old, &next)
			})
			r.start()
			r.awaitState(oldID, placement.DriveOut)
			r.awaitWhole()
			if d := r.row(freshID); d == nil || d.Replaces != oldID {
				t.Errorf("in its place is %+v", d)
			}
			r.check(3)
		})
	}
}

// TestI19_OutWithoutHeir: a drive was put out and the process ended before its slots had moved. They move to the others,
// as far as there is one that has none of the PG.
func TestI19_OutWithoutHeir(t *testing.T) {
	r := newRig(t, 4, profile(2, 1))
	r.start()
	r.fill(3)
	id := r.id(3)
	r.stop()
	must(t, os.RemoveAll(r.paths[3]))
	r.paths = r.paths[:3]
	r.control(func(ctx context.Context, s *store.Store) {
		must(t, s.SetDriveState(ctx, id, placement.DriveOut, "test"))
	})
	r.start()
	r.awaitWhole()
	r.check(3)
	for _, pg := range r.n.store.Map().Pools[1].PGs {
		if slices.ContainsFunc(pg.Slots, func(s placement.Slot) bool { return s.Drive == id }) {
			t.Fatal("the drive that is out has slots")
		}
	}
}

// TestI19_JoiningReplicaLeftBehind: a replica was ordered as one more and never made. It joins; one on a drive that is
// out meanwhile is dropped.
func TestI19_JoiningReplicaLeftBehind(t *testing.T) {
	r := newRig(t, 4, profile(2, 1))
	r.start()
	r.fill(3)
	free := ids.Drive{}
	for id := range r.n.store.Map().Drives {
		if !slices.ContainsFunc(r.n.store.Map().Ranges[0].Replicas, func(p placement.Replica) bool { return p.Drive == id }) {
			free = id
		}
	}
	r.stop()
	r.control(func(ctx context.Context, s *store.Store) {
		next := *s.Map().Ranges[0]
		old := next.Replicas[0]
		next.Replicas = append(slices.Clone(next.Replicas),
			placement.Replica{ID: next.NextReplica, Drive: free, Joining: true, Replaces: old.ID})
		next.NextReplica++
		must(t, s.Apply(ctx, plan.Change{Range: &next, Why: "test"}))
	})
	r.start()
	r.awaitWhole()
	if reps := r.n.store.Map().Ranges[0].Replicas; len(reps) != 3 {
		t.Errorf("replicas: %+v", reps)
	}
	r.check(3)
}

// TestI19_JoinOnADriveThatDied: a replica was ordered on a drive that is away since. The one that it was to replace, on a drive that is out,
// is replaced on another, long before the drive that is away is given up.
func TestI19_JoinOnADriveThatDied(t *testing.T) {
	r := newRig(t, 5, profile(2, 1))
	r.start()
	r.awaitWhole()
	eventually(t, "the level that knows of replicas that leave", func() error {
		if at := floor(r.n.store.Map()); at < levelPools {
			return fmt.Errorf("level %d", at)
		}
		return nil
	})
	row := *r.n.store.Map().Ranges[0]
	gone := row.Replicas[0]
	dead := slices.IndexFunc([]int{0, 1, 2, 3, 4}, func(i int) bool {
		return !slices.ContainsFunc(row.Replicas, func(rep placement.Replica) bool { return rep.Drive == r.id(i) })
	})
	away := r.id(dead)
	r.stop()
	r.control(func(ctx context.Context, s *store.Store) {
		next := *s.Map().Ranges[0]
		next.Replicas = append(slices.Clone(next.Replicas),
			placement.Replica{ID: next.NextReplica, Drive: away, Joining: true, Replaces: gone.ID})
		next.NextReplica++
		must(t, s.Apply(ctx, plan.Change{Range: &next, Why: "test"}))
		must(t, s.SetDriveState(ctx, gone.Drive, placement.DriveOut, "test"))
	})
	r.hide(dead, true)
	r.start()
	eventually(t, "a replica on another drive", func() error {
		m := r.n.store.Map()
		for _, rep := range m.Ranges[0].Replicas {
			if rep.Joining || rep.Leaving || rep.Drive == away || rep.Drive == gone.Drive {
				return fmt.Errorf("%+v", m.Ranges[0].Replicas)
			}
		}
		if len(m.Ranges[0].Replicas) != 3 {
			return fmt.Errorf("%+v", m.Ranges[0].Replicas)
		}
		return nil
	})
	if is := r.row(away).State; is != placement.DriveDown {
		t.Errorf("the drive that is away is %s", is)
	}
}

// TestPlannerIsNotHeldUp: while a replica cannot join, because its range has no leader, the planner goes on; it does not
// try twice at once.
func TestPlannerIsNotHeldUp(t *testing.T) {
	r := newRig(t, 3, nil)
	n := r.start()
	n.records.Close() // nobody leads
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	eventually(t, "one more replica in the map", func() error { // the node may still be writing who leads
		rng := *n.store.Map().Ranges[0]
		rng.Replicas = append(slices.Clone(rng.Replicas), placement.Replica{ID: rng.NextReplica, Drive: r.id(0), Joining: true})
		rng.NextReplica++
		return n.store.Apply(ctx, plan.Change{Range: &rng, Why: "test"})
	})
	for range 3 {
		n.planner.startJoins(n.loopCtx)
	}
	n.planner.mu.Lock()
	defer n.planner.mu.Unlock()
	if len(n.planner.joining) > 1 {
		t.Errorf("%d joins", len(n.planner.joining))
	}
}

// TestI12_SuspectDriveYields: a replica on a drive that is catching up leads no longer.
func TestI12_SuspectDriveYields(t *testing.T) {
	r := newRig(t, 3, nil)
	n := r.start()
	n.heal.Pause()
	r.n.cfg.DrainedAfter = within
	lead := n.records.Status()[0].Leader
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	eventually(t, "another leader", func() error {
		must(t, n.store.SetDriveState(ctx, lead, placement.DriveSuspect, "test")) // again, whatever the healer thinks
		n.planner.wake()
		if now := n.records.Status()[0].Leader; now == lead || now.IsZero() {
			return errText("leader is " + now.String())
		}
		return nil
	})
}

// TestI19_AbsenceIsSeenAnew: how long a node has been missing counts from when the planner was elected, not from when it was before.
func TestI19_AbsenceIsSeenAnew(t *testing.T) {
	r := newRig(t, 3, profile(2, 1))
	r.start()
	p := newPlanner(r.n) // not elected
	p.absent["n9"] = time.Now().Add(-time.Hour)
	must(t, p.step(t.Context()))
	m := *r.n.store.Map()
	m.Nodes = map[string]*placement.Node{"n9": {Name: "n9"}}
	if missed := p.missing(&m); len(missed) > 0 {
		t.Errorf("%v: nobody has waited for it", missed)
	}
}

// A drive is not said to be given up when the map could not be told.
func TestLostDriveThatCannotBeRemoved(t *testing.T) {
	r := newRig(t, 3, profile(2, 1))
	r.start()
	must(t, r.n.store.SetDriveState(t.Context(), r.id(2), placement.DriveOut, "test"))
	away, cancel := context.WithCancel(t.Context())
	cancel()
	req := adminapi.DriveRequest{Drive: r.id(2).String(), Lost: true}
	if got, err := (admin{r.n}).removeDrive(away, req); err == nil {
		t.Errorf("%+v", got)
	}
	if _, err := (admin{r.n}).removeDrive(t.Context(), req); err != nil {
		t.Error(err)
	}
}

// TestI19_DriveThatIsBackIsNotLost: it came back after an operator gave it up for lost, before the map was told.
func TestI19_DriveThatIsBackIsNotLost(t *testing.T) {
	r := newRig(t, 4, profile(2, 1))
	n := r.start()
	id := r.id(3)
	r.hide(3, true)
	r.awaitState(id, placement.DriveDown)
	decided := r.row(id)
	r.hide(3, false)
	eventually(t, "the drive back in service", func() error { return r.serves(3, id) })
	if err := (admin{n}).loseDrive(t.Context(), decided); !errors.Is(err, store.ErrConflict) {
		t.Error(err)
	}
	must(t, n.store.Sync(t.Context()))
	if now := r.row(id); !now.Up() {
		t.Errorf("%+v", now)
	}
}
