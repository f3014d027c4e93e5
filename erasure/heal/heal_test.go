package heal

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sherd-io/sherd/erasure"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/internal/poll"
	"github.com/sherd-io/sherd/placement"
)

func TestI2_SuspectUntilDrained(t *testing.T) {
	c := newCluster(t, 4, 2, 0, 4, nil)
	c.putSome(10)
	c.state(1, placement.DriveDown)
	c.putSome(20)
	rows := len(c.rows.repairs)
	if rows == 0 {
		t.Fatal("no write missed the drive that is down")
	}
	c.checkLedger()
	if err := c.healer.Repair(c.ctx); err != nil {
		t.Fatal(err)
	}
	if len(c.rows.repairs) != rows {
		t.Error("rows of a drive that is away were acknowledged")
	}
	c.state(1, placement.DriveSuspect)
	c.checkLedger()
	c.rows.failAll = errors.New("no leader")
	if err := c.healer.Repair(c.ctx); err == nil || c.m.Load().Drives[c.ids[1]].State != placement.DriveSuspect {
		t.Error("a drive was called drained though the rows could not be read")
	}
	c.rows.failAll = nil
	if err := c.healer.Repair(c.ctx); err != nil {
		t.Fatal(err)
	}
	if len(c.rows.repairs) != 0 || c.m.Load().Drives[c.ids[1]].State != placement.DriveUp {
		t.Errorf("%d rows left, drive %s", len(c.rows.repairs), c.m.Load().Drives[c.ids[1]].State)
	}
	c.checkFull()
	if led := c.checkLedger(); led.Short[0] != led.Blobs {
		t.Errorf("not at full strength: %v", led.Short)
	}
}

// TestI2_RowsSayWhatWhoMissedCouldNot: a writer gave a drive up, and died before the map heard of it. The rows it committed turn the drive
// suspect while they wait; one that can be repaired at once stays up.
func TestI2_RowsSayWhatWhoMissedCouldNot(t *testing.T) {
	c := newCluster(t, 4, 2, 0, 4, nil)
	c.state(1, placement.DriveDown)
	c.putSome(10)
	c.state(1, placement.DriveUp)
	c.away[c.ids[1]] = true
	if err := c.healer.Repair(c.ctx); err != nil {
		t.Fatal(err)
	}
	for i, want := range map[int]placement.DriveState{0: placement.DriveUp, 1: placement.DriveSuspect} {
		if is := c.m.Load().Drives[c.ids[i]].State; is != want {
			t.Errorf("drive %d is %s, want %s", i, is, want)
		}
	}
	c.state(1, placement.DriveUp)
	if err := c.healer.Repair(c.ctx); err != nil || len(c.rows.repairs) != 0 {
		t.Fatalf("%v, %d rows left", err, len(c.rows.repairs))
	}
	if is := c.m.Load().Drives[c.ids[1]].State; is != placement.DriveUp {
		t.Errorf("a drive that was repaired at once is %s", is)
	}
}

func TestRepairForgetsTheDead(t *testing.T) {
	c := newCluster(t, 2, 2, 0, 2, nil)
	c.state(0, placement.DriveDown)
	c.put("a", 100_000)
	c.put("b", 100_000)
	c.state(0, placement.DriveUp)
	c.delete("a")
	if err := c.healer.Repair(c.ctx); err != nil || len(c.rows.repairs) != 0 {
		t.Fatal(err, len(c.rows.repairs))
	}
	for slot := range 4 {
		o := c.rows.reclaims[0].Extent.Blob(0)
		if id, _ := owner(c.m.Load(), o, uint8(slot)); id == c.ids[0] && c.holds(c.m.Load(), id, o.Chunk(slot)) {
			t.Error("a dead blob was repaired")
		}
	}
	c.checkFull()
}

func TestI15_NoAnswerKeepsTheRow(t *testing.T) {
	c := newCluster(t, 2, 2, 0, 2, nil)
	c.state(0, placement.DriveDown)
	c.put("a", 100_000)
	c.state(0, placement.DriveUp)
	c.rows.refErr = errors.New("no leader")
	if err := c.healer.Repair(c.ctx); err == nil || len(c.rows.repairs) == 0 {
		t.Fatal("acted without an answer")
	}
}

