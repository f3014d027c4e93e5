package heal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sherd-io/sherd/disk"
	"github.com/sherd-io/sherd/erasure"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/internal/poll"
	"github.com/sherd-io/sherd/placement"
)

func TestScrubRowsWithoutChunks(t *testing.T) {
	for _, kind := range []ScrubKind{ScrubLight, ScrubFull} {
		c := newCluster(t, 4, 2, 0, 4, nil)
		c.putSome(8)
		c.lose(c.bodies["a4"].item.Extent.Blob(0), 1)
		c.lose(c.bodies["a4"].item.Extent.Blob(0), 5)
		c.lose(c.bodies["a0"].item.Extent.Blob(0), 0) // one byte
		if err := c.healer.Scrub(c.ctx, kind); err != nil {
			t.Fatal(err)
		}
		if s := c.healer.ScrubStatus(); s.Missing != 3 || s.Quarantined != 0 || s.Running || s.Err != "" {
			t.Errorf("%+v", s)
		}
		if len(c.rows.repairs) != 3 {
			t.Errorf("%d repair rows, want 3", len(c.rows.repairs))
		}
		c.checkLedger()
		if err := c.healer.Repair(c.ctx); err != nil {
			t.Fatal(err)
		}
		c.checkFull()
	}
}

func TestScrubFindsRot(t *testing.T) {
	c := newCluster(t, 4, 2, 0, 4, nil)
	c.putSome(8)
	c.flip(c.bodies["a4"], 0)
	c.flip(c.bodies["z5"], 3)
	c.flip(c.bodies["z5"], 4)
	if err := c.healer.Scrub(c.ctx, ScrubFull); err != nil {
		t.Fatal(err)
	}
	if s := c.healer.ScrubStatus(); s.Corrupt != 3 || s.Missing != 0 || s.Lost != 0 {
		t.Errorf("%+v", s)
	}
	c.checkFull()
	if s := c.healer.Status(); s.Healed != 3 || len(s.Alarms) != 0 {
		t.Errorf("%+v", s)
	}
}

// keeper is a drive that puts nothing into quarantine while it is stubborn.
type keeper struct {
	erasure.Drive
	stubborn *atomic.Bool
}

func (d keeper) Quarantine(ctx context.Context, key ids.Chunk, reason string) error {
	if d.stubborn.Load() {
		return disk.ErrUnavailable
	}
	return d.Drive.Quarantine(ctx, key, reason)
}

// TestI22_WrongChunkThatScrubCouldNotReplace: each of its blocks is right, so that its repair row finds a chunk that looks as it should.
// The row is done with only when the blob has its checksum.
func TestI22_WrongChunkThatScrubCouldNotReplace(t *testing.T) {
	var stubborn atomic.Bool
	c := newCluster(t, 4, 2, 0, 1, nil)
	c.wrap = func(d erasure.Drive) erasure.Drive { return keeper{d, &stubborn} }
	c.put("a", 200_000)
	c.spoil(c.bodies["a"].item.Extent.Blob(0), 1)
	stubborn.Store(true)
	if err := c.healer.Scrub(c.ctx, ScrubFull); err != nil || len(c.rows.repairs) != 1 {
		t.Fatalf("%v, %d repair rows, want 1", err, len(c.rows.repairs))
	}
	if err := c.healer.Repair(c.ctx); !errors.Is(err, disk.ErrUnavailable) || len(c.rows.repairs) != 1 {
		t.Fatalf("%v, %d repair rows, want 1", err, len(c.rows.repairs))
	}
	stubborn.Store(false)
	if err := c.healer.Repair(c.ctx); err != nil || len(c.rows.repairs) != 0 {
		t.Fatalf("%v, %d repair rows", err, len(c.rows.repairs))
	}
	c.checkFull()
}

func TestScrubAlarmsAboutTheLost(t *testing.T) {
	c := newCluster(t, 2, 1, 0, 2, nil)
	c.put("a", 200_000)
	c.lose(c.bodies["a"].item.Extent.Blob(0), 0)
	c.lose(c.bodies["a"].item.Extent.Blob(0), 1)
	if err := c.healer.Scrub(c.ctx, ScrubFull); err != nil {
		t.Fatal(err)
	}
	if s := c.healer.Status(); s.Scrub.Lost != 1 || len(s.Alarms) != 1 {
		t.Errorf("%+v", s)
	}
	if err := c.healer.Scrub(c.ctx, ScrubLight); err != nil || len(c.healer.Alarms()) != 1 {
		t.Errorf("after a scrub that read nothing: %v, %v", err, c.healer.Alarms())
	}
	c.delete("a") // a person took note
	if err := c.healer.Scrub(c.ctx, ScrubFull); err != nil || len(c.healer.Alarms()) != 0 {
		t.Errorf("%v, %v", err, c.healer.Alarms())
	}
}

