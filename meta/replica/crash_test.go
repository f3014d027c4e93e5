package replica

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/sherd-io/sherd/internal/hlc"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/internal/poll"
	"github.com/sherd-io/sherd/meta/state"
)

// writers commit numbered bodies to keys of their own and remember the last acknowledged of each.
type writers struct {
	c      *cluster
	cancel context.CancelFunc
	wg     sync.WaitGroup
	mu     sync.Mutex
	acked  map[string]int
	tried  map[string]int
}

func (c *cluster) startWriters(n int) *writers {
	ctx, cancel := context.WithCancel(context.Background())
	w := &writers{c: c, cancel: cancel, acked: map[string]int{}, tried: map[string]int{}}
	for i := range n {
		w.wg.Add(1)
		go w.run(ctx, fmt.Sprintf("writer-%d", i))
	}
	return w
}

func (w *writers) run(ctx context.Context, key string) {
	defer w.wg.Done()
	for n := 1; ctx.Err() == nil; n++ {
		w.mu.Lock()
		w.tried[key] = n
		w.mu.Unlock()
		if _, err := w.c.put(ctx, key, fmt.Sprint(n)); err != nil {
			return
		}
		w.mu.Lock()
		w.acked[key] = n
		w.mu.Unlock()
	}
}

func (w *writers) total() (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, v := range w.acked {
		n += v
	}
	return n
}

// await waits until so many writes were acknowledged in all.
func (w *writers) await(n int) {
	w.c.t.Helper()
	poll.Nil(w.c.t, poll.Within, "acknowledged writes", func() error {
		if got := w.total(); got < n {
			return fmt.Errorf("%d, want %d", got, n)
		}
		return nil
	})
}

// check wants each key to hold what was acknowledged last, or tried since.
func (w *writers) check() {
	w.c.t.Helper()
	w.cancel()
	w.wg.Wait()
	for key, last := range w.acked {
		body, err := w.c.read(key)
		if errors.Is(err, state.ErrNoSuchKey) && last == 0 {
			continue
		}
		check(w.c.t, err)
		var n int
		if _, err := fmt.Sscan(body, &n); err != nil || n < last || n > w.tried[key] {
			w.c.t.Fatalf("%s holds %q, acknowledged %d, tried %d", key, body, last, w.tried[key])
		}
	}
}

// soak makes the seeded tests run their full counts.
var soak = flag.Bool("soak", false, "full counts")

func seeds(few, many int) int {
	if *soak {
		return many
	}
	return few
}

func TestI17_CrashesKeepWhatWasAcknowledged(t *testing.T) {
	for seed := range seeds(4, 200) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			c := newCluster(t, 5, uint64(seed), Options{LogBytes: 64 << 10})
			c.begin()
			w := c.startWriters(8)
			for round := range 6 {
				w.await(w.total() + 20 + c.rng.IntN(200))
				for range 1 + c.rng.IntN(2) { // a minority
					c.crash(c.rng.IntN(5), true)
				}
				if round == 3 {
					c.crashAll()
				}
			}
			w.check()
			c.settle()
		})
	}
}

// crashAll cuts the power of all drives at once.
func (c *cluster) crashAll() {
	for _, d := range c.drives {
		d.log.close()
	}
	for _, d := range c.drives {
		d.host.Close()
	}
	for i := range c.drives {
		c.crash(i, false)
	}
}

func TestI17_LogIsCutBelowWhatIsFlushed(t *testing.T) {
	c := newCluster(t, 3, 1, Options{LogBytes: 32 << 10})
	c.begin()
	w := c.startWriters(4)
	w.await(3000)
	for i := range c.drives {
		if low := c.drives[i].low(); low == 0 {
			t.Errorf("drive %d: no segment was released", i)
		}
	}
	c.crashAll()
	w.await(w.total() + 100)
	w.check()
	c.settle()
}

