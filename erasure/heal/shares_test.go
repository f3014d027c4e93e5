package heal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/internal/poll"
	"github.com/sherd-io/sherd/placement"
)

// another is a healer of another process over the same drives and rows.
func (c *cluster) another(change func(*Options)) *Healer {
	c.t.Helper()
	opt := c.healer.opt
	if change != nil {
		change(&opt)
	}
	h, err := New(opt)
	if err != nil {
		c.t.Fatal(err)
	}
	return h
}

// part shares the ranges out among so many processes, and gives the share of one.
func part(index, of int) func(*placement.Map) []*placement.Range {
	return func(m *placement.Map) (mine []*placement.Range) {
		for _, r := range m.Ranges {
			if int(r.ID)%of == index {
				mine = append(mine, r)
			}
		}
		return mine
	}
}

// TestTwoHealers: two that do everything, at the same time and in step, lose nothing and leave nothing over.
func TestTwoHealers(t *testing.T) {
	seeds := 6
	if testing.Short() {
		seeds = 2
	}
	for seed := range seeds {
		c := newCluster(t, 3, 4, 2, 3, nil)
		if seed%2 == 1 {
			c.sendAway()
		}
		both := []*Healer{c.healer, c.another(nil)}
		c.putSome(10)
		c.state(1, placement.DriveDown)
		c.putSome(14)
		c.state(1, placement.DriveSuspect)
		c.flip(c.bodies["a4"], 3)
		c.lose(c.bodies["z5"].item.Extent.Blob(0), 3)
		c.replace(2, 7)
		c.delete("a0")
		c.delete("z1")
		if _, _, err := c.write("orphan", 5000); err != nil {
			t.Fatal(err)
		}
		c.later()
		for step, do := range map[string]func(*Healer) error{
			"rebuild": func(h *Healer) error { return h.Rebuild(c.ctx) },
			"repair":  func(h *Healer) error { return h.Repair(c.ctx) },
			"reclaim": func(h *Healer) error { return h.Reclaim(c.ctx) },
			"scrub":   func(h *Healer) error { return h.Scrub(c.ctx, ScrubFull) },
			"collect": func(h *Healer) error { _, err := h.Collect(c.ctx); return err },
			"sweep":   func(h *Healer) error { return h.Sweep(c.ctx) },
		} {
			if err := together(both, do); err != nil {
				t.Logf("%s: %v", step, err) // one met the other's work half done: tried again below
			}
			c.checkAll()
		}
		c.heal(both)
		c.checkAll()
		c.checkFull()
		led := c.checkLedger()
		want := c.wanted() + len(c.all(2)) // what the drive that is out has, nobody deletes
		if got := c.chunks(); led.Lacking() != 0 || led.Repairs != 0 || got != want || len(c.rows.reclaims) != 0 {
			t.Errorf("seed %d: %+v, %d chunks, want %d", seed, led, got, want)
		}
	}
}

// together has all healers do the same at once.
func together(healers []*Healer, do func(*Healer) error) error {
	var g errgroup.Group
	for _, h := range healers {
		g.Go(func() error { return do(h) })
	}
	return g.Wait()
}

// heal has the healers do all there is, until nothing fails.
func (c *cluster) heal(healers []*Healer) {
	c.t.Helper()
	for range 4 {
		for _, h := range healers {
			for _, err := range []error{h.Rebuild(c.ctx), h.Repair(c.ctx), h.Reclaim(c.ctx), h.Scrub(c.ctx, ScrubFull), h.Sweep(c.ctx)} {
				if err != nil {
					c.t.Error(err)
				}
			}
		}
	}
}

// blobs is how many all objects have.
func (c *cluster) blobs() (n int64) {
	for _, o := range c.bodies {
		n += int64(len(o.item.Extent.PGs))
	}
	return n
}

// wanted is how many chunks all objects have.
func (c *cluster) wanted() (n int) {
	for _, o := range c.bodies {
		for i := range o.item.Extent.PGs {
			n += len(slotList(storedSlots(c.m.Load().Pools[testPool], o.item.Extent.Blob(i).Size)))
		}
	}
	return n
}

// TestRunTwice lets two healers run beside each other, with shares that change, while drives go and come.
func TestRunTwice(t *testing.T) {
	share := 0
	c := newCluster(t, 4, 2, 1, 4, func(o *Options) { o.Tick, o.LedgerEvery = 20*time.Millisecond, 20*time.Millisecond })
	c.sendAway()
	halves := []*Healer{
		c.another(func(o *Options) { o.Name, o.Share = "n1", part(0, 2) }),
		c.another(func(o *Options) {
			o.Name, o.Share, o.Lead = "n2", part(1, 2), func() bool { return false }
		}),
	}
	c.healer = halves[share]
	ctx, cancel := context.WithCancel(c.ctx)
	var running errgroup.Group
	for _, h := range halves {
		running.Go(func() error { return h.Run(ctx) })
	}
	c.putSome(10)
	c.state(1, placement.DriveDown)
	c.putSome(8)
	c.state(1, placement.DriveSuspect)
	c.replace(2, 6)
	c.delete("a0")
	for _, h := range halves {
		h.StartScrub(ScrubFull)
		h.Kick()
	}
	poll.Nil(t, poll.Within, "full strength", func() error {
		sum := halves[0].Status().Ledger.Plus(halves[1].Status().Ledger)
		up := c.m.Load().Drives[c.ids[1]].State == placement.DriveUp
		if sum.Blobs == c.blobs() && sum.Lacking() == 0 && sum.Repairs == 0 && up && halves[0].Status().Groups == 0 {
			return nil
		}
		return fmt.Errorf("%+v, up %v", sum, up)
	})
	cancel()
	if err := running.Wait(); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	c.checkFull()
}

