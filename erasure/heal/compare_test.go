package heal

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/sherd-io/sherd/disk"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/placement"
)

// TestI2_CompareOfADriveThatIsDown: it is reachable, but nothing is asked of it before the map has it back. What it lacks is not known
// then, and must not pass for nothing.
func TestI2_CompareOfADriveThatIsDown(t *testing.T) {
	c := newCluster(t, 4, 2, 0, 4, nil)
	c.putSome(8)
	ref := c.bodies["a4"].item.Extent.Blob(0)
	id, _ := owner(c.m.Load(), ref, 1)
	c.lose(ref, 1)
	c.lose(ref, 2) // of another, which lost nothing that it knows of
	state := func(s placement.DriveState) {
		c.change(func(m *placement.Map) { m.Drives[id].State = s })
	}
	state(placement.DriveDown)
	if err := c.healer.Compare(c.ctx, id); !errors.Is(err, disk.ErrUnavailable) || len(c.rows.repairs) > 0 {
		t.Fatalf("%v, %d repair rows", err, len(c.rows.repairs))
	}
	state(placement.DriveSuspect)
	if err := c.healer.Compare(c.ctx, id); err != nil || len(c.rows.repairs) != 1 {
		t.Fatalf("%v, %d repair rows, want 1", err, len(c.rows.repairs))
	}
	for _, row := range c.rows.repairs {
		if row.Ref != ref || row.Slot != 1 {
			t.Errorf("a row of %v slot %d", row.Ref, row.Slot)
		}
	}
}

// hiccup is a drive that does not answer when left comes to zero.
type hiccup struct {
	Drive
	left *atomic.Int64
}

func (d hiccup) Chunks(ctx context.Context, pool ids.Pool, pg ids.PG, after ids.Chunk, max int) ([]disk.ChunkInfo, error) {
	if d.left.Add(-1) == 0 {
		return nil, disk.ErrUnavailable
	}
	return d.Drive.Chunks(ctx, pool, pg, after, max)
}

// TestI2_CompareFailsWhereTheDriveDoesNotAnswer: once is enough, whichever chunk it was.
func TestI2_CompareFailsWhereTheDriveDoesNotAnswer(t *testing.T) {
	var left atomic.Int64
	c := newCluster(t, 4, 2, 0, 4, func(o *Options) {
		drive := o.Drive
		o.Drive = func(id ids.Drive) Drive { return hiccup{drive(id), &left} }
	})
	c.putSome(8)
	ref := c.bodies["a4"].item.Extent.Blob(0)
	id, _ := owner(c.m.Load(), ref, 1)
	c.lose(ref, 1)
	fails := int64(0)
	for left.Store(1); ; left.Store(fails + 1) {
		err := c.healer.Compare(c.ctx, id)
		if err == nil {
			break
		}
		if fails++; !errors.Is(err, disk.ErrUnavailable) {
			t.Fatal(err)
		}
	}
	if asked := fails + 1 - left.Load(); fails < 4 || asked != fails {
		t.Errorf("it failed %d times, and was asked %d times when it did not", fails, asked)
	}
	if len(c.rows.repairs) != 1 {
		t.Errorf("%d repair rows, want 1", len(c.rows.repairs))
	}
}
