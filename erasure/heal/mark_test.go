package heal

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sherd-io/sherd/disk"
	"github.com/sherd-io/sherd/erasure"
	"github.com/sherd-io/sherd/internal/hlc"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/placement"
)

// stopping ends a context after so many pages of Walk.
type stopping struct {
	*rows
	pages int
	stop  context.CancelFunc
}

func (s *stopping) Walk(ctx context.Context, r *placement.Range, after []byte, max int) ([]Item, []byte, error) {
	if s.pages--; s.pages < 0 {
		s.stop()
		return nil, nil, ctx.Err()
	}
	return s.rows.Walk(ctx, r, after, max)
}

// TestScrubGoesOn: a full scrub that a process was stopped in is due at once and goes on in the next one, wherever it was, with the alarms
// it had raised; together they look at every blob once.
func TestScrubGoesOn(t *testing.T) {
	c := newCluster(t, 2, 1, 0, 2, func(o *Options) {
		o.Page, o.ScrubMarkEvery, o.ScrubEvery, o.Name = 3, time.Nanosecond, 24*time.Hour, "n1"
	})
	for i := range 20 {
		c.put(string("az"[i%2])+string(rune('a'+i)), 5000)
	}
	c.lose(c.bodies["aa"].item.Extent.Blob(0), 0)
	c.lose(c.bodies["aa"].item.Extent.Blob(0), 1)
	for pages := 1; pages <= 7; pages++ { // 10 rows of each range are 4 pages
		ctx, cancel := context.WithCancel(c.ctx)
		first := c.another(func(o *Options) { o.Records = &stopping{c.rows, pages, cancel} })
		if err := first.Scrub(ctx, ScrubFull); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		next := c.another(nil)
		if due := next.scrubDue(c.ctx); time.Since(due) < 0 {
			t.Errorf("due at %s", due)
		}
		if err := next.Scrub(c.ctx, ScrubFull); err != nil {
			t.Fatal(err)
		}
		a, b := first.ScrubStatus(), next.ScrubStatus()
		if a.Blobs+b.Blobs != 20 || a.Blobs == 0 || len(next.Alarms()) != 1 || !a.Started.Equal(b.Started) {
			t.Errorf("%d pages, then the rest: %d and %d blobs, alarms %v", pages, a.Blobs, b.Blobs, next.Alarms())
		}
		if left := c.m.Load().Settings[next.own(scrubAtSetting)]; left != "" {
			t.Errorf("after its end: %s", left)
		}
	}
	for _, kept := range []string{"{", `{"began":"2001-01-01T00:00:00Z","start":"eg=="}`} {
		c.Remember(c.ctx, c.healer.own(scrubAtSetting), kept)
		if err := c.healer.Scrub(c.ctx, ScrubFull); err != nil || c.healer.ScrubStatus().Blobs != 20 {
			t.Errorf("after %s: %v, %d blobs", kept, err, c.healer.ScrubStatus().Blobs)
		}
	}
}

// TestScrubGoesOnBehindABadRange: one that does not answer holds up no other, and the scrub is not called done.
func TestScrubGoesOnBehindABadRange(t *testing.T) {
	c := newCluster(t, 2, 1, 0, 2, nil)
	c.putSome(8)
	c.healer.opt.Records = &deaf{c.rows}
	if err := c.healer.Scrub(c.ctx, ScrubFull); err == nil || c.healer.ScrubStatus().Blobs == 0 {
		t.Errorf("%v, %d blobs", err, c.healer.ScrubStatus().Blobs)
	}
	if c.m.Load().Settings[scrubbedSetting] != "" {
		t.Error("called done")
	}
}

// deaf is rows of which the first range does not answer.
type deaf struct{ *rows }

func (d *deaf) Walk(ctx context.Context, r *placement.Range, after []byte, max int) ([]Item, []byte, error) {
	if r.ID == 1 {
		return nil, nil, errors.New("no leader")
	}
	return d.rows.Walk(ctx, r, after, max)
}

// TestScrubLoopKeepsItsPace: a scrub that ends well is followed by the next after ScrubEvery, also if the map never hears of it.
func TestScrubLoopKeepsItsPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		walks := 0
		overdue := map[string]string{scrubbedSetting: time.Now().Add(-time.Hour).Format(time.RFC3339)}
		m := &placement.Map{Ranges: []*placement.Range{{ID: 1}}, Settings: overdue}
		h, err := New(Options{
			Map: func() *placement.Map { return m }, Drive: func(ids.Drive) Drive { return nil }, Store: &erasure.Store{},
			Records: &counted{newRows(hlc.New(nil)), &walks}, Planner: forgetful{}, Clock: hlc.New(nil),
			ReadMark: func(context.Context, ids.Range) (hlc.Stamp, bool) { return 0, false }, ScrubEvery: time.Hour,
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 9*time.Hour+6*time.Minute)
		defer cancel()
		h.scrubLoop(ctx)
		if walks != 10 { // the first after scrubSettle
			t.Errorf("%d scrubs in nine hours", walks)
		}
	})
}

type counted struct {
	*rows
	walks *int
}

func (c *counted) Walk(ctx context.Context, r *placement.Range, after []byte, max int) ([]Item, []byte, error) {
	*c.walks++
	return c.rows.Walk(ctx, r, after, max)
}

// forgetful is a planner whose settings reach no map.
type forgetful struct{ Planner }

func (forgetful) Remember(context.Context, string, string) error { return nil }

// TestBadRowsHoldUpNothing: a row that cannot be read is alarmed about; those beside it are scrubbed, counted and reclaimed.
func TestBadRowsHoldUpNothing(t *testing.T) {
	c := newCluster(t, 2, 1, 0, 2, nil)
	c.putSome(8)
	for _, name := range []string{"a0", "a2"} {
		c.delete(name)
	}
	bad := errors.New("malformed")
	c.rows.do(func() {
		c.rows.reclaims[0].Bad, c.rows.reclaims[0].Extent = bad, erasure.Extent{Upload: ids.Upload{1}}
		c.rows.items[ids.Upload{1}] = Item{Home: Home{9, "abad"}, Bad: bad}
	})
	c.lose(c.bodies["a4"].item.Extent.Blob(0), 1)
	if err := c.healer.Reclaim(c.ctx); !errors.Is(err, bad) || len(c.rows.reclaims) != 1 {
		t.Errorf("%v, %d rows left", err, len(c.rows.reclaims))
	}
	if err := c.healer.Scrub(c.ctx, ScrubLight); err != nil || c.healer.ScrubStatus().Missing != 1 {
		t.Errorf("%v, %d missing", err, c.healer.ScrubStatus().Missing)
	}
	if led, err := c.healer.Count(c.ctx); err != nil || led.Unknown != 1 || led.Blobs == 0 {
		t.Errorf("%+v %v", led, err)
	}
	if all := c.healer.Alarms(); len(all) != 2 || !strings.Contains(all[0], "malformed") {
		t.Errorf("alarms: %v", all)
	}
}

// TestReportsWaitForRoom: what a reader found is healed once there is room again, not at the next scrub.
func TestReportsWaitForRoom(t *testing.T) {
	for err, waits := range map[error]bool{
		disk.ErrFull: true, disk.ErrUnavailable: true, disk.ErrEpoch: true, erasure.ErrUnavailable: true,
		erasure.ErrLost: false, erasure.ErrCorrupt: false, disk.ErrDeleted: false,
	} {
		if passing(errors.Join(nil, err)) != waits {
			t.Errorf("%v waits: %v, want %v", err, !waits, waits)
		}
	}
}
