package replica

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/internal/poll"
	"github.com/sherd-io/sherd/meta/keys"
	"github.com/sherd-io/sherd/meta/metapb"
	"github.com/sherd-io/sherd/meta/state"
)

// read reads a key at the leader of the range that has it.
func (c *cluster) read(key string) (body string, err error) {
	ctx, route := c.ctx(), keys.Route(1, key)
	for {
		r := c.anyServing(func(r *Replica) bool { return r.Covers(route) })
		if r != nil {
			body, err = get(ctx, r, key)
			switch {
			case errors.Is(err, ErrNotLeader), errors.Is(err, ErrStopped), !r.Covers(route):
			default:
				return body, err
			}
		}
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-time.After(time.Millisecond):
		}
	}
}

// propose has whoever leads a range commit op, under one request id.
func (c *cluster) propose(ctx context.Context, rng ids.Range, cmd *metapb.Command) (*metapb.Result, error) {
	id := ids.NewUpload(c.clock.Now())
	cmd.Request, cmd.Generation = id[:], 1
	for {
		if r := c.anyServing(func(r *Replica) bool { return r.rng == rng }); r != nil {
			try, cancel := context.WithTimeout(ctx, time.Second)
			cmd.Ts = uint64(c.clock.Now())
			res, err := r.Propose(try, cmd)
			cancel()
			if err == nil {
				return res, nil
			}
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(time.Millisecond):
		}
	}
}

// split has a range split before key, all three steps of it.
func (c *cluster) split(ctx context.Context, rng ids.Range, key string, child ids.Range) error {
	prepare := &metapb.PrepareSplit{At: keys.Route(1, key)}
	res, err := c.propose(ctx, rng, &metapb.Command{Op: &metapb.Command_PrepareSplit{PrepareSplit: prepare}})
	if err != nil || res.Code != metapb.Code_OK {
		return fmt.Errorf("prepare: %v, %w", res, err)
	}
	s, err := c.count(ctx, rng)
	if err != nil {
		return err
	}
	s.Child, s.Generation = uint64(child), 1
	for i := range c.drives {
		s.Replicas = append(s.Replicas, uint64(i+1))
	}
	res, err = c.propose(ctx, rng, &metapb.Command{Op: &metapb.Command_Split{Split: s}})
	if err != nil || res.Code != metapb.Code_OK {
		return fmt.Errorf("split: %v, %w", res, err)
	}
	return nil
}

func (c *cluster) count(ctx context.Context, rng ids.Range) (s *metapb.Split, err error) {
	for {
		if r := c.anyServing(func(r *Replica) bool { return r.rng == rng }); r != nil {
			err = r.Read(ctx, func(rows pebble.Reader) (err error) {
				snap := rows.(*pebble.DB).NewSnapshot()
				defer snap.Close()
				s, err = state.CountBehind(ctx, snap, r.Span())
				return err
			})
			if err == nil {
				return s, nil
			}
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), err)
		case <-time.After(time.Millisecond):
		}
	}
}

// checkCounters compares what each range counts with what it lists, at its leader.
func (c *cluster) checkCounters(ranges ...ids.Range) {
	c.t.Helper()
	for _, rng := range ranges {
		lead := c.leaderOf(rng)
		check(c.t, lead.Read(c.ctx(), func(rows pebble.Reader) error {
			snap := rows.(*pebble.DB).NewSnapshot()
			defer snap.Close()
			span, err := lead.ReadSpan(snap)
			if err != nil {
				return err
			}
			n, err := state.CountersOf(snap, rng, 1)
			if err != nil {
				return err
			}
			page, err := state.List(snap, span, state.ListRequest{Bucket: 1, Max: 1 << 20}, nil)
			if int(n.Objects) != page.Count {
				c.t.Fatalf("I20: range %d counts %d keys and lists %d", rng, n.Objects, page.Count)
			}
			return err
		}))
	}
}

// whole fails if a replica of the drive is half split: the parent without the child's first rows, or these without it.
func (d *drive) whole(t *testing.T, borders map[ids.Range]string) {
	t.Helper()
	has := func(key []byte) bool {
		_, closer, err := d.rows.Get(key)
		if errors.Is(err, pebble.ErrNotFound) {
			return false
		}
		check(t, err)
		check(t, closer.Close())
		return true
	}
	for child, key := range borders {
		id, parted := ids.Replica(0), true
		for _, r := range d.host.Replicas() {
			id = r.id // the same for all ranges of a drive
			parted = parted && (r.unborn || r.rng == child || !r.conf.span.Contains(keys.Route(1, key)))
		}
		if id == 0 {
			continue
		}
		own, applied := has(keys.AppendOwn(nil, child, id, ownConf)), has(keys.AppendRange(nil, keys.Applieds, child))
		if own != parted || applied != parted {
			t.Fatalf("I20: the parent of range %d has split: %v; the child's own row: %v, its applied: %v", child, parted, own, applied)
		}
	}
}