// TestAlarmsAreBounded: a person reads no more than so many; the status has their number.
func TestAlarmsAreBounded(t *testing.T) {
	c := newCluster(t, 2, 1, 0, 2, nil)
	for i := range alarmsMax + 10 {
		c.healer.alarm(fmt.Sprint(blobAlarm, i), "lost")
	}
	c.healer.alarm(orphanAlarm+"of a drive", "too many")
	if n := len(c.healer.Alarms()); n != alarmsMax+1 {
		t.Errorf("%d alarms", n)
	}
}

// TestI15_AlarmOfAGoneDriveEnds: it would keep everything in quarantine for ever.
func TestI15_AlarmOfAGoneDriveEnds(t *testing.T) {
	c := newCluster(t, 1, 1, 1, 1, func(o *Options) { o.OrphanMax = 4 })
	for range 5 {
		if _, _, err := c.write("orphan", 100); err != nil {
			t.Fatal(err)
		}
	}
	c.later()
	if err := c.healer.Scrub(c.ctx, ScrubLight); !errors.Is(err, ErrTooManyOrphans) || len(c.healer.Alarms()) != 2 {
		t.Fatalf("%v, %v", err, c.healer.Alarms())
	}
	c.state(0, placement.DriveOut)
	if err := c.healer.Scrub(c.ctx, ScrubLight); !errors.Is(err, ErrTooManyOrphans) || len(c.healer.Alarms()) != 1 {
		t.Errorf("%v, %v", err, c.healer.Alarms())
	}
}

func TestI6_OrphansAreThoseOfClosedUploads(t *testing.T) {
	c := newCluster(t, 4, 2, 0, 4, func(o *Options) { o.GarbageAge = time.Hour })
	c.putSome(6)
	if _, _, err := c.write("orphan", 200_000); err != nil {
		t.Fatal(err)
	}
	before := c.chunks()
	if err := c.healer.Scrub(c.ctx, ScrubLight); err != nil || c.chunks() != before {
		t.Fatalf("%v: a body that may yet be committed lost chunks", err)
	}
	if c.rows.closed[1] == 0 || c.rows.closed[2] == 0 {
		t.Error("a range was not closed")
	}
	c.healer.opt.GarbageAge = time.Nanosecond
	c.later()
	if err := c.healer.Scrub(c.ctx, ScrubLight); err != nil {
		t.Fatal(err)
	}
	if s := c.healer.ScrubStatus(); s.Quarantined != 6 || c.chunks() != before-6 {
		t.Errorf("%+v, %d chunks of %d", s, c.chunks(), before)
	}
	c.checkFull()
}

func TestI15_NoAnswerIsNoOrphan(t *testing.T) {
	c := newCluster(t, 2, 1, 0, 2, nil)
	if _, _, err := c.write("orphan", 100); err != nil {
		t.Fatal(err)
	}
	c.later()
	c.rows.refErr = errors.New("no leader")
	if err := c.healer.Scrub(c.ctx, ScrubLight); err != nil {
		t.Fatal(err)
	}
	if s := c.healer.ScrubStatus(); s.Unknown != 2 || s.Quarantined != 0 {
		t.Errorf("%+v", s)
	}
}

func TestI15_TooManyOrphansStopTheScrub(t *testing.T) {
	c := newCluster(t, 1, 1, 0, 1, func(o *Options) { o.OrphanMax = 4 })
	for range 5 {
		if _, _, err := c.write("orphan", 100); err != nil {
			t.Fatal(err)
		}
	}
	c.later()
	before := c.chunks()
	if err := c.healer.Scrub(c.ctx, ScrubLight); !errors.Is(err, ErrTooManyOrphans) || c.chunks() != before {
		t.Fatalf("%v, %d chunks of %d", err, c.chunks(), before)
	}
	if s := c.healer.Status(); len(s.Alarms) != 2 || s.Scrub.Err == "" {
		t.Errorf("%+v", s)
	}
	c.healer.opt.OrphanMax = 5 // a person looked
	if err := c.healer.Scrub(c.ctx, ScrubLight); err != nil || c.chunks() != 0 || len(c.healer.Alarms()) != 0 {
		t.Fatalf("%v, %d chunks, alarms %v", err, c.chunks(), c.healer.Alarms())
	}
}

