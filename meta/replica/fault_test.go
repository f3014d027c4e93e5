package replica

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta/keys"
	"github.com/sherd-io/sherd/meta/state"
)

// hostOf returns the drive that r runs on.
func (c *cluster) driveOf(r *Replica) *drive {
	for _, d := range c.drives {
		if d.host == r.host {
			return d
		}
	}
	return nil
}

func TestI12_HangingLeaderIsSucceededAndHoldsUpNobody(t *testing.T) {
	c := newCluster(t, 3, 1, Options{})
	c.begin()
	old := c.leader()
	d := c.driveOf(old)
	hang := make(chan struct{})
	d.log.mu.Lock()
	d.log.hang = hang
	d.log.mu.Unlock()
	waits := make(chan error, 1)
	go func() { // goes to the leader that hangs
		_, err := old.Propose(context.Background(), c.putCommand("k", "lost?"))
		waits <- err
	}()
	c.putElsewhere(old.id, "k", "new")
	old.Depose() // as a Node does when it learns of the new leader
	if err := <-waits; !errors.Is(err, ErrUnknown) && err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(c.ctx(), 5*c.opt.Tick)
	defer cancel()
	if body, err := get(ctx, old, "k"); err == nil && body != "new" && body != "lost?" {
		t.Fatalf("the leader that hangs read %q", body)
	}
	close(hang)
	c.settle()
}

func TestI12_FailedLogEndsItsHostOnly(t *testing.T) {
	failed := make(chan error, 1)
	c := newCluster(t, 3, 1, Options{OnFailed: func(_ *Host, err error) { failed <- err }})
	c.begin()
	old := c.leader()
	broken := errors.New("broken")
	d := c.driveOf(old)
	d.log.mu.Lock()
	d.log.fail = broken
	d.log.mu.Unlock()
	if _, err := old.Propose(c.ctx(), c.putCommand("k", "x")); err == nil {
		t.Fatal("committed without a log")
	}
	c.putElsewhere(old.id, "k", "v")
	if err := <-failed; !errors.Is(err, broken) {
		t.Fatal(err)
	}
	if _, err := old.Propose(c.ctx(), c.putCommand("k", "x")); !errors.Is(err, ErrNotLeader) {
		t.Fatalf("a stopped replica took a command: %v", err)
	}
	if _, err := get(c.ctx(), old, "k"); !errors.Is(err, ErrStopped) {
		t.Fatalf("a stopped replica answered: %v", err)
	}
}

func TestQueueIsBounded(t *testing.T) {
	c := newCluster(t, 1, 1, Options{QueueMax: 8})
	c.begin()
	lead := c.leader()
	hang := make(chan struct{})
	c.drives[0].log.mu.Lock()
	c.drives[0].log.hang = hang
	c.drives[0].log.mu.Unlock()
	var wg sync.WaitGroup
	results := make(chan error, 64)
	for i := range 64 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			_, err := lead.Propose(c.ctx(), c.putCommand(fmt.Sprint(i), "x"))
			results <- err
		}()
	}
	busy := 0
	for range 64 - 8 { // all but those that wait are refused while the log hangs
		if err := <-results; errors.Is(err, ErrBusy) {
			busy++
		} else {
			t.Fatal(err)
		}
	}
	close(hang)
	wg.Wait()
	for range 8 {
		check(t, <-results)
	}
	if busy != 56 {
		t.Fatalf("%d refused", busy)
	}
}

// TestI10_LostLogOrRows: what does not fit together is refused whole; no replica of it runs.
func TestI10_LostLogOrRows(t *testing.T) {
	c := newCluster(t, 3, 1, Options{LogBytes: 32 << 10})
	c.begin()
	w := c.startWriters(4)
	w.await(3000)
	w.cancel()
	w.wg.Wait()
	d := c.drives[0]
	if d.low() == 0 {
		t.Fatal("the log was not cut")
	}
	check(t, d.rows.Flush())

	t.Run("rows", func(t *testing.T) { // the log begins later than nothing
		other := *d
		other.fs, other.log = vfs.NewCrashableMem(), d.log.crash()
		if err := c.tryOpen(&other); !errors.Is(err, ErrLost) {
			t.Fatal(err)
		}
	})
	t.Run("tail of the log", func(t *testing.T) { // the rows are ahead of it
		other := *d
		other.fs, other.log = d.fs.CrashClone(vfs.CrashCloneCfg{}), d.log.crash()
		other.log.recs = other.log.recs[:len(other.log.recs)-20]
		// If the reset record that a cut wrote is in that tail, nothing names the replica any more.
		if err := c.tryOpen(&other); !errors.Is(err, ErrLost) && (err != nil || other.found != 0) {
			t.Fatalf("%v; the replica was %+v", err, d.host.Replica(testRange).Status())
		}
	})
	t.Run("whole log", func(t *testing.T) { // nothing names the rows
		other := *d
		other.fs, other.log = d.fs.CrashClone(vfs.CrashCloneCfg{}), newMemLog(nil, 0)
		check(t, c.tryOpen(&other))
		if other.found != 0 {
			t.Fatal("a replica without a log")
		}
	})
}

// tryOpen opens a host on d and closes it.
func (c *cluster) tryOpen(d *drive) error {
	rows := openRows(c.t, d.fs, nil)
	defer func() { check(c.t, rows.Close()) }()
	defer d.log.close()
	opt := c.opt
	opt.Mesh, opt.Transport = NewMesh(), nil
	opt.Drive, opt.Log, opt.Rows, opt.FS, opt.Staging = d.id, d.log, rows, d.fs, "incoming"
	h, err := Open(opt)
	if err != nil {
		return err
	}
	d.found = len(h.Replicas())
	h.Close()
	return nil
}

