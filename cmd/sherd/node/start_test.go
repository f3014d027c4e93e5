package node

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sherd-io/sherd/cmd/sherd/node/cluster"
	"github.com/sherd-io/sherd/disk"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta/keys"
	"github.com/sherd-io/sherd/placement"
	"github.com/sherd-io/sherd/placement/member"
	"github.com/sherd-io/sherd/placement/plan"
	"github.com/sherd-io/sherd/placement/store"
)

// TestI10_FirstStartAndRestart: a first start formats all drives; what is stored, and the root user, outlive a restart,
// which formats nothing.
func TestI10_FirstStartAndRestart(t *testing.T) {
	r := newRig(t, 3, nil)
	r.start()
	root, fresh := r.n.Root()
	if !fresh || root.AccessKey == "" {
		t.Fatalf("root is %+v, fresh %v", root, fresh)
	}
	r.fill(5)
	drives := []ids.Drive{r.id(0), r.id(1), r.id(2)}
	r.stop()

	r.start()
	if again, fresh := r.n.Root(); fresh || again != root {
		t.Fatalf("root was %+v, is %+v, fresh %v", root, again, fresh)
	}
	r.check(5)
	for i, id := range drives {
		if r.id(i) != id {
			t.Fatalf("drive %d was formatted again", i)
		}
	}
}

// TestCloseLeavesNothing: no goroutine, no child.
func TestCloseLeavesNothing(t *testing.T) {
	r := newRigAlone(t, 3, nil)
	r.start()
	r.fill(1)
	child := r.n.members.Pid()
	r.hide(1, true)
	r.awaitState(r.n.bays.list()[1].last, placement.DriveDown)
	r.stop()
	noGoroutines(t)
	if err := syscall.Kill(child, 0); err == nil {
		t.Fatalf("etcd, process %d, goes on", child)
	}
}

// TestStartThatFailsLeavesNothing: what was started before the failure is stopped.
func TestStartThatFailsLeavesNothing(t *testing.T) {
	r := newRigAlone(t, 3, func(c *Config) { c.EtcdCommand = []string{"/bin/false"} })
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	if n, err := Start(ctx, r.config()); err == nil {
		r.n = n
		t.Fatal("it started")
	}
	noGoroutines(t)
}