// TestRebuild loses any two drives, one after the other and both at once, and gets back to full strength.
func TestRebuild(t *testing.T) {
	for _, pair := range [][2]int{{0, 1}, {0, 5}, {4, 5}, {2, 3}} {
		t.Run(fmt.Sprint(pair), func(t *testing.T) {
			c := newCluster(t, 4, 2, 2, 6, nil)
			c.putSome(14)
			c.replace(pair[0], 6)
			c.checkLedger()
			c.replace(pair[1], 7)
			c.checkLedger()
			c.checkAll()
			c.put("aduring", 700_000) // goes to the new owners too
			if err := c.healer.Rebuild(c.ctx); err != nil {
				t.Fatal(err)
			}
			for i, pg := range c.m.Load().Pools[testPool].PGs {
				for slot, sl := range pg.Slots {
					if !sl.Complete {
						t.Errorf("group %d slot %d is not complete", i, slot)
					}
				}
			}
			c.checkFull()
			if led := c.checkLedger(); led.Short[0] != led.Blobs || led.Lacking() != 0 {
				t.Errorf("not at full strength: %v", led.Short)
			}
			c.state(2, placement.DriveDown) // any other two
			c.state(3, placement.DriveDown)
			if pair[0] < 2 {
				c.checkAll()
			}
		})
	}
}

func TestI5_RebuildFencesFirst(t *testing.T) {
	c := newCluster(t, 2, 2, 1, 1, nil)
	c.putSome(4)
	c.replace(3, 4)
	// One parity slot is filled. Of slots 0 and 2, which every blob has a chunk in, only one answers: a blob that missed the
	// other might be overlooked.
	c.state(0, placement.DriveDown)
	if err := c.healer.Rebuild(c.ctx); !errors.Is(err, errNotFenced) {
		t.Fatalf("listed without knowing all blobs: %v", err)
	}
	if c.m.Load().Pools[testPool].PGs[0].Slots[3].Complete {
		t.Fatal("called complete")
	}
	c.state(0, placement.DriveUp)
	if err := c.healer.Rebuild(c.ctx); err != nil {
		t.Fatal(err)
	}
	// Writers of the old epoch are refused by every owner.
	epoch := c.m.Load().Pools[testPool].PGs[0].Epoch
	for slot, sl := range c.m.Load().Pools[testPool].PGs[0].Slots {
		if err := c.drive(sl.Drive).RaiseEpoch(c.ctx, testPool, 0, epoch-1); err != nil {
			t.Log(err)
		}
		if got := c.disks[indexOf(c, sl.Drive)].Epoch(testPool, 0); got != epoch {
			t.Errorf("slot %d persisted epoch %d, want %d", slot, got, epoch)
		}
	}
	c.checkFull()
}

// TestI5_NewOwnerAway: what was written since a slot has its new owner may be known to that one only. While it is away, no other slot of
// the group is called complete.
func TestI5_NewOwnerAway(t *testing.T) {
	c := newCluster(t, 4, 2, 2, 1, nil)
	c.replace(4, 6)
	c.state(0, placement.DriveDown)
	c.put("a", 1) // has chunks in slots 0, 4 and 5 only, and misses the first
	c.state(0, placement.DriveUp)
	c.state(6, placement.DriveDown)
	c.replace(5, 7)
	if err := c.healer.Rebuild(c.ctx); !errors.Is(err, errNotFenced) {
		t.Errorf("listed without the owner that has the blob: %v", err)
	}
	c.state(6, placement.DriveUp)
	if err := c.healer.Rebuild(c.ctx); err != nil {
		t.Fatal(err)
	}
	if err := c.healer.Repair(c.ctx); err != nil {
		t.Fatal(err)
	}
	c.checkFull()
}

func indexOf(c *cluster, id ids.Drive) int {
	for i := range c.ids {
		if c.ids[i] == id {
			return i
		}
	}
	return -1
}

