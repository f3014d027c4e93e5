package heal

import (
	"slices"
	"testing"

	"github.com/sherd-io/sherd/placement"
)

// move gives slot 0 of group 0 to drive by and moves its chunks there, as the map and all owners then know.
func (c *cluster) move(by int) {
	c.t.Helper()
	c.moving(by)
	if err := c.healer.Rebuild(c.ctx); err != nil {
		c.t.Fatal(err)
	}
}

// emptyGroup has drive i forget its chunks of group 0.
func (c *cluster) emptyGroup(i int) {
	c.t.Helper()
	for _, ch := range c.all(i) {
		if ch.Key.PG == 0 {
			if err := c.disks[i].Quarantine(c.ctx, ch.Key, "test"); err != nil {
				c.t.Fatal(err)
			}
		}
	}
}

// TestI5_ScrubByAnOldMap: what an owner of old does not have is not missing, whether the newer map can be loaded or not.
func TestI5_ScrubByAnOldMap(t *testing.T) {
	for _, far := range []bool{false, true} {
		for _, reload := range []bool{true, false} {
			c := newCluster(t, 2, 2, 1, 2, nil)
			if far {
				c.sendAway()
			}
			c.putSome(8)
			old, from := c.m.Load(), slices.Index(c.ids, c.m.Load().Pools[testPool].PGs[0].Slots[0].Drive)
			c.move(4)
			c.emptyGroup(from)
			now := c.m.Load()
			for _, kind := range []ScrubKind{ScrubLight, ScrubFull} {
				c.m.Store(old)
				if reload {
					c.newer.Store(now)
				}
				if err := c.healer.Scrub(c.ctx, kind); err != nil {
					t.Fatal(err)
				}
				if s := c.healer.ScrubStatus(); s.Missing != 0 || len(c.rows.repairs) != 0 {
					t.Errorf("far %v, reload %v: %+v, %d repair rows", far, reload, s, len(c.rows.repairs))
				}
			}
		}
	}
}

// TestI5_StraysByAnOldMap: by an old map the new owner's chunks are strays, and the old owner has them still. They stay.
func TestI5_StraysByAnOldMap(t *testing.T) {
	c := newCluster(t, 2, 2, 1, 2, nil)
	c.putSome(8)
	old := c.m.Load()
	c.move(4)
	c.m.Store(old)
	c.change(func(m *placement.Map) { m.Drives[c.ids[4]] = &placement.Drive{ID: c.ids[4], State: placement.DriveUp} })
	c.later()
	before := len(c.all(4))
	if err := c.healer.Scrub(c.ctx, ScrubLight); err != nil {
		t.Fatal(err)
	}
	if got := len(c.all(4)); got != before || before == 0 {
		t.Errorf("%d of %d chunks left", got, before)
	}
}
