package store

import (
	"errors"
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/placement"
	"github.com/sherd-io/sherd/placement/plan"
)

func TestPresence(t *testing.T) {
	te := newEtcd(t)
	s, _ := bootstrapped(t, te)
	other := open(t, te)
	ctx := testContext(t)
	p, err := s.Announce(ctx, "n1", "host1:9001")
	if err != nil {
		t.Fatal(err)
	}
	awaitAlive(t, other, "n1", true)
	if _, err := other.Announce(ctx, "n1", "host2:9001"); !errors.Is(err, ErrExists) || !strings.Contains(err.Error(), "host1:9001") {
		t.Errorf("the name of a node that lives: %v", err)
	}
	if _, err := s.Announce(ctx, "Node_1", "host1:9001"); !errors.Is(err, ErrInvalid) {
		t.Errorf("a bad name: %v", err)
	}
	again, err := other.Announce(ctx, "n1", "host1:9001") // as after a restart: the row of the process before is there still
	if err != nil {
		t.Fatal(err)
	}
	p.Withdraw() // its lease goes, and must not take the row with it
	awaitAlive(t, s, "n1", true)
	again.Withdraw()
	again.Withdraw()
	awaitAlive(t, s, "n1", false)
	c, err := s.Copy(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range c.Rows {
		if strings.HasPrefix(r.Key, aliveDir) {
			t.Errorf("a copy of the control state says who lived: %s", r.Key)
		}
	}
}

// TestPresenceComesBack: a node whose lease is gone though its process lives says so again.
func TestPresenceComesBack(t *testing.T) {
	te := newEtcd(t)
	s, _ := bootstrapped(t, te)
	p, err := s.Announce(testContext(t), "n1", "host1:9001")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Withdraw()
	awaitAlive(t, s, "n1", true)
	client := raw(t, te)
	leases, err := client.Leases(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	revision := s.Map().Revision
	for _, l := range leases.Leases {
		if _, err := client.Revoke(testContext(t), l.ID); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Wait(testContext(t), func(m *placement.Map) bool { return m.Revision > revision+1 && m.Alive["n1"] }); err != nil {
		t.Fatal(err)
	}
}

func awaitAlive(t *testing.T, s *Store, name string, want bool) {
	t.Helper()
	if _, err := s.Wait(testContext(t), func(m *placement.Map) bool { return m.Alive[name] == want }); err != nil {
		t.Fatalf("node %s alive: want %v: %v", name, want, err)
	}
}

func TestNodesKeepWhatOperatorsSaid(t *testing.T) {
	s, _ := bootstrapped(t, newEtcd(t))
	ctx := testContext(t)
	if err := s.EditNode(ctx, "n1", func(n *placement.Node) error { n.Draining = true; return nil }); err != nil {
		t.Fatal(err)
	}
	if err := s.PutNode(ctx, placement.Node{Name: "n1", Zone: "z2", Addr: "h:1"}); err != nil {
		t.Fatal(err)
	}
	if n := s.Map().Nodes["n1"]; !n.Draining || n.Zone != "z2" || n.Addr != "h:1" {
		t.Errorf("%+v", n)
	}
	if err := s.EditNode(ctx, "n9", func(*placement.Node) error { return nil }); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	if err := s.PutNode(ctx, placement.Node{Name: "a/b"}); !errors.Is(err, ErrInvalid) {
		t.Error(err)
	}
}

// TestI19_RemoveDrive: only what holds nothing and will be given nothing.
func TestI19_RemoveDrive(t *testing.T) {
	s, in := bootstrapped(t, newEtcd(t))
	ctx := testContext(t)
	busy, spare := in.Drives[0].ID, ids.NewDrive()
	if err := s.AddDrive(ctx, &placement.Drive{ID: spare, Node: "n1", Path: "/new", State: placement.DriveUp, Weight: 1}); err != nil {
		t.Fatal(err)
	}
	for id, why := range map[ids.Drive]string{busy: "256 slots", spare: "neither drained nor given up"} {
		if err := s.RemoveDrive(ctx, id, nil); !errors.Is(err, plan.ErrInUse) || !strings.Contains(err.Error(), why) {
			t.Errorf("%v, want %q", err, why)
		}
	}
	if err := s.RemoveDrive(ctx, ids.NewDrive(), nil); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	if err := s.EditDrive(ctx, spare, func(d *placement.Drive) error { d.Draining = true; return nil }); err != nil {
		t.Fatal(err)
	}
	if err := s.RemoveDrive(ctx, spare, []ids.Drive{spare}); !errors.Is(err, plan.ErrInUse) || !strings.Contains(err.Error(), "an etcd member") {
		t.Error(err)
	}
	for range 2 {
		if err := s.RemoveDrive(ctx, spare, nil); err != nil {
			t.Fatal(err)
		}
	}
	if d := s.Map().Drives[spare]; d.State != placement.DriveOut || !d.Removed || d.Draining || d.Reason != "removed" {
		t.Errorf("%+v", d)
	}
}

// TestI19_DecideSeesEveryRow: a decision on the whole map fails if any row came between, and is made again.
func TestI19_DecideSeesEveryRow(t *testing.T) {
	te := newEtcd(t)
	s, in := bootstrapped(t, te)
	other := open(t, te)
	ctx := testContext(t)
	spare := ids.NewDrive()
	if err := s.AddDrive(ctx, &placement.Drive{ID: spare, Node: "n1", State: placement.DriveOut}); err != nil {
		t.Fatal(err)
	}
	tries := 0
	err := s.decide(ctx, func(m *placement.Map) ([]clientv3.Op, error) {
		if tries++; tries == 1 { // a slot moves to the drive just before it is written off
			pg := *m.Pools[1].PGs[0]
			pg.Epoch++
			pg.Slots = append([]placement.Slot(nil), pg.Slots...)
			pg.Slots[0] = placement.Slot{Drive: spare, Since: pg.Epoch, From: in.Pool.PGs[0].Slots[0].Drive}
			if err := other.Apply(ctx, plan.Change{Pool: 1, ID: 0, PG: &pg}); err != nil {
				t.Error(err)
			}
			return s.removal(m.Drives[spare]), nil
		}
		return nil, plan.MayRemoveDrive(m, spare, nil)
	})
	if !errors.Is(err, plan.ErrInUse) || tries != 2 {
		t.Errorf("after %d tries: %v", tries, err)
	}
}

func TestRemoveNode(t *testing.T) {
	s, _ := bootstrapped(t, newEtcd(t))
	ctx := testContext(t)
	if err := s.RemoveNode(ctx, "n1", nil); !errors.Is(err, plan.ErrInUse) {
		t.Errorf("with all the data: %v", err)
	}
	if err := s.PutNode(ctx, placement.Node{Name: "n2"}); err != nil {
		t.Fatal(err)
	}
	id := ids.NewDrive()
	if err := s.AddDrive(ctx, &placement.Drive{ID: id, Node: "n2", State: placement.DriveUp, Draining: true}); err != nil {
		t.Fatal(err)
	}
	p, err := s.Announce(ctx, "n2", "x")
	if err != nil {
		t.Fatal(err)
	}
	awaitAlive(t, s, "n2", true)
	if err := s.RemoveNode(ctx, "n2", nil); !errors.Is(err, plan.ErrInUse) || !strings.Contains(err.Error(), "stop it first") {
		t.Errorf("one that runs: %v", err)
	}
	p.Withdraw()
	awaitAlive(t, s, "n2", false)
	if err := s.RemoveNode(ctx, "n2", nil); err != nil {
		t.Fatal(err)
	}
	if m := s.Map(); m.Nodes["n2"] != nil || !m.Drives[id].Removed {
		t.Errorf("%+v, %+v", m.Nodes["n2"], m.Drives[id])
	}
	if err := s.RemoveNode(ctx, "n2", nil); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
}