func TestConfigIsRefusedFirst(t *testing.T) {
	for want, edit := range map[string]func(*Config){
		"--trusted-proxies": func(c *Config) { c.TrustedProxies = []string{"10.0.0.0/8", "not an address"} },
		"too small":         func(c *Config) { c.MemoryLimit = 1 << 20 },
		"SHERD_ROOT":        func(c *Config) { c.Root.AccessKey = "alone" },
		"no drives":         func(c *Config) { c.Drives = nil },
		"needs 6 drives":    func(c *Config) { c.Profile = plan.Profile{K: 4, M: 2} },
	} {
		r := newRigAlone(t, 1, edit)
		if err := r.try(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
		if _, err := os.Stat(r.paths[0]); !os.IsNotExist(err) {
			t.Errorf("%s: the drive: %v", want, err)
		}
	}
}

// TestI10_MissingMountIsNotFormatted: where all drives look blank because they are not mounted, no new cluster is made.
func TestI10_MissingMountIsNotFormatted(t *testing.T) {
	r := newRig(t, 2, nil)
	fstab := filepath.Join(t.TempDir(), "fstab")
	table := "# comment\nUUID=1 / ext4 defaults 0 1\nLABEL=d2 " + strings.ReplaceAll(r.paths[1], " ", `\040`) + "/ xfs noatime,nofail 0 2\n"
	must(t, os.WriteFile(fstab, []byte(table), 0o600))
	r.edit = func(c *Config) { c.Fstab = fstab }
	must(t, os.Mkdir(r.paths[0], 0o755))
	must(t, os.Mkdir(r.paths[1], 0o755))
	if err := r.try(); err == nil || !strings.Contains(err.Error(), "not mounted") {
		t.Fatalf("start: %v", err)
	}
	for _, p := range r.paths {
		if names, err := os.ReadDir(p); err != nil || len(names) > 0 {
			t.Errorf("%s: %v, %v", p, names, err)
		}
	}
}

// TestNodeAloneKeepsItsName: under another name the node's drives would be those of a dead one. The map is left as it is.
func TestNodeAloneKeepsItsName(t *testing.T) {
	r := newRig(t, 1, nil)
	r.start()
	r.fill(2)
	r.stop()
	r.edit = func(c *Config) { c.Name = "other" }
	if err := r.try(); err == nil || !strings.Contains(err.Error(), "--node node1") {
		t.Fatalf("start under another name: %v", err)
	}
	r.edit = nil
	r.start()
	r.check(2)
	if nodes := r.n.store.Map().Nodes; len(nodes) != 1 {
		t.Errorf("the map has nodes %v", nodes)
	}
}

// TestDriveOfAnotherNode: one that is in the wrong machine is left alone, with its member of etcd; what else the node has serves.
func TestDriveOfAnotherNode(t *testing.T) {
	r := newRig(t, 3, nil)
	r.start()
	r.fill(2)
	stray := r.id(2)
	papers, _, err := cluster.First(r.n.cluster, "n2", time.Now())
	r.stop()
	must(t, err)
	must(t, papers.Write(r.paths[2]))
	r.start()
	r.awaitProblem(2, errOfAnother.Error())
	for _, h := range r.n.hosts() {
		if h.Drive == stray {
			t.Error("it may have a member of etcd")
		}
	}
	r.check(2)
}

// TestI10_FirstStartCutShort: the next start formats what is blank still.
func TestI10_FirstStartCutShort(t *testing.T) {
	r := newRig(t, 3, nil)
	cluster := ids.NewCluster()
	id, err := disk.Format(disk.Options{FS: vfs.Default, Path: r.paths[1], Comparer: keys.Comparer}, cluster)
	must(t, err)
	r.start()
	if r.n.cluster != cluster || r.id(1) != id.Drive || len(r.n.store.Map().Drives) != 3 {
		t.Fatalf("cluster %s with %d drives", r.n.cluster, len(r.n.store.Map().Drives))
	}
	r.fill(1)
}

// TestI10_AdoptedDriveIsNoFirstStart: a drive that was adopted holds nothing at first. When all others are missing their
// mounts just then, that must not look like a first start that was cut short.
func TestI10_AdoptedDriveIsNoFirstStart(t *testing.T) {
	r := newRig(t, 3, nil)
	_, err := disk.Format(disk.Options{FS: vfs.Default, Path: r.paths[1], Comparer: keys.Comparer}, ids.NewCluster())
	must(t, err)
	must(t, mark(vfs.Default, r.paths[1]))
	if err := r.try(); err == nil {
		t.Fatal("a new cluster was made")
	}
	for _, i := range []int{0, 2} {
		if _, state, err := disk.Probe(vfs.Default, r.paths[i]); err != nil || state != disk.Blank {
			t.Fatalf("drive %d is %v, %v", i, state, err)
		}
	}
}

// TestI10_DrivesInOtherOrder: a drive is who sherd.json says, wherever it is mounted.
func TestI10_DrivesInOtherOrder(t *testing.T) {
	r := newRig(t, 3, nil)
	r.start()
	r.fill(3)
	before := []ids.Drive{r.id(0), r.id(1), r.id(2)}
	r.stop()

	swap := r.paths[0] + ".swap"
	must(t, os.Rename(r.paths[0], swap))
	must(t, os.Rename(r.paths[2], r.paths[0]))
	must(t, os.Rename(swap, r.paths[2]))
	r.start()
	r.check(3)
	for i, id := range []ids.Drive{before[2], before[1], before[0]} {
		if row := r.row(id); row.Path != r.paths[i] || row.State == placement.DriveOut {
			t.Errorf("drive %s is at %s, the map has %+v", id, r.paths[i], row)
		}
	}
	if n := len(r.n.store.Map().Drives); n != 3 {
		t.Errorf("%d drives", n)
	}
}

// TestI10_MovedDriveHasNoHeir: a blank directory at the path where a drive was before does not take that drive's place,
// if it is only somewhere else now.
func TestI10_MovedDriveHasNoHeir(t *testing.T) {
	r := newRig(t, 3, nil)
	r.start()
	r.fill(3)
	id := r.id(0)
	r.stop()
	moved := filepath.Join(filepath.Dir(r.paths[0]), "d4")
	must(t, os.Rename(r.paths[0], moved))
	must(t, os.Mkdir(r.paths[0], 0o755))
	r.paths = append(r.paths, moved)
	r.start()
	eventually(t, "the blank one in service", func() error { _, err := os.Stat(filepath.Join(r.paths[0], adoptedFile)); return err })
	r.awaitState(r.id(0), placement.DriveUp)
	if row := r.row(id); row.State == placement.DriveOut || row.Path != moved {
		t.Fatalf("the drive that moved is %+v", row)
	}
	r.check(3)
}

// TestI10_OwnerOfAPath: a drive that was seen at another path does not own the one that the map still has for it, though it
// is not open yet.
func TestI10_OwnerOfAPath(t *testing.T) {
	r := newRig(t, 3, nil)
	n := r.start()
	id, other := r.id(0), r.id(1)
	must(t, n.store.EditDrive(context.Background(), id, func(d *placement.Drive) error { d.Path = r.paths[1]; return nil }))
	for range 20 { // in whatever order the map gives them
		if owner := n.ownerOf(r.paths[1]); owner == nil || owner.ID != other {
			t.Fatalf("%s owns it, want %s", owner.ID, other)
		}
	}
}

// TestDriveOfAnotherCluster: one among the drives is refused alone, at the start and later; no drive is changed.
func TestDriveOfAnotherCluster(t *testing.T) {
	r := newRig(t, 3, nil)
	r.start()
	r.fill(3)
	r.stop()
	other := r.paths[2] + ".other"
	foreign, err := disk.Format(disk.Options{FS: vfs.Default, Path: other, Comparer: keys.Comparer}, ids.NewCluster())
	must(t, err)
	own := r.id(2)
	r.hide(2, true)
	must(t, os.Rename(other, r.paths[2]))
	r.start()
	r.awaitProblem(2, "another cluster")
	r.check(3)
	must(t, os.Rename(r.paths[2], other))
	r.hide(2, false)
	r.awaitState(own, placement.DriveUp)
	r.hide(2, true)
	r.awaitState(own, placement.DriveDown)
	must(t, os.RemoveAll(r.paths[2])) // an etcd that was just starting there may have made it again
	must(t, os.Rename(other, r.paths[2]))
	r.awaitProblem(2, "another cluster")
	if r.id(2) != foreign.Drive {
		t.Error("the other cluster's drive was changed")
	}
}

func TestClusterOf(t *testing.T) {
	a, b := ids.NewCluster(), ids.NewCluster()
	drive := func(c ids.Cluster) look { return look{id: disk.Identity{Cluster: c}, state: disk.Formatted} }
	for _, c := range []struct {
		looks []look
		want  ids.Cluster
		bad   bool
	}{
		{nil, ids.Cluster{}, false},
		{[]look{{absent: true}, {}}, ids.Cluster{}, false},
		{[]look{drive(a)}, a, false},
		{[]look{drive(a), drive(b)}, ids.Cluster{}, true},
		{[]look{drive(b), drive(a), drive(a)}, a, false},
		{[]look{drive(b), {state: disk.Foreign}, {err: os.ErrPermission, state: disk.Formatted}}, b, false},
	} {
		got, err := clusterOf(c.looks)
		if (err != nil) != c.bad || err == nil && got != c.want {
			t.Errorf("%+v: %s, %v", c.looks, got, err)
		}
	}
}

// TestI4_StartWithAllButK: with 2+2 and two drives gone, metadata and etcd go on with what is left, and all can be read.
func TestI4_StartWithAllButK(t *testing.T) {
	r := newRig(t, 4, nil)
	r.start()
	r.fill(3)
	r.stop()
	r.hide(1, true)
	r.hide(3, true)
	r.start()
	r.check(3)
	eventually(t, "readiness", func() error {
		if why := r.n.unready(); len(why) > 0 {
			return errText(strings.Join(why, "; "))
		}
		return nil
	})
	r.hide(1, false)
	r.hide(3, false)
	r.awaitWhole()
	must(t, r.put("after"))
}

type errText string

func (e errText) Error() string { return string(e) }

// TestI10_DriveGivenUpStaysOut: a drive that is out and comes back does not keep the server from starting.
func TestI10_DriveGivenUpStaysOut(t *testing.T) {
	r := newRig(t, 4, profile(2, 1))
	r.start()
	r.fill(3)
	id := r.id(3)
	r.stop()
	r.control(func(ctx context.Context, s *store.Store) {
		must(t, s.SetDriveState(ctx, id, placement.DriveOut, "test"))
	})
	r.start()
	r.awaitProblem(3, errGivenUp.Error())
	if r.n.bays.drive(id) != nil {
		t.Error("it serves")
	}
	r.awaitWhole()
	r.check(3)
	if slices.ContainsFunc(r.n.members.Members(), func(m member.Status) bool { return m.Drive == id }) {
		t.Log("its etcd member is still there") // moved later
	}
}