// TestI17_RestingLogIsShort: a log that is not appended to is cut to its last segment, but not while a peer lacks some of it.
func TestI17_RestingLogIsShort(t *testing.T) {
	c := newCluster(t, 3, 1, Options{LogBytes: 1 << 30, Rest: 100 * time.Millisecond})
	c.begin()
	w := c.startWriters(4)
	w.await(1000)
	behind := ids.Replica(3)
	if c.leader().id == behind {
		behind = 2
	}
	c.net.set(func(e Envelope) bool { return e.From == behind || e.To == behind })
	w.await(w.total() + 1000)
	w.cancel()
	w.wg.Wait()
	leader := c.leader()
	short := func(d *drive) {
		t.Helper()
		poll.True(t, poll.Within, "a log of one segment", func() bool { return d.segments() == 1 })
	}
	for _, d := range c.drives {
		if d.host != leader.host && d.host.Replica(testRange).id != behind {
			short(d)
		}
	}
	for _, d := range c.drives {
		if d.host == leader.host && d.segments() == 1 {
			t.Fatal("the leader's log was cut while a peer lacked some of it")
		}
	}
	c.net.set(nil)
	for _, d := range c.drives {
		short(d)
	}
	c.crashAll()
	w.check()
	c.settle()
}

// segments is how many segments of the log there are.
func (d *drive) segments() int {
	d.log.mu.Lock()
	defer d.log.mu.Unlock()
	return (len(d.log.recs)-1)/d.log.per - d.log.low/d.log.per + 1
}

func (d *drive) low() int {
	d.log.mu.Lock()
	defer d.log.mu.Unlock()
	return d.log.low
}

func TestLeaderIsSucceeded(t *testing.T) {
	c := newCluster(t, 3, 1, Options{})
	c.begin()
	w := c.startWriters(4)
	for range 3 {
		w.await(w.total() + 50)
		old := c.leader()
		for i, d := range c.drives {
			if d.host == old.host {
				c.crash(i, true)
			}
		}
	}
	w.await(w.total() + 50)
	w.check()
	c.settle()
}

func TestI1_RetryGetsTheFirstResult(t *testing.T) {
	c := newCluster(t, 3, 1, Options{})
	c.begin()
	cmd := c.putCommand("k", "first")
	first, err := c.leader().Propose(c.ctx(), cmd)
	check(t, err)
	if _, err := c.put(c.ctx(), "k", "second"); err != nil {
		t.Fatal(err)
	}
	again, err := c.leader().Propose(c.ctx(), cmd)
	check(t, err)
	if again.GetTs() != first.GetTs() {
		t.Fatalf("retry got stamp %v, the first %v", hlc.Stamp(again.GetTs()), hlc.Stamp(first.GetTs()))
	}
	if body, err := get(c.ctx(), c.leader(), "k"); err != nil || body != "second" {
		t.Fatalf("retry acted again: %q, %v", body, err)
	}
}

// TestI8_LeaseReadIsNeverStale cuts the leader off while it goes on reading: from the moment another leader has
// acknowledged a write, no read at the old one that began after it may return what was before.
func TestI8_LeaseReadIsNeverStale(t *testing.T) {
	c := newCluster(t, 5, 1, Options{})
	c.begin()
	_, err := c.put(c.ctx(), "k", "0")
	check(t, err)
	for round := 1; round <= seeds(4, 50); round++ {
		old := c.leader()
		cut := old.id
		c.net.set(func(e Envelope) bool { return e.From == cut || e.To == cut })
		stop := make(chan struct{})
		stale := make(chan string, 1)
		var acked sync.Map
		var wg sync.WaitGroup
		for range 2 {
			wg.Add(1)
			go func() {
				defer wg.Done()
				for {
					select {
					case <-stop:
						return
					default:
					}
					_, newer := acked.Load(round) // acknowledged before the read begins
					ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
					body, err := get(ctx, old, "k")
					cancel()
					if err == nil && newer && body != fmt.Sprint(round) {
						select {
						case stale <- body:
						default:
						}
					}
				}
			}()
		}
		c.putElsewhere(cut, "k", fmt.Sprint(round))
		acked.Store(round, true)
		time.Sleep(c.opt.Tick * 3) // time is what is tested: a stale read may come only this long, and that none comes cannot be awaited
		close(stop)
		wg.Wait()
		select {
		case body := <-stale:
			t.Fatalf("round %d: read %q after the write was acknowledged", round, body)
		default:
		}
		c.net.set(nil)
	}
	c.settle()
}