// TestBlankReplicaDoesNotPinTheLog: one that waits for its snapshot, of another range, holds up no cut.
func TestBlankReplicaDoesNotPinTheLog(t *testing.T) {
	c := newCluster(t, 1, 1, Options{LogBytes: 32 << 10})
	c.span.End = []byte("x")
	c.begin()
	h := c.drives[0].host
	check(t, h.Create(c.ctx(), Spec{Range: 2, Replica: 9, Generation: 1, Start: []byte("x")}))
	check(t, h.Start(c.ctx(), 2, false))
	w := c.startWriters(4)
	w.await(3000)
	w.cancel()
	w.wg.Wait()
	if c.drives[0].low() == 0 {
		t.Fatal("no segment was released")
	}
	c.crash(0, false)
	if r := c.drives[0].host.Replica(2); r == nil || !r.Blank() {
		t.Fatal("the blank replica did not outlive the cut")
	}
}

// TestSnapshotOfManyFiles brings up a blank replica from rows that fill several tables, while writes go on.
func TestSnapshotOfManyFiles(t *testing.T) {
	c := newCluster(t, 4, 1, Options{stagedFileBytes: 16 << 10})
	all := c.drives
	c.drives = all[:3]
	c.begin()
	c.drives = all
	lead := c.leader()
	for i := range 300 {
		_, err := c.put(c.ctx(), fmt.Sprintf("key-%04d", i*7919%10000), fmt.Sprintf("%0400d", i))
		check(t, err)
	}
	w := c.startWriters(4)
	blank := all[3].host
	check(t, blank.Create(c.ctx(), Spec{Range: testRange, Replica: 9, Generation: 1}))
	check(t, blank.Start(c.ctx(), testRange, false))
	// What lies in the range's spans must be gone afterwards.
	check(t, all[3].rows.Set(keys.AppendVersion(nil, keys.Versions, 1, "zzz", 1), []byte("stale"), pebble.NoSync))
	for {
		check(t, lead.Change(c.ctx(), nil, AddLearner(9)))
		ctx, cancel := context.WithTimeout(c.ctx(), 200*time.Millisecond)
		err := lead.Await(ctx, func(s Status) bool { return len(s.Learners) == 1 && s.Match[9] > 0 })
		cancel()
		if err == nil {
			break
		}
	}
	w.await(200)
	w.check()
	check(t, lead.Change(c.ctx(), nil, Promote(9), Drop(ids.Replica(lead.id%3+1))))
	check(t, lead.Await(c.ctx(), func(s Status) bool { return len(s.Voters) == 3 && !s.Joint && len(s.Learners) == 0 }))
	gone := c.drives[lead.id%3]
	check(t, gone.host.Remove(c.ctx(), testRange, ids.Replica(lead.id%3+1)))
	c.settle()
	c.crashAll()
	c.settle()
}

// TestSnapshotFilesDeleteWhatTheyCover: wherever the files of a snapshot end, also right where a span begins, they delete
// its spans whole, one after the other, and no deletion is empty: Pebble would keep such a one, and its compactions lose
// their place in it.
func TestSnapshotFilesDeleteWhatTheyCover(t *testing.T) {
	c := newCluster(t, 1, 1, Options{stagedFileBytes: 1})
	d := c.drives[0]
	check(t, d.host.Create(c.ctx(), Spec{Range: testRange, Replica: 9, Generation: 1}))
	check(t, d.host.Start(c.ctx(), testRange, false))
	sink, err := d.host.receiveSnapshot(SnapshotHeader{Envelope: Envelope{Range: testRange, To: 9, Generation: 1, Msg: &raftpb.Message{}}})
	check(t, err)
	defer sink.Abort()
	in := sink.(*incoming)
	spans := slices.Clone(in.spans)
	for i := range 10 {
		check(t, in.row(keys.AppendVersion(nil, keys.Versions, 1, fmt.Sprint("k", i), 1), []byte("head")))
	}
	check(t, in.row(keys.AppendRange(nil, keys.Applieds, testRange), []byte("applied")))
	for len(in.spans) > 1 {
		check(t, in.endSpan())
	}
	check(t, in.row(keys.AppendOwn(nil, testRange, 9, 0), []byte("own")))
	check(t, in.endSpan())
	check(t, in.closeFile())
	if len(in.out.paths) < 11 {
		t.Fatalf("%d files", len(in.out.paths))
	}
	opt := &pebble.Options{Comparer: keys.Comparer}
	opt.EnsureDefaults()
	var deleted []state.KeyRange
	for _, path := range in.out.paths {
		f, err := d.fs.Open(path)
		check(t, err)
		r, err := sstable.NewSimpleReadable(f)
		check(t, err)
		_, dels, _, err := sstable.ReadAll(r, opt.MakeReaderOptions(), nil)
		check(t, err)
		for _, s := range dels {
			if bytes.Compare(s.Start, s.End) >= 0 {
				t.Errorf("%s deletes [%x, %x)", path, s.Start, s.End)
			}
			begins := slices.ContainsFunc(spans, func(k state.KeyRange) bool { return bytes.Equal(k.Start, s.Start) })
			if n := len(deleted); n > 0 && bytes.Equal(deleted[n-1].End, s.Start) && !begins {
				deleted[n-1].End = s.End
			} else {
				deleted = append(deleted, state.KeyRange{Start: s.Start, End: s.End})
			}
		}
	}
	if !slices.EqualFunc(deleted, spans, func(a, b state.KeyRange) bool { return bytes.Equal(a.Start, b.Start) && bytes.Equal(a.End, b.End) }) {
		t.Errorf("deleted %x, want %x", deleted, spans)
	}
}
