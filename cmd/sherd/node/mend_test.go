package node

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sherd-io/sherd/disk"
	"github.com/sherd-io/sherd/erasure/heal"
	"github.com/sherd-io/sherd/meta/keys"
	"github.com/sherd-io/sherd/placement"
)

// TestI2_LossThatAnEarlierProcessFound: it ended before it knew all that the drive lacks, and the drive's index says nothing of that any
// more. The drive does not count as whole before the rows were compared with it, and what it lacks was made again.
func TestI2_LossThatAnEarlierProcessFound(t *testing.T) {
	r := newRig(t, 3, nil)
	r.start()
	r.fill(10)
	id := r.id(1)
	r.stop()
	must(t, os.RemoveAll(filepath.Join(r.paths[1], "chunks")))
	d, err := disk.Open(disk.Options{
		FS: smallDisk{vfs.Default}, Path: r.paths[1], Comparer: keys.Comparer, Logger: slog.New(slog.DiscardHandler),
	})
	must(t, err)
	if lost := d.Lost(); lost.Chunks == 0 {
		t.Fatalf("%+v", lost)
	}
	must(t, d.Close())
	r.start()
	eventually(t, "the comparison", func() error {
		d, _, problem := r.n.bays.list()[1].current()
		if d == nil {
			return errText(problem)
		}
		if d.ChunksLost() {
			return errors.New("it is not known yet what the drive lacks")
		}
		return nil
	})
	r.awaitState(id, placement.DriveUp)
	must(t, r.n.heal.Scrub(context.Background(), heal.ScrubLight))
	if s := r.n.heal.ScrubStatus(); s.Missing > 0 {
		t.Errorf("%+v", s)
	}
}