func TestI20_SplitUnderLoad(t *testing.T) {
	c := newCluster(t, 3, 1, Options{})
	c.begin()
	w := c.startWriters(8)
	w.await(100)
	for i, key := range []string{"writer-4", "writer-2", "writer-6"} {
		parent := []ids.Range{1, 1, 2}[i]
		check(t, c.split(c.ctx(), parent, key, ids.Range(i+2)))
		w.await(w.total() + 200)
	}
	w.check()
	for rng := ids.Range(1); rng <= 4; rng++ {
		c.settleRange(rng)
	}
	c.checkCounters(1, 2, 3, 4)
	if lead := c.leaderOf(3); lead.Covers(keys.Route(1, "writer-1")) || !lead.Covers(keys.Route(1, "writer-3")) || lead.Covers(keys.Route(1, "writer-4")) {
		t.Fatalf("range 3 has %v", lead.Span())
	}
}

// TestI20_RetryAfterASplitGetsTheFirstResult: the request's own range knows it, though the key is another's by now; and a
// request that it did not apply it never will (I1).
func TestI20_RetryAfterASplitGetsTheFirstResult(t *testing.T) {
	c := newCluster(t, 3, 1, Options{})
	c.begin()
	known, late := c.putCommand("k", "first"), c.putCommand("k", "late")
	first, err := c.leader().Propose(c.ctx(), known)
	check(t, err)
	check(t, c.split(c.ctx(), 1, "h", 2))
	again, err := c.leader().Propose(c.ctx(), known)
	check(t, err)
	if again.GetTs() != first.GetTs() || again.Code != metapb.Code_OK {
		t.Fatalf("the retry got %v, the first %v", again, first)
	}
	for range 2 {
		res, err := c.leader().Propose(c.ctx(), late)
		check(t, err)
		if res.Code != metapb.Code_STALE_RANGE {
			t.Fatalf("the parent answers %v", res)
		}
	}
	if body, err := c.read("k"); err != nil || body != "first" {
		t.Fatalf("%q, %v", body, err)
	}
}

// TestI20_CrashesSplitWholeOrNot cuts the power of drives, one or all, while ranges split: after each cut a replica has
// split or not, and in the end all of a range have the same rows.
func TestI20_CrashesSplitWholeOrNot(t *testing.T) {
	for seed := range seeds(6, 200) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			c := newCluster(t, 3, uint64(seed), Options{}) // its log is not cut: a snapshot past a split brings no child
			c.begin()
			w := c.startWriters(8)
			borders := map[ids.Range]string{}
			for i, key := range []string{"writer-4", "writer-2", "writer-6", "writer-1"} {
				child := ids.Range(i + 2)
				borders[child] = key
				w.await(w.total() + 20 + c.rng.IntN(100))
				done := make(chan error, 1)
				go func() { done <- c.split(c.ctx(), []ids.Range{1, 1, 2, 1}[i], key, child) }()
				time.Sleep(time.Duration(c.rng.IntN(6)) * time.Millisecond) // a cut at any moment is what is tested
				switch c.rng.IntN(3) {
				case 0:
					c.crash(c.rng.IntN(3), true)
				case 1:
					c.crash(c.rng.IntN(3), true)
					w.await(w.total() + 5)
					c.crash(c.rng.IntN(3), true)
				default:
					c.crashAll()
				}
				for _, d := range c.drives {
					check(t, d.host.do(c.ctx(), func() error { d.whole(t, borders); return nil }))
				}
				if err := <-done; err != nil {
					c.completeSplit(key, []ids.Range{1, 1, 2, 1}[i], child)
				}
			}
			w.await(w.total() + 50)
			w.check()
			for rng := ids.Range(1); rng <= 5; rng++ {
				c.settleRange(rng)
			}
			c.checkCounters(1, 2, 3, 4, 5)
		})
	}
}

// completeSplit makes a split again whose preparation or count was lost: the next look does so.
func (c *cluster) completeSplit(key string, rng, child ids.Range) {
	c.t.Helper()
	if c.leaderOf(rng).Covers(keys.Route(1, key)) {
		check(c.t, c.split(c.ctx(), rng, key, child))
	}
}