// putElsewhere commits by another leader than not.
func (c *cluster) putElsewhere(not ids.Replica, key, body string) {
	c.t.Helper()
	ctx := c.ctx()
	cmd := c.putCommand(key, body)
	for {
		for _, h := range c.mesh.snapshot() {
			r := h.Replica(testRange)
			if r == nil || r.id == not || !r.Serving() {
				continue
			}
			try, cancel := context.WithTimeout(ctx, time.Second)
			_, err := r.Propose(try, cmd)
			cancel()
			if err == nil {
				return
			}
		}
		select {
		case <-ctx.Done():
			c.t.Fatal("nobody else leads")
		case <-time.After(time.Millisecond):
		}
	}
}

func TestRandomDropsAndDelays(t *testing.T) {
	c := newCluster(t, 5, 3, Options{})
	c.begin()
	c.leader()
	rng := rand.New(rand.NewPCG(3, 3))
	var mu sync.Mutex
	random := func(n int) int { mu.Lock(); defer mu.Unlock(); return rng.IntN(n) }
	c.net.mu.Lock()
	c.net.drop = func(Envelope) bool { return random(10) == 0 }
	c.net.late = func(Envelope) time.Duration {
		if random(10) == 0 {
			return time.Duration(random(30)) * time.Millisecond
		}
		return 0
	}
	c.net.mu.Unlock()
	w := c.startWriters(8)
	w.await(500)
	c.net.mu.Lock()
	c.net.drop, c.net.late = nil, nil
	c.net.mu.Unlock()
	w.check()
	c.settle()
	c.net.wg.Wait()
}

// TestI17_SnapshotThatDidNotArrive cuts the power between a snapshot's log record and its rows. The log before holds,
// and must still hold after the rows have come past the snapshot's index by themselves.
func TestI17_SnapshotThatDidNotArrive(t *testing.T) {
	c := newCluster(t, 3, 1, Options{})
	c.begin()
	w := c.startWriters(4)
	w.await(50)
	d := c.drives[(int(c.leader().id))%3] // a follower
	r := d.host.Replica(testRange)
	check(t, d.host.do(c.ctx(), func() error {
		_, err := d.host.appendSync([][]byte{r.resetRecord(ingested, entryID{r.at.index + 500, r.term}, r.conf, nil)})
		return err
	}))
	for range 3 {
		for i := range c.drives {
			if c.drives[i] == d {
				c.crash(i, true)
			}
		}
		w.await(w.total() + 600)
	}
	w.check()
	c.settle()
}

