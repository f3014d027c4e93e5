package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sherd-io/sherd/disk"
	"github.com/sherd-io/sherd/gateway"
	"github.com/sherd-io/sherd/internal/adminapi"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta"
	"github.com/sherd-io/sherd/meta/keys"
	"github.com/sherd-io/sherd/placement"
)

// ask makes a call of the admin API.
func ask[T any](r *rig, method, path string, in any) (out T, err error) {
	r.t.Helper()
	body, err := json.Marshal(in)
	must(r.t, err)
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	answer, err := admin{r.n}.Admin(ctx, gateway.AdminCall{Method: method, Path: path, Body: body})
	if err != nil {
		return out, err
	}
	return answer.(T), nil
}

func (r *rig) onDrive(what, drive string) (adminapi.Drive, error) {
	r.t.Helper()
	return ask[adminapi.Drive](r, "POST", "drives/"+what, adminapi.DriveRequest{Drive: drive})
}

// TestAddDrainRemove: a drive that is added gets data and is found by the next start; one that is drained is empty then, and a
// start with its path leaves it alone.
func TestAddDrainRemove(t *testing.T) {
	r := newRig(t, 4, profile(2, 1))
	r.start()
	r.fill(3)
	fresh := filepath.Join(filepath.Dir(r.paths[0]), "d5")
	d, err := r.onDrive("add", fresh)
	must(t, err)
	if d.State != "up" || d.Path != fresh || d.Weight <= 0 {
		t.Errorf("%+v", d)
	}
	r.awaitSlots(fresh, func(n int) bool { return n > testPGs/2 })
	r.awaitMoved()
	r.stop()
	r.start()
	eventually(t, "the drive that was added", func() error {
		if b := r.n.bays.at(fresh); b == nil || r.n.bays.drive(b.last) == nil {
			return errors.New("not open")
		}
		return nil
	})
	old := r.paths[3]
	if _, err := r.onDrive("remove", old); !errors.Is(err, gateway.ErrConflict) || !strings.Contains(err.Error(), "slots") {
		t.Errorf("removed with data: %v", err)
	}
	_, err = r.onDrive("drain", old)
	must(t, err)
	if d, err := r.onDrive("drain", r.paths[2]); err != nil { // 2+1 on the three others: nobody can be spared any more after that
		t.Errorf("%v, %+v", err, d)
	}
	if _, err := r.onDrive("drain", r.paths[1]); !errors.Is(err, gateway.ErrConflict) || !strings.Contains(err.Error(), "needs 3") {
		t.Errorf("a drain that leaves two drives for 2+1: %v", err)
	}
	_, err = ask[adminapi.Drive](r, "POST", "drives/drain", adminapi.DriveRequest{Drive: r.paths[2], Cancel: true})
	must(t, err)
	removed := r.n.bays.at(old)
	eventually(t, "the removal", func() error { _, err := r.onDrive("remove", old); return err })
	eventually(t, "that nobody looks after the drive that was removed", func() error {
		if r.n.bays.at(old) != nil {
			return errors.New("somebody does")
		}
		return nil
	})
	r.n.tend(t.Context(), removed, &backoff{}) // as its watcher does that waited meanwhile
	r.check(3)
	r.stop()
	said := func() int { return strings.Count(r.log.String(), "it was removed from the cluster") }
	if n := said(); n > 0 {
		t.Errorf("who has just removed it is told %d times that it was", n)
	}
	r.start()
	eventually(t, "a word about it", func() error {
		if said() == 0 {
			return errors.New("none")
		}
		return nil
	})
	time.Sleep(10 * r.n.cfg.CheckEvery) // nothing is to happen
	if n := said(); n > 1 {
		t.Errorf("said %d times: it is opened again and again", n)
	}
	for _, d := range r.n.driveList(context.Background()) {
		if (d.Path == old) != (d.State == "removed") {
			t.Errorf("%+v", d)
		}
	}
	r.check(3)
}

// TestDrainShrinksRanges: as many replicas as drives are left, where the pool has drives enough; and one more again when the order is taken
// back before the drive was removed.
func TestDrainShrinksRanges(t *testing.T) {
	r := newRig(t, 5, profile(2, 2))
	r.start()
	r.fill(3)
	replicas := func() int { return len(r.n.store.Map().Ranges[0].Replicas) }
	awaitReplicas := func(want int) {
		t.Helper()
		eventually(t, "replicas", func() error {
			s := r.n.records.Status()[0]
			if n := replicas(); n != want || len(s.Replicas) != want || !s.Quorum {
				return fmt.Errorf("%d, want %d: %+v", n, want, s)
			}
			return nil
		})
	}
	awaitReplicas(5)
	d, err := r.onDrive("drain", r.paths[4])
	must(t, err)
	awaitReplicas(4)
	_, err = ask[adminapi.Drive](r, "POST", "drives/drain", adminapi.DriveRequest{Drive: r.paths[4], Cancel: true})
	must(t, err)
	awaitReplicas(5)
	_, err = r.onDrive("drain", r.paths[4])
	must(t, err)
	eventually(t, "the removal", func() error { _, err := r.onDrive("remove", r.paths[4]); return err })
	if held := r.n.records.Status()[0]; slices.ContainsFunc(held.Replicas, func(rep meta.ReplicaStatus) bool { return rep.Drive.String() == d.ID }) {
		t.Errorf("%+v", held)
	}
	if _, err := r.onDrive("drain", r.paths[3]); !errors.Is(err, gateway.ErrConflict) || !strings.Contains(err.Error(), "needs 4") {
		t.Errorf("a drain that leaves three drives for 2+2: %v", err)
	}
	r.check(3)
	must(t, r.put("after"))
	r.stop()
	r.start()
	awaitReplicas(4)
	r.check(3)
}