// TestI10_ChildKeepsWhatItPromisedBeforeItsRows: the power goes when the child has acknowledged writes and the rows do not
// even have the split. Its log waits for the parent's, and then has them.
func TestI10_ChildKeepsWhatItPromisedBeforeItsRows(t *testing.T) {
	c := newCluster(t, 3, 1, Options{})
	c.begin()
	_, err := c.put(c.ctx(), "a", "1")
	check(t, err)
	check(t, c.split(c.ctx(), 1, "h", 2))
	for i := range 50 {
		_, err := c.put(c.ctx(), fmt.Sprintf("k%02d", i), "2")
		check(t, err)
	}
	c.settleRange(2)
	for _, d := range c.drives {
		d.log.close()
		d.host.Close()
	}
	for i, d := range c.drives {
		log, fs := d.log.crash(), d.fs.CrashClone(vfs.CrashCloneCfg{RNG: rand.New(rand.NewPCG(1, 1))}) // nothing that was not synced
		c.stop(i)
		d.log, d.fs = log, fs
		c.open(i)
		r := d.host.Replica(2)
		if r == nil || !r.unborn || r.store.lastIndex() < 50 {
			t.Fatalf("drive %d: the child is %+v", i, r)
		}
		if err := d.host.Start(c.ctx(), 2, false); !errors.Is(err, ErrUnborn) {
			t.Fatalf("a child without rows takes part: %v", err)
		}
		if err := d.host.Remove(c.ctx(), 2, r.id); !errors.Is(err, ErrBusy) {
			t.Fatalf("a child that the parent's log may yet bring is removed: %v", err)
		}
		check(t, d.host.Start(c.ctx(), testRange, true))
	}
	for i := range 50 {
		if body, err := c.read(fmt.Sprintf("k%02d", i)); err != nil || body != "2" {
			t.Fatalf("k%02d is %q, %v", i, body, err)
		}
	}
	c.settleRange(1)
	c.settleRange(2)
	c.checkCounters(1, 2)
}

// TestI20_LaggingParentKeepsItsSpan: a replica that has not split is not overwritten by its child's rows. When a snapshot
// takes it past the split, it has no child (I10); a new one, under another id, is brought up by the child's leader.
func TestI20_LaggingParentKeepsItsSpan(t *testing.T) {
	c := newCluster(t, 3, 1, Options{LogBytes: 32 << 10})
	c.begin()
	lead := c.leader()
	behind := c.drives[int(lead.id)%3]
	cut := behind.host.Replica(testRange).id
	c.net.set(func(e Envelope) bool { return e.From == cut || e.To == cut })
	w := c.startWriters(8)
	check(t, c.split(c.ctx(), 1, "writer-4", 2))
	blank := Spec{Range: 2, Replica: 9, Generation: 1, Start: keys.Route(1, "writer-4")}
	if err := behind.host.Create(c.ctx(), blank); !errors.Is(err, ErrOverlap) {
		t.Fatalf("a replica is laid over its parent's rows: %v", err)
	}
	w.await(w.total() + 4000) // the leader's log is cut: only a snapshot helps
	poll.True(t, poll.Within, "a log that was cut past the split", func() bool { return lead.host.logBegins(1) > 20 })
	c.net.set(nil)
	r := behind.host.Replica(testRange)
	poll.True(t, poll.Within, "a parent that is past the split", func() bool { return !r.Covers(keys.Route(1, "writer-4")) })
	if behind.host.Replica(2) != nil {
		t.Fatal("a child was made out of nothing")
	}
	n := 0
	check(t, r.ReadStale(func(rows pebble.Reader) error {
		page, err := state.List(rows, state.Span{ID: 2, Start: blank.Start}, state.ListRequest{Bucket: 1, Max: 10}, nil)
		n = page.Count
		return err
	}))
	if n != 0 {
		t.Fatalf("%d keys of nobody's are left", n)
	}
	check(t, behind.host.Create(c.ctx(), blank))
	check(t, behind.host.Start(c.ctx(), 2, false))
	poll.Nil(t, poll.Within, "a learner", func() error {
		return c.leaderOf(2).Change(c.ctx(), nil, AddLearner(9))
	})
	learner := behind.host.Replica(2)
	poll.True(t, poll.Within, "a learner's snapshot", func() bool { return learner.Status().Applied > 1 })
	w.await(w.total() + 100)
	w.check()
	c.settleRange(1)
	c.settleRange(2)
	c.checkCounters(1, 2)
}

// logBegins is after which entry a replica's log begins.
func (h *Host) logBegins(rng ids.Range) (index uint64) {
	_ = h.do(context.Background(), func() error { index = h.Replica(rng).store.start.index; return nil })
	return index
}

// TestI15_LongerSpanTakesNothing: what a recovery went on with may end later than a replica was made to: nothing of its rows goes.
func TestI15_LongerSpanTakesNothing(t *testing.T) {
	c := newCluster(t, 1, 1, Options{})
	c.begin()
	for i := range 10 {
		_, err := c.put(c.ctx(), fmt.Sprint("k", i), "x")
		check(t, err)
	}
	h := c.drives[0].host
	r := h.Replica(testRange)
	before, _, err := r.hash()
	check(t, err)
	for _, was := range []string{"m", "k5"} {
		check(t, h.do(c.ctx(), func() error { return r.leave(state.Span{ID: testRange, End: keys.Route(1, was)}) }))
	}
	if after, _, err := r.hash(); err != nil || after != before {
		t.Errorf("its rows are others: %v", err)
	}
}