// TestI17_SnapshotThatDidNotArriveCommitsNothing: a crash between a snapshot's log record, which says that all before its index is committed,
// and its rows: what the log before holds may be the tail of a leader that was deposed, and is not committed by that.
func TestI17_SnapshotThatDidNotArriveCommitsNothing(t *testing.T) {
	c := newCluster(t, 3, 1, Options{})
	c.begin()
	_, err := c.put(c.ctx(), "k", "committed")
	check(t, err)
	old := c.leader()
	d := c.driveOf(old)
	c.net.set(func(e Envelope) bool { return e.From == old.id || e.To == old.id })
	ctx, cancel := context.WithTimeout(c.ctx(), 5*c.opt.Tick)
	_, err = old.Propose(ctx, c.putCommand("ghost", "never committed"))
	cancel()
	if err == nil {
		t.Fatal("a leader that is cut off has committed")
	}
	ghost := old.Status().LastIndex
	c.putElsewhere(old.id, "k", "in its place")
	check(t, d.host.do(c.ctx(), func() error {
		hard, snap := old.store.hard, entryID{old.at.index + 500, old.term + 1}
		defer func() { old.store.hard = hard }()
		old.store.hard = &pb.HardState{Term: new(snap.term), Vote: new(uint64(0)), Commit: new(snap.index)}
		_, err := d.host.appendSync([][]byte{old.resetRecord(ingested, snap, old.conf, nil)})
		return err
	}))
	c.crash(slices.Index(c.drives, d), true)
	if s := d.host.Replica(testRange).Status(); s.LastIndex < ghost || s.Commit >= ghost {
		t.Fatalf("log up to %d, committed up to %d; %d never was", s.LastIndex, s.Commit, ghost)
	}
	c.net.set(nil)
	c.settle()
}

// TestI17_SnapshotIsDurableWhenTaken: what a replica has acknowledged after a snapshot outlives a power cut that comes before Pebble has
// flushed anything.
func TestI17_SnapshotIsDurableWhenTaken(t *testing.T) {
	c := newCluster(t, 4, 1, Options{})
	all := c.drives
	d := all[3]
	var hold atomic.Bool
	flushing, release := make(chan struct{}, 1), make(chan struct{})
	d.flush = func() {
		if hold.Load() {
			select {
			case flushing <- struct{}{}:
			default:
			}
			<-release
		}
	}
	c.crash(3, false)
	c.drives = all[:3]
	c.begin()
	c.drives = all
	for i := range 50 {
		_, err := c.put(c.ctx(), fmt.Sprint("before", i), "x")
		check(t, err)
	}
	lead := c.leader()
	hold.Store(true)
	check(t, d.host.Create(c.ctx(), Spec{Range: testRange, Replica: 9, Generation: 1}))
	check(t, d.host.Start(c.ctx(), testRange, false))
	for len(flushing) == 0 && lead.Status().Match[9] == 0 { // it takes the snapshot in
		ctx, cancel := context.WithTimeout(c.ctx(), 200*time.Millisecond)
		check(t, lead.Change(c.ctx(), nil, AddLearner(9)))
		_ = lead.Await(ctx, func(s Status) bool { return s.Match[9] > 0 }) // Raft may have dropped the change
		cancel()
	}
	for i := range 50 { // it may acknowledge these, too
		_, err := c.put(c.ctx(), fmt.Sprint("after", i), "x")
		check(t, err)
	}
	acknowledged := lead.Status().Match[9]
	after := &drive{id: d.id, log: d.log.crash(), fs: d.fs.CrashClone(vfs.CrashCloneCfg{})}
	hold.Store(false)
	close(release)
	if err := c.tryOpen(after); err != nil || after.found != 1 {
		t.Errorf("with %d acknowledged, after the power cut: %d replicas, %v", acknowledged, after.found, err)
	}
	c.settle()
}

// TestI4_LongLogIsAdopted: a replica that goes on alone after a time of many writes, whose log no single record could hold.
func TestI4_LongLogIsAdopted(t *testing.T) {
	c := newCluster(t, 2, 1, Options{LogBytes: 64 << 20})
	c.begin()
	body := strings.Repeat("x", 60<<10)
	for i := range 2 * recordBytesMax / len(body) {
		_, err := c.put(c.ctx(), fmt.Sprint("k", i%20), body)
		check(t, err)
	}
	c.stop(1)
	d := c.drives[0]
	for range 2 {
		check(t, d.host.Adopt(c.ctx(), testRange, 2, []ids.Replica{1}, nil))
		_, err := c.put(c.ctx(), "alone", body)
		check(t, err)
		c.crash(0, false)
	}
	if got, err := get(c.ctx(), c.leader(), "k7"); err != nil || got != body {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}