func TestRebuildSkipsWhatCannotBeMade(t *testing.T) {
	c := newCluster(t, 4, 2, 1, 1, nil)
	c.put("a", 300_000)
	o, _, err := c.write("dead", 300_000) // never committed, and most of it gone
	if err != nil {
		t.Fatal(err)
	}
	for slot := 1; slot < 5; slot++ {
		c.lose(o.item.Extent.Blob(0), slot)
	}
	live := c.bodies["a"]
	c.replace(0, 6)
	if err := c.healer.Rebuild(c.ctx); err != nil {
		t.Fatal(err)
	}
	c.checkFull()
	// One that lives is not skipped: its slot stays incomplete.
	for slot := 1; slot < 4; slot++ {
		c.lose(live.item.Extent.Blob(0), slot)
	}
	c.addDrive()
	c.replace(4, 7)
	if err := c.healer.Rebuild(c.ctx); err == nil || c.m.Load().Pools[testPool].PGs[0].Slots[4].Complete {
		t.Fatal("a slot was called complete though a blob could not be made:", err)
	}
}

// TestRebuildTellsOfWhatItMeets: a shard that a rebuild finds bad is mended too, though others took its place and no reader asks for it.
func TestRebuildTellsOfWhatItMeets(t *testing.T) {
	c := newCluster(t, 4, 2, 1, 1, nil)
	c.put("a", 300_000)
	c.flip(c.bodies["a"], 1)
	c.replace(0, 6)
	if err := c.healer.Rebuild(c.ctx); err != nil {
		t.Fatal(err)
	}
	if err := c.healer.Repair(c.ctx); err != nil {
		t.Fatal(err)
	}
	c.checkFull()
}

// TestHealerAlarmsAboutTheLost: a person hears of a blob that rebuild, or repair, finds beyond repair before the next scrub does.
func TestHealerAlarmsAboutTheLost(t *testing.T) {
	heal := map[string]func(c *cluster){
		"rebuild": func(c *cluster) {
			c.replace(0, 3)
			if err := c.healer.Rebuild(c.ctx); err == nil {
				t.Error("a slot was made of nothing")
			}
		},
		"repair": func(c *cluster) {
			o := c.bodies["a"].item
			row := Repair{Home: o.Home, Ref: o.Extent.Blob(0), Slot: 0}
			c.lose(row.Ref, 0)
			if err := c.rows.AddRepair(c.ctx, []Repair{row}); err != nil {
				t.Fatal(err)
			}
			if err := c.healer.Repair(c.ctx); err == nil {
				t.Error("a slot was made of nothing")
			}
		},
	}
	for name, heal := range heal {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, 2, 1, 1, 1, nil)
			c.put("a", 200_000)
			dead, _, err := c.write("dead", 200_000)
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range []body{c.bodies["a"], dead} {
				c.lose(o.item.Extent.Blob(0), 1)
			}
			heal(c)
			alarms := c.healer.Alarms()
			if len(alarms) != 1 || !strings.Contains(alarms[0], c.bodies["a"].item.Extent.Blob(0).Blob.String()) {
				t.Error("alarms:", alarms)
			}
		})
	}
}

func TestI13_ReclaimWaitsForReaders(t *testing.T) {
	c := newCluster(t, 4, 2, 0, 4, nil)
	c.putSome(12)
	c.delete("a0")
	c.delete("z1")
	mark := c.clock.Now()
	c.delete("a4")
	c.mark.Store(0)
	if err := c.healer.Reclaim(c.ctx); err != nil || len(c.rows.reclaims) != 3 {
		t.Fatal("reclaimed without a read mark", err)
	}
	c.mark.Store(uint64(mark))
	if err := c.healer.Reclaim(c.ctx); err != nil || len(c.rows.reclaims) != 1 {
		t.Fatalf("%v, %d rows left, want 1", err, len(c.rows.reclaims))
	}
	c.mark.Store(^uint64(0))
	c.state(3, placement.DriveDown)
	if err := c.healer.Reclaim(c.ctx); err == nil || len(c.rows.reclaims) != 1 {
		t.Fatalf("%v, %d rows: a row must wait for the drive that is away", err, len(c.rows.reclaims))
	}
	c.state(3, placement.DriveUp)
	if err := c.healer.Reclaim(c.ctx); err != nil || len(c.rows.reclaims) != 0 {
		t.Fatal(err)
	}
	for name := range c.bodies {
		c.delete(name)
	}
	if err := c.healer.Reclaim(c.ctx); err != nil || c.chunks() != 0 {
		t.Fatalf("%v, %d chunks left", err, c.chunks())
	}
}

