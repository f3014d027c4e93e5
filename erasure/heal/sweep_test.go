package heal

import (
	"errors"
	"slices"
	"testing"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/placement"
)

// moving gives slot 0 of group 0 to drive by, which has nothing of it yet.
func (c *cluster) moving(by int) (from int) {
	c.change(func(m *placement.Map) {
		m.Drives[c.ids[by]] = &placement.Drive{ID: c.ids[by], State: placement.DriveUp}
		pg := m.Pools[testPool].PGs[0]
		pg.Epoch++
		from = slices.Index(c.ids, pg.Slots[0].Drive)
		pg.Slots[0] = placement.Slot{Drive: c.ids[by], Since: pg.Epoch, From: pg.Slots[0].Drive}
	})
	return from
}

// ofGroup are the keys of group 0 on drive i.
func (c *cluster) ofGroup(i int) (keys []ids.Chunk) {
	for _, ch := range c.all(i) {
		if ch.Key.PG == 0 {
			keys = append(keys, ch.Key)
		}
	}
	return keys
}

// TestI5_AMoveLeavesNothing: while a slot moves its old owner keeps all; when it has moved the old owner drops what the new one has.
func TestI5_AMoveLeavesNothing(t *testing.T) {
	for _, far := range []bool{false, true} {
		c := newCluster(t, 2, 2, 1, 2, nil)
		if far {
			c.sendAway()
		}
		c.putSome(12)
		from := c.moving(4)
		had := len(c.ofGroup(from))
		if err := c.healer.Sweep(c.ctx); err != nil || len(c.ofGroup(from)) != had || had == 0 {
			t.Fatalf("%v: %d of %d chunks left while the slot moves", err, len(c.ofGroup(from)), had)
		}
		if err := c.healer.Rebuild(c.ctx); err != nil {
			t.Fatal(err)
		}
		spared := c.ofGroup(4)[0]
		if err := c.disks[4].Quarantine(c.ctx, spared, "test"); err != nil {
			t.Fatal(err)
		}
		if err := c.healer.Sweep(c.ctx); err != nil || !slices.Equal(c.ofGroup(from), []ids.Chunk{spared}) {
			t.Fatalf("%v: %d chunks left, want the one that the new owner lacks", err, len(c.ofGroup(from)))
		}
		c.checkAll()
		if err := c.healer.Scrub(c.ctx, ScrubLight); err != nil {
			t.Fatal(err)
		}
		if s := c.healer.ScrubStatus(); s.Missing != 1 || s.Quarantined != 0 {
			t.Errorf("%+v", s)
		}
		if err := c.healer.Repair(c.ctx); err != nil {
			t.Fatal(err)
		}
		if err := c.healer.Scrub(c.ctx, ScrubLight); err != nil || len(c.ofGroup(from)) != 0 || c.healer.ScrubStatus().Strays != 1 {
			t.Errorf("%v, %d chunks left", err, len(c.ofGroup(from)))
		}
		c.checkFull()
	}
}

// TestI5_TheSlotComesBack: what is dropped may be written again when the slot comes back, and a sweep by an old map takes nothing from a
// drive that is the owner again.
func TestI5_TheSlotComesBack(t *testing.T) {
	c := newCluster(t, 2, 2, 1, 2, nil)
	c.putSome(12)
	from := c.moving(4)
	had := len(c.ofGroup(from))
	if err := c.healer.Rebuild(c.ctx); err != nil {
		t.Fatal(err)
	}
	away := c.m.Load()
	if err := c.healer.Sweep(c.ctx); err != nil || len(c.ofGroup(from)) != 0 {
		t.Fatal(err)
	}
	c.moving(from)
	if err := c.healer.Rebuild(c.ctx); err != nil || len(c.ofGroup(from)) != had {
		t.Fatalf("%v: %d of %d chunks are back", err, len(c.ofGroup(from)), had)
	}
	now := c.m.Load()
	c.m.Store(away)
	c.healer.sweeps.init() // as another process
	if err := c.healer.Sweep(c.ctx); err == nil || len(c.ofGroup(from)) != had {
		t.Fatalf("%v: %d of %d chunks left", err, len(c.ofGroup(from)), had)
	}
	c.m.Store(now)
	c.checkFull()
}

// TestI15_MovesAreNoOrphans: what an old owner has left of objects that were deleted since is put aside and alarms nobody, however much.
func TestI15_MovesAreNoOrphans(t *testing.T) {
	c := newCluster(t, 1, 1, 1, 1, func(o *Options) { o.OrphanMax = 2 })
	c.putSome(12)
	from := c.moving(2)
	if err := c.healer.Rebuild(c.ctx); err != nil {
		t.Fatal(err)
	}
	for name := range c.bodies {
		c.delete(name)
	}
	if err := c.healer.Reclaim(c.ctx); err != nil {
		t.Fatal(err)
	}
	left := len(c.all(from))
	c.later()
	if err := c.healer.Scrub(c.ctx, ScrubLight); err != nil || left <= 2 || len(c.all(from)) != 0 {
		t.Fatalf("%v: %d of %d chunks left", err, len(c.all(from)), left)
	}
	if aside, err := c.disks[from].Quarantined(c.ctx); err != nil || len(aside) != left {
		t.Errorf("%d in quarantine, want %d: %v", len(aside), left, err)
	}
}

// TestI15_OrphansStopWhatIsForgotten: when there are too many orphans on a drive nothing of it is touched, strays neither.
func TestI15_OrphansStopWhatIsForgotten(t *testing.T) {
	c := newCluster(t, 1, 1, 1, 1, func(o *Options) { o.OrphanMax = 2 })
	c.put("a", 100)
	from := c.moving(2)
	if err := c.healer.Rebuild(c.ctx); err != nil {
		t.Fatal(err)
	}
	c.change(func(m *placement.Map) { // the drive owns another slot: what it has of that are orphans
		pg := m.Pools[testPool].PGs[0]
		pg.Slots[1].Drive = c.ids[from]
	})
	for range 3 {
		if _, _, err := c.write("orphan", 100); err != nil {
			t.Fatal(err)
		}
	}
	c.later()
	before := len(c.all(from))
	if err := c.healer.Scrub(c.ctx, ScrubLight); !errors.Is(err, ErrTooManyOrphans) || len(c.all(from)) != before {
		t.Errorf("%v: %d of %d chunks left", err, len(c.all(from)), before)
	}
}