func (r *rig) awaitSlots(path string, enough func(int) bool) {
	r.t.Helper()
	eventually(r.t, "slots on "+path, func() error {
		for _, d := range r.n.driveList(context.Background()) {
			if d.Path == path && enough(d.Slots) {
				return nil
			}
		}
		return errors.New("not yet")
	})
}

// awaitMoved waits until nothing is to move.
func (r *rig) awaitMoved() {
	r.t.Helper()
	eventually(r.t, "the end of the moves", func() error {
		p, err := ask[*adminapi.Plan](r, "POST", "plan", adminapi.WhatIf{})
		if err == nil && (p.Slots > 0 || p.InMotion > 0) {
			err = errors.New("they go on")
		}
		return err
	})
}

func TestAddDriveRefuses(t *testing.T) {
	r := newRig(t, 3, nil)
	r.start()
	root := filepath.Dir(r.paths[0])
	other := filepath.Join(root, "other")
	_, err := disk.Format(disk.Options{FS: vfs.Default, Path: other, Comparer: keys.Comparer}, ids.NewCluster())
	must(t, err)
	foreign := filepath.Join(root, "foreign")
	must(t, os.Mkdir(foreign, 0o755))
	must(t, os.WriteFile(filepath.Join(foreign, "thesis.tex"), nil, 0o600))
	for path, want := range map[string]string{
		r.paths[0]:                     "in service already",
		filepath.Join(r.paths[0], "x"): "inside of the other",
		root:                           "inside of the other",
		other:                          "another cluster",
		foreign:                        "something else",
		"relative":                     "absolute",
	} {
		if _, err := r.onDrive("add", path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
	if n := len(r.n.bays.list()); n != 3 {
		t.Errorf("%d paths are looked after", n)
	}
	for _, call := range []string{"drain", "remove", "weight"} {
		if _, err := r.onDrive(call, "/nowhere"); !errors.Is(err, gateway.ErrBadCall) {
			t.Errorf("%s: %v", call, err)
		}
	}
	if _, err := r.onDrive("weight", r.paths[0]); !errors.Is(err, gateway.ErrBadCall) {
		t.Errorf("no weight: %v", err)
	}
}

func TestFindDrive(t *testing.T) {
	a, b, c := ids.Drive{0xaa, 0xbb, 1}, ids.Drive{0xaa, 0xbb, 2}, ids.Drive{0xcc}
	row := func(id ids.Drive, node, path string, state placement.DriveState) *placement.Drive {
		return &placement.Drive{ID: id, Node: node, Path: path, State: state}
	}
	m := &placement.Map{Drives: map[ids.Drive]*placement.Drive{
		a: row(a, "n1", "/d1", placement.DriveUp), b: row(b, "n2", "/d1", placement.DriveUp), c: row(c, "n1", "/d1", placement.DriveOut),
	}}
	n := &Node{cfg: Config{Name: "n1"}}
	for text, want := range map[string]ids.Drive{"/d1": a, "n2:/d1": b, "aabb01": a, "cc00": c} {
		if d, err := n.findDrive(m, text); err != nil || d.ID != want {
			t.Errorf("%s: %v, %v", text, d, err)
		}
	}
	for _, text := range []string{"aabb", "aab", "/d2", "n3:/d1", ""} {
		if d, err := n.findDrive(m, text); err == nil {
			t.Errorf("%s: %v", text, d.ID)
		}
	}
}

func TestPlanAndNodeCalls(t *testing.T) {
	r := newRig(t, 4, profile(2, 1))
	r.start()
	nodes, err := ask[[]adminapi.Node](r, "GET", "nodes", nil)
	must(t, err)
	if len(nodes) != 1 || !nodes[0].Alive || nodes[0].Drives != 4 || nodes[0].Slots != 3*testPGs || nodes[0].Replicas != 3 {
		t.Errorf("%+v", nodes)
	}
	p, err := ask[*adminapi.Plan](r, "POST", "plan", adminapi.WhatIf{
		Add: []adminapi.AddDrives{{Count: 1}}, Drain: []string{r.paths[0]}, Weights: map[string]float64{r.paths[1]: 100},
	})
	must(t, err)
	i := slices.IndexFunc(p.Drives, func(d adminapi.PlanDrive) bool { return d.Path == r.paths[0] })
	if p.Slots < 3*testPGs/4 || p.Stuck != 0 || p.Refused != "" || len(p.Drives) != 5 || !p.Drives[i].Draining || p.Drives[i].Slots != 0 {
		t.Errorf("%+v", p)
	}
	if r.n.store.Map().Drives[r.id(0)].Draining {
		t.Error("looking changed the map")
	}
	if p, err = ask[*adminapi.Plan](r, "POST", "plan", adminapi.WhatIf{Drain: r.paths[:2]}); err != nil || p.Refused == "" || p.Stuck == 0 {
		t.Errorf("%v, %+v", err, p)
	}
	for path, in := range map[string]any{
		"nodes/drain": adminapi.NodeRequest{Node: "node1"}, "nodes/remove": adminapi.NodeRequest{Node: "node1"},
	} {
		if _, err := ask[adminapi.Node](r, "POST", path, in); !errors.Is(err, gateway.ErrConflict) {
			t.Errorf("%s of the only node: %v", path, err)
		}
	}
	for path, in := range map[string]any{
		"nodes/drain": adminapi.NodeRequest{Node: "x"}, "plan": adminapi.WhatIf{Drain: []string{"/nowhere"}}, "drives/add": 7,
	} {
		if _, err := ask[adminapi.Node](r, "POST", path, in); !errors.Is(err, gateway.ErrBadCall) {
			t.Errorf("%s: %v", path, err)
		}
	}
}