// TestI9_NothingIsDroppedWhileHeld: neither reclaim rows nor what is in quarantine, though its term is over.
func TestI9_NothingIsDroppedWhileHeld(t *testing.T) {
	held := true
	c := newCluster(t, 4, 2, 0, 4, func(o *Options) {
		o.Held = func() bool { return held }
		o.QuarantineTerm = -48 * time.Hour // over already
	})
	c.putSome(12)
	c.delete("a0")
	keys, err := c.disks[0].AllChunks(c.ctx, nil, 1)
	if err != nil || len(keys) == 0 {
		t.Fatal(keys, err)
	}
	if err := c.disks[0].Quarantine(c.ctx, keys[0].Key, "test"); err != nil {
		t.Fatal(err)
	}
	for _, held = range []bool{true, false} {
		if err := c.healer.Reclaim(c.ctx); err != nil {
			t.Fatal(err)
		}
		c.healer.expire(c.ctx)
		aside, err := c.disks[0].Quarantined(c.ctx)
		if err != nil || (len(aside) > 0) != held || (len(c.rows.reclaims) > 0) != held {
			t.Fatalf("held %v: %d in quarantine (%v), %d to be reclaimed", held, len(aside), err, len(c.rows.reclaims))
		}
	}
}

// TestI15_QuarantineOutlivesSilence: while a range does not answer, what is in quarantine may be all that is left of it.
func TestI15_QuarantineOutlivesSilence(t *testing.T) {
	c := newCluster(t, 4, 2, 0, 4, func(o *Options) { o.QuarantineTerm = -48 * time.Hour }) // over already
	c.putSome(4)
	found, err := c.disks[0].AllChunks(c.ctx, nil, 1)
	if err != nil || len(found) == 0 {
		t.Fatal(found, err)
	}
	if err := c.disks[0].Quarantine(c.ctx, found[0].Key, "test"); err != nil {
		t.Fatal(err)
	}
	for _, silence := range []error{errors.New("no leader"), nil} {
		c.rows.failAll = silence
		c.healer.collectAndExpire(c.ctx)
		aside, err := c.disks[0].Quarantined(c.ctx)
		if err != nil || (len(aside) > 0) != (silence != nil) {
			t.Fatalf("range says %v: %d in quarantine, %v", silence, len(aside), err)
		}
	}
}

func TestReportedShardsAreHealed(t *testing.T) {
	c := newCluster(t, 4, 2, 0, 4, nil)
	c.putSome(7)
	c.lose(c.bodies["a4"].item.Extent.Blob(0), 1)
	c.flip(c.bodies["z5"], 2)
	c.checkAll() // readers report
	if n := c.healer.Status().Reported; n != 2 {
		t.Errorf("%d shards reported, want 2", n)
	}
	c.checkLedgerCounts(t, 2)
	if err := c.healer.Repair(c.ctx); err != nil {
		t.Fatal(err)
	}
	if n := c.healer.Status().Reported; n != 0 {
		t.Errorf("%d reports left", n)
	}
	c.checkFull()
}

// TestReportedWrongShardIsReplaced: each of its blocks is right, so that only the blob's checksum, and no look at the shard, accuses it (I22).
func TestReportedWrongShardIsReplaced(t *testing.T) {
	c := newCluster(t, 4, 2, 0, 1, nil)
	c.put("a", 200_000)
	c.spoil(c.bodies["a"].item.Extent.Blob(0), 1)
	c.checkAll() // a reader reports
	if err := c.healer.Repair(c.ctx); err != nil {
		t.Fatal(err)
	}
	c.checkFull()
}

