package node

import (
	"context"
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/sherd-io/sherd/internal/adminapi"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/placement"
)

// TestI10_CopiedDrive: of two paths that hold one drive the one that was there is served, and the other one reported; also
// where both are there at a start, and the copy's path comes first.
func TestI10_CopiedDrive(t *testing.T) {
	r := newRig(t, 6, nil)
	r.start()
	r.fill(3)
	first, third, original := r.id(0), r.id(2), r.paths[2]
	r.stop()

	must(t, os.Rename(r.paths[0], r.paths[0]+".aside"))
	must(t, os.CopyFS(r.paths[0], os.DirFS(original)))
	r.start()
	r.awaitProblem(0, "is a copy")
	eventually(t, "the original in service", func() error { return r.serves(2, third) })
	r.check(3)
	if d, _, _ := r.n.bays.list()[0].current(); d != nil {
		t.Error("the copy is in service")
	}
	if row := r.row(third); row.Path != original || row.State == placement.DriveOut {
		t.Errorf("the map has %+v", row)
	}

	must(t, os.RemoveAll(r.paths[0]))
	must(t, os.Rename(r.paths[0]+".aside", r.paths[0]))
	eventually(t, "the drive that was copied over", func() error { return r.serves(0, first) })

	// While the node runs.
	must(t, os.Rename(r.paths[0], r.paths[0]+".aside"))
	must(t, os.CopyFS(r.paths[0], os.DirFS(original)))
	r.awaitProblem(0, "is a copy")
	if err := r.serves(2, third); err != nil {
		t.Error(err)
	}
	r.fill(5)
	must(t, os.RemoveAll(r.paths[0]))
	must(t, os.Rename(r.paths[0]+".aside", r.paths[0]))
	eventually(t, "the drive that was copied over", func() error { return r.serves(0, first) })
	if err := r.serves(2, third); err != nil {
		t.Error(err)
	}
	r.check(5)
}

// TestStatusNamesDriveNotGiven: a drive of the cluster that the server was started without is shown as missing.
func TestStatusNamesDriveNotGiven(t *testing.T) {
	r := newRig(t, 3, nil)
	r.start()
	id, path := r.id(1), r.paths[1]
	r.stop()
	r.paths = slices.Delete(slices.Clone(r.paths), 1, 2)
	r.start()
	r.awaitState(id, placement.DriveDown)
	s := r.n.status(context.Background())
	i := slices.IndexFunc(s.Drives, func(d adminapi.Drive) bool { return d.Path == path })
	if i < 0 || s.Drives[i].ID != id.String() || s.Drives[i].State != string(placement.DriveDown) || len(s.Drives) != 3 || s.Healthy {
		t.Fatalf("healthy %v: %+v", s.Healthy, s.Drives)
	}
}

// serves says why drive i is not in service as the one with that id.
func (r *rig) serves(i int, id ids.Drive) error {
	d, _, problem := r.n.bays.list()[i].current()
	if d == nil || d.ID() != id || r.n.bays.drive(id) != d {
		return fmt.Errorf("drive %d, %s: %s", i, id, problem)
	}
	return nil
}