// TestI2_OnlyTheLeaderCallsDrained, and only when no row of any range, whosever share, names the drive.
func TestI2_OnlyTheLeaderCallsDrained(t *testing.T) {
	c := newCluster(t, 4, 2, 0, 4, nil)
	lead := c.another(func(o *Options) { o.Share = part(1, 2) })
	other := c.another(func(o *Options) { o.Share, o.Lead = part(0, 2), func() bool { return false } })
	c.state(1, placement.DriveDown)
	c.putSome(20)
	c.state(1, placement.DriveSuspect)
	suspect := func() bool { return c.m.Load().Drives[c.ids[1]].State == placement.DriveSuspect }
	for range 2 { // the first time it sees the drive suspect
		if err := lead.Repair(c.ctx); err != nil || len(c.rows.repairs) == 0 || !suspect() {
			t.Fatalf("%v, %d rows, suspect %v: a row of the other's range names the drive", err, len(c.rows.repairs), suspect())
		}
	}
	if err := other.Repair(c.ctx); err != nil || len(c.rows.repairs) != 0 || !suspect() {
		t.Fatalf("%v, %d rows, suspect %v: who does not lead, decides nothing", err, len(c.rows.repairs), suspect())
	}
	if err := lead.Repair(c.ctx); err != nil || suspect() {
		t.Fatalf("%v, suspect %v", err, suspect())
	}
	c.checkFull()
}

// TestLedgersAddUp: the shares of several processes are together the ledger of one.
func TestLedgersAddUp(t *testing.T) {
	c := newCluster(t, 4, 2, 2, 4, nil)
	c.putSome(14)
	c.state(1, placement.DriveDown)
	c.putSome(20)
	c.replace(3, 6)
	whole := c.checkLedger()
	var sum Ledger
	for i := range 3 {
		part, err := c.another(func(o *Options) { o.Share = part(i, 3) }).Count(c.ctx)
		if err != nil {
			t.Fatal(err)
		}
		sum = sum.Plus(part)
	}
	if sum.Blobs != whole.Blobs || sum.Bytes != whole.Bytes || !slices.Equal(sum.Short, whole.Short) || sum.Lost != whole.Lost || sum.Repairs != whole.Repairs {
		t.Errorf("%+v, want %+v", sum, whole)
	}
}

// TestMine: slots are filled, and chunks without rows looked for, by the process whose drive it is.
func TestMine(t *testing.T) {
	c := newCluster(t, 4, 2, 2, 2, nil)
	c.putSome(8)
	has := func(want ids.Drive) func(*Options) {
		return func(o *Options) { o.Mine = func(id ids.Drive) bool { return id == want } }
	}
	c.replace(0, 6)
	c.replace(1, 7)
	incomplete := func() (all []ids.Drive) {
		for _, pg := range c.m.Load().Pools[testPool].PGs {
			for _, sl := range pg.Slots {
				if !sl.Complete && !slices.Contains(all, sl.Drive) {
					all = append(all, sl.Drive)
				}
			}
		}
		return all
	}
	six := c.another(has(c.ids[6]))
	if err := six.Rebuild(c.ctx); err != nil || !slices.Equal(incomplete(), []ids.Drive{c.ids[7]}) {
		t.Fatalf("%v, incomplete: %v", err, incomplete())
	}
	if err := c.another(has(c.ids[7])).Rebuild(c.ctx); err != nil || len(incomplete()) > 0 {
		t.Fatalf("%v, incomplete: %v", err, incomplete())
	}
	if err := six.Scrub(c.ctx, ScrubLight); err != nil || six.ScrubStatus().Chunks != int64(len(c.all(6))) {
		t.Errorf("%v, looked at %d chunks of %d", err, six.ScrubStatus().Chunks, len(c.all(6)))
	}
	c.checkFull()
}

// TestI15_AlarmOfAnotherProcess: while any drive has too many orphans, no process empties its quarantine; a scrub by who looks after
// another drive does not end the alarm.
func TestI15_AlarmOfAnotherProcess(t *testing.T) {
	c := newCluster(t, 1, 1, 0, 1, func(o *Options) { o.OrphanMax, o.QuarantineTerm = 4, -48*time.Hour })
	mine := func(i int) func(*Options) {
		return func(o *Options) {
			o.Name, o.Mine = fmt.Sprint("n", i), func(id ids.Drive) bool { return id == c.ids[i] }
		}
	}
	first, second := c.another(mine(0)), c.another(mine(1))
	c.put("a", 100)
	key := c.all(1)[0].Key
	if err := c.disks[1].Quarantine(c.ctx, key, "test"); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if _, _, err := c.write("orphan", 100); err != nil {
			t.Fatal(err)
		}
	}
	c.later()
	if err := first.Scrub(c.ctx, ScrubLight); !errors.Is(err, ErrTooManyOrphans) {
		t.Fatal(err)
	}
	second.opt.OrphanMax = 100 // its own drive is well
	if err := second.Scrub(c.ctx, ScrubLight); err != nil {
		t.Fatal(err)
	}
	second.expire(c.ctx)
	if aside, err := c.disks[1].Quarantined(c.ctx); err != nil || len(aside) == 0 {
		t.Fatalf("quarantine was emptied: %v", err)
	}
	first.opt.OrphanMax = 100 // a person looked
	if err := first.Scrub(c.ctx, ScrubLight); err != nil {
		t.Fatal(err)
	}
	second.expire(c.ctx)
	if aside, err := c.disks[1].Quarantined(c.ctx); err != nil || len(aside) != 0 {
		t.Fatalf("%d in quarantine: %v", len(aside), err)
	}
}