func (c *cluster) checkLedgerCounts(t *testing.T, oneShort int64) {
	t.Helper()
	led, err := c.healer.Count(c.ctx)
	if err != nil || len(led.Short) < 2 || led.Short[1] != oneShort {
		t.Errorf("ledger %v %v, want %d one short", led.Short, err, oneShort)
	}
}

func TestReportsAreBounded(t *testing.T) {
	c := newCluster(t, 1, 1, 0, 1, func(o *Options) { o.ReportsMax = 3 })
	for i := range 10 {
		c.healer.Report(erasure.BadShard{Kind: erasure.Missing, Ref: erasure.BlobRef{Blob: ids.Blob{Index: uint32(i)}}})
		c.healer.Report(erasure.BadShard{Kind: erasure.Missing, Ref: erasure.BlobRef{Blob: ids.Blob{Index: 0}}})
	}
	if s := c.healer.Status(); s.Reported != 3 || s.Dropped != 7 {
		t.Errorf("%d wait, %d dropped", s.Reported, s.Dropped)
	}
}

// TestReportsOfSlotAndBlob: that a blob's checksum is wrong, and that its first chunk is missing, are two things to mend.
func TestReportsOfSlotAndBlob(t *testing.T) {
	c := newCluster(t, 2, 1, 0, 2, nil)
	for _, kind := range []erasure.Kind{erasure.Unsound, erasure.Missing, erasure.Corrupt} {
		c.healer.Report(erasure.BadShard{Kind: kind})
	}
	if n := c.healer.Status().Reported; n != 2 {
		t.Errorf("%d reports", n)
	}
}

// TestAwayDriveWakesNobody: each read that meets a drive that is away says so, and there may be thousands a second.
func TestAwayDriveWakesNobody(t *testing.T) {
	c := newCluster(t, 2, 1, 0, 2, nil)
	c.healer.Report(erasure.BadShard{Kind: erasure.Unavailable})
	if len(c.healer.repair.wake) != 0 {
		t.Error("a pass of repair for a drive that is away")
	}
	c.healer.Report(erasure.BadShard{Kind: erasure.Missing})
	if len(c.healer.repair.wake) != 1 {
		t.Error("no pass of repair for a chunk that is missing")
	}
}

// TestRun heals by itself: a drive misses writes and comes back, another is replaced, objects die, shards rot.
func TestRun(t *testing.T) {
	for _, far := range []bool{false, true} {
		t.Run(fmt.Sprint("far=", far), func(t *testing.T) { run(t, far) })
	}
}

func run(t *testing.T, far bool) {
	c := newCluster(t, 4, 2, 1, 4, func(o *Options) { o.Tick = 20 * time.Millisecond; o.LedgerEvery = 20 * time.Millisecond })
	if far {
		c.sendAway()
	}
	ctx, cancel := context.WithCancel(c.ctx)
	done := make(chan error)
	go func() { done <- c.healer.Run(ctx) }()
	c.putSome(10)
	c.healer.Pause()
	c.lose(c.bodies["z9"].item.Extent.Blob(0), 0)
	c.state(1, placement.DriveDown)
	c.putSome(8)
	c.state(1, placement.DriveSuspect)
	c.replace(2, 6)
	c.delete("a0")
	c.healer.StartScrub(ScrubFull)
	c.healer.Kick()
	if s := c.healer.Status(); !s.Paused {
		t.Error("not paused")
	}
	c.healer.Resume()
	deadline := time.After(poll.Within)
	for {
		s := c.healer.Status()
		if s.Groups == 0 && s.Ledger.Blobs > 0 && s.Ledger.Lacking() == 0 && s.Ledger.Repairs == 0 && s.Reclaimed > 0 &&
			!s.Scrub.Ended.IsZero() && s.Ledger.At.After(s.Scrub.Ended) && s.Reported == 0 && c.m.Load().Drives[c.ids[1]].State == placement.DriveUp {
			break
		}
		select {
		case <-deadline:
			t.Fatalf("not healed: %+v", s)
		case <-time.After(5 * time.Millisecond):
		}
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	c.checkFull()
	c.checkLedger()
}