// TestI5_StraysGoLast: what an old owner still has goes only once the new owner has it, for good.
func TestI5_StraysGoLast(t *testing.T) {
	c := newCluster(t, 4, 2, 1, 1, nil)
	c.put("a", 200_000)
	c.replace(0, 6)
	c.state(0, placement.DriveUp) // it comes back, and owns nothing
	c.later()
	if err := c.healer.Scrub(c.ctx, ScrubLight); err != nil || c.healer.ScrubStatus().Strays != 0 {
		t.Fatal("removed before the slot is complete", err)
	}
	if err := c.healer.Rebuild(c.ctx); err != nil {
		t.Fatal(err)
	}
	if err := c.healer.Scrub(c.ctx, ScrubLight); err != nil || c.healer.ScrubStatus().Strays != 1 {
		t.Fatalf("%v %+v", err, c.healer.ScrubStatus())
	}
	c.checkFull()
	if c.chunks() != 6 {
		t.Errorf("%d chunks, want 6", c.chunks())
	}
}

func TestScrubCanBePaused(t *testing.T) {
	c := newCluster(t, 2, 1, 0, 2, nil)
	c.putSome(4)
	c.healer.PauseScrub()
	done := make(chan error)
	go func() { done <- c.healer.Scrub(c.ctx, ScrubFull) }()
	poll.True(t, poll.Within, "the scrub", func() bool { return c.healer.ScrubStatus().Running })
	if s := c.healer.ScrubStatus(); !s.Paused || s.Blobs != 0 {
		t.Errorf("%+v", s)
	}
	c.healer.ResumeScrub()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestBefore(t *testing.T) {
	c := newCluster(t, 1, 1, 0, 1, nil)
	c.put("a", 700_000) // two blobs
	for i := range 2 {
		for slot := range 2 {
			key := c.bodies["a"].item.Extent.Blob(i).Chunk(slot)
			if ok, err := c.healer.has(c.ctx, key); !ok || err != nil {
				t.Errorf("blob %d slot %d: %v %v", i, slot, ok, err)
			}
			key.Blob.Index += 7
			if ok, err := c.healer.has(c.ctx, key); ok || err != nil {
				t.Errorf("%v %v", ok, err)
			}
		}
	}
}

// I15: another process goes on from the last scrub: it empties no quarantine while there were too many orphans, and is due when the
// one before would have been.
func TestI15_ScrubIsRemembered(t *testing.T) {
	c := newCluster(t, 4, 2, 0, 4, func(o *Options) { o.ScrubEvery = 14 * 24 * time.Hour })
	c.healer.alarm(orphanAlarm+c.ids[0].String(), "too many")
	c.healer.rememberOrphans(c.ctx)
	next, err := New(c.healer.opt)
	if err != nil {
		t.Fatal(err)
	}
	next.recallOrphans()
	if got := next.Alarms(); !slices.Equal(got, c.healer.Alarms()) || len(got) != 1 {
		t.Errorf("%v", got)
	}
	if err := next.Scrub(c.ctx, ScrubFull); err != nil {
		t.Fatal(err)
	}
	if len(next.Alarms()) > 0 || c.m.Load().Settings[orphansSetting+c.ids[0].String()] != "" {
		t.Errorf("after a scrub that found all in order: %v, %v", next.Alarms(), c.m.Load().Settings)
	}

	ended := time.Now().Add(-13 * 24 * time.Hour).Truncate(time.Second)
	for text, want := range map[string]time.Time{
		ended.Format(time.RFC3339): ended,
		"":                         time.Now(),
		"yesterday":                time.Now(),
		time.Now().Add(time.Hour).Format(time.RFC3339): time.Now(),
	} {
		c.Remember(c.ctx, scrubbedSetting, text)
		if due := next.scrubDue(c.ctx); due.Sub(want.Add(next.opt.ScrubEvery)).Abs() > time.Minute {
			t.Errorf("after %q it is due at %s", text, due)
		}
		if again := next.scrubDue(c.ctx); again.Sub(want.Add(next.opt.ScrubEvery)).Abs() > time.Minute {
			t.Errorf("after %q it is due at %s, asked again", text, again)
		}
	}
}
