package meta

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/sherd-io/sherd/internal/hlc"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/internal/poll"
	"github.com/sherd-io/sherd/meta/keys"
	"github.com/sherd-io/sherd/meta/metapb"
	"github.com/sherd-io/sherd/meta/state"
	"github.com/sherd-io/sherd/placement"
)

// loaded is writers that put and delete keys of their own, while others list and count.
type loaded struct {
	tn     *testNode
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	failed atomic.Pointer[error]

	mu    sync.Mutex
	there map[string]bool // acknowledged
	doubt map[string]bool // being put or deleted
	wrote map[string]int  // how often
	puts  int
}

// load starts writers; each has keys all over the bucket.
func (tn *testNode) load(writers int) *loaded {
	ctx, cancel := context.WithCancel(context.Background())
	l := &loaded{tn: tn, ctx: ctx, cancel: cancel, there: map[string]bool{}, doubt: map[string]bool{}, wrote: map[string]int{}}
	for w := range writers {
		l.wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				l.write(fmt.Sprintf("%02d/%d", (i*7+w)%100, w), i%3 == 2)
			}
		})
	}
	return l
}

func (l *loaded) fail(err error) {
	if err != nil && l.ctx.Err() == nil {
		l.failed.CompareAndSwap(nil, &err)
	}
}

func (l *loaded) write(key string, remove bool) {
	l.mu.Lock()
	l.doubt[key] = true
	l.wrote[key]++
	l.mu.Unlock()
	var err error
	if remove {
		_, err = l.tn.node.DeleteVersions(context.Background(), 0, &metapb.DeleteVersions{Bucket: uint64(bucket), Keys: []string{key}})
	} else {
		_, err = l.tn.node.PutVersion(context.Background(), 0, putOf(key, key))
	}
	l.fail(err)
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.doubt, key)
	l.there[key] = !remove
	l.puts++
}

// known is which keys are there for sure, and how often they were written.
func (l *loaded) known() map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	known := map[string]int{}
	for k, there := range l.there {
		if there && !l.doubt[k] {
			known[k] = l.wrote[k]
		}
	}
	return known
}

// watch lists all keys, a small page at a time, again and again: what was there before the listing and was not touched
// during it is in it, once, in order. So many are counted, too.
func (l *loaded) watch() {
	l.wg.Go(func() {
		for l.ctx.Err() == nil {
			before := l.known()
			listed, err := l.tn.listAll(7)
			l.fail(err)
			c, err := l.tn.node.Counters(l.ctx, bucket)
			l.fail(err)
			untouched := 0
			for k, n := range l.known() {
				if before[k] != n {
					continue
				}
				if _, found := slices.BinarySearch(listed, k); !found {
					l.fail(fmt.Errorf("%s is not listed", k))
				}
				untouched++
			}
			if int(c.GetObjects()) < untouched && l.ctx.Err() == nil {
				l.fail(fmt.Errorf("I20: %d keys are counted, %d were there all the time", c.GetObjects(), untouched))
			}
			if !slices.IsSorted(listed) || len(slices.Compact(slices.Clone(listed))) != len(listed) {
				l.fail(fmt.Errorf("a listing is not in order, or has a key twice: %q", listed))
			}
		}
	})
}

func (tn *testNode) listAll(page int) (all []string, err error) {
	req := ListRequest{Bucket: bucket, Max: page}
	for {
		p, err := tn.node.List(context.Background(), req, nil)
		if err != nil {
			return nil, err
		}
		for rest := p.Entries; ; {
			var e Entry
			next, ok := NextEntry(rest, &e)
			if !ok {
				break
			}
			all, rest = append(all, string(e.Key)), next
		}
		if !p.Truncated {
			return all, nil
		}
		req.After = p.Next
	}
}

// await waits until so many more writes were acknowledged.
func (l *loaded) await(n int) {
	l.tn.t.Helper()
	l.mu.Lock()
	want := l.puts + n
	l.mu.Unlock()
	poll.True(l.tn.t, poll.Within, "acknowledged writes", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.puts >= want || l.failed.Load() != nil
	})
}

// end stops all and compares what is there with what was acknowledged.
func (l *loaded) end() {
	t := l.tn.t
	t.Helper()
	l.cancel()
	l.wg.Wait()
	if err := l.failed.Load(); err != nil {
		t.Fatal(*err)
	}
	var want []string
	for k, there := range l.there {
		if there {
			want = append(want, k)
		}
	}
	slices.Sort(want)
	listed, err := l.tn.listAll(1000)
	check(t, err)
	if !slices.Equal(listed, want) {
		t.Fatalf("%d keys are listed, %d are there", len(listed), len(want))
	}
	c, err := l.tn.node.Counters(l.tn.ctx(), bucket)
	check(t, err)
	if int(c.Objects) != len(want) {
		t.Fatalf("I20: counters have %d, there are %d", c.Objects, len(want))
	}
	l.tn.sameRows()
}

// sameRows compares the rows of all replicas of all ranges at equal applied index (I17), and their counters with their rows.
func (tn *testNode) sameRows() {
	tn.t.Helper()
	for _, row := range tn.node.Ranges() {
		poll.Nil(tn.t, poll.Within, "replicas that have applied the same", func() error {
			type at struct {
				index uint64
				sum   [16]byte
			}
			var all []at
			for _, h := range tn.node.allHosts() {
				r := h.Replica(row.ID)
				if r == nil {
					continue
				}
				var a at
				err := r.ReadStale(snapshotted(func(rows pebble.Reader) error {
					span, err := r.ReadSpan(rows)
					if err != nil {
						return err
					}
					applied, err := state.ReadApplied(rows, row.ID)
					if err != nil {
						return err
					}
					a.index = applied.Index
					a.sum, err = state.Hash(rows, span)
					return err
				}))
				if err != nil {
					return err
				}
				all = append(all, a)
			}
			for _, a := range all {
				if a.index != all[0].index {
					return fmt.Errorf("range %d is at %d and %d", row.ID, all[0].index, a.index)
				}
				if a.sum != all[0].sum {
					tn.t.Fatalf("I17: rows of range %d differ at %d", row.ID, a.index)
				}
			}
			return nil
		})
	}
}

// TestI20_SplitsAtFullRate splits a range, and its children, while 16 writers put and delete as fast as they can: nothing fails,
// every listing has what is there, once, and the counters are exact.
func TestI20_SplitsAtFullRate(t *testing.T) {
	tn := newNode(t, nodeConfig{drives: 3, seed: 1})
	l := tn.load(16)
	l.watch()
	l.await(500)
	for _, s := range []struct {
		id  ids.Range
		key string
	}{{1, "50"}, {1, "25"}, {2, "75"}, {3, "40"}} {
		tn.split(s.id, s.key)
		l.await(300)
	}
	l.end()
	if n := len(tn.node.Ranges()); n != 5 {
		t.Fatalf("%d ranges", n)
	}
}

// TestI20_MapNeedNotKnow: between the split and its record, as long as etcd may be away, the child is served; so it is after a
// crash in between, and the split is found made then.
func TestI20_MapNeedNotKnow(t *testing.T) {
	tn := newNode(t, nodeConfig{drives: 3, seed: 2})
	tn.put("a", "1")
	tn.put("x", "1")
	tn.order(1, keys.Route(bucket, "m"))
	tn.makeSplit(1)
	tn.put("x", "2")
	tn.want("x", "2")
	if all, err := tn.listAll(10); err != nil || len(all) != 2 {
		t.Fatal(all, err)
	}
	tn.crashAll()
	tn.want("x", "2")
	tn.put("x", "3")
	check(t, tn.node.Split(tn.ctx(), 1)) // the next look finds it made
	tn.recordSplit(1)
	check(t, tn.node.Reconcile(tn.ctx()))
	tn.want("x", "3")
	tn.want("a", "1")
	if tn.lost != nil {
		t.Fatalf("lost: %v", tn.lost)
	}
	tn.sameRows()
}

// TestI15_AbsentIsNotAnswered: a process whose map knows nothing of the split does not take a key of the child's for absent.
func TestI15_AbsentIsNotAnswered(t *testing.T) {
	tn := newNode(t, nodeConfig{drives: 3, seed: 3})
	tn.put("x", "1")
	old := tn.current()
	tn.split(1, "m")
	tn.put("x", "2")
	now := tn.current()
	tn.setMap(old)
	tn.node.splits.Store(nil)
	for _, read := range []func(ctx context.Context) error{
		func(ctx context.Context) error {
			_, _, err := tn.node.Get(ctx, bucket, "x", GetOptions{})
			return err
		},
		func(ctx context.Context) error {
			_, err := tn.node.Referenced(ctx, bucket, "x", ids.Upload{1})
			return err
		},
		func(ctx context.Context) error {
			_, _, err := tn.node.ListParts(ctx, bucket, "x", ids.Upload{1}, 0, 1)
			return err
		},
		func(ctx context.Context) error {
			_, err := tn.node.List(ctx, ListRequest{Bucket: bucket, Max: 9}, nil)
			return err
		},
		func(ctx context.Context) error { _, err := tn.node.Counters(ctx, bucket); return err },
		func(ctx context.Context) error { _, err := tn.node.PutVersion(ctx, 0, putOf("x", "3")); return err },
		func(ctx context.Context) error { return tn.node.Seal(ctx, bucket, false) },
	} {
		ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
		if err := read(ctx); !errors.Is(err, ErrUnavailable) {
			t.Errorf("by an old map: %v", err)
		}
		cancel()
	}
	tn.setMap(now)
	tn.want("x", "2")
}

func (tn *testNode) setMap(m *placement.Map) {
	tn.mu.Lock()
	defer tn.mu.Unlock()
	tn.m = m
}

// TestI20_SealIsNotLost: a bucket sealed before, while and after its range splits takes nothing in any of its ranges.
func TestI20_SealIsNotLost(t *testing.T) {
	tn := newNode(t, nodeConfig{drives: 3, seed: 4})
	tn.put("a", "1")
	check(t, tn.node.Seal(tn.ctx(), bucket, false))
	tn.split(1, "m")
	sealed := func(want bool) {
		t.Helper()
		for _, key := range []string{"a", "g", "m", "x"} {
			if _, err := tn.node.PutVersion(tn.ctx(), 0, putOf(key, "2")); errors.Is(err, ErrSealed) != want {
				t.Errorf("%s: %v", key, err)
			}
		}
	}
	sealed(true)
	check(t, tn.node.Seal(tn.ctx(), bucket, true))
	sealed(false)
	tn.order(2, keys.Route(bucket, "t"))
	tn.makeSplit(2) // the map does not say so
	check(t, tn.node.Seal(tn.ctx(), bucket, false))
	tn.recordSplit(2)
	sealed(true)
	if _, err := tn.node.PutVersion(tn.ctx(), 0, &metapb.PutVersion{
		Bucket: 2, Key: "x", Inline: []byte{}, HasInline: true, Version: &metapb.Version{Md5: make([]byte, 16), Details: &metapb.Details{}},
	}); err != nil {
		t.Errorf("another bucket: %v", err)
	}
}

// TestI20_QueuesAreReadOnce goes through the repair queue and all extents of a range's span, as the caller's map has it, while
// it splits after every page: each row comes once.
func TestI20_QueuesAreReadOnce(t *testing.T) {
	tn := newNode(t, nodeConfig{drives: 3, seed: 5})
	const n = 60
	for i := range n {
		p := putOf(fmt.Sprintf("%02d", i), "")
		upload := ids.NewUpload(tn.clock.Now())
		p.HasInline, p.Version.Size = false, 1
		p.Version.Details.Extent = &metapb.Extent{Upload: upload[:], Pool: 1, Size: 1, BlobSize: 64 << 20, Pgs: make([]byte, 2)}
		p.Missed = []*metapb.Missed{{Slot: 1}}
		_, err := tn.node.PutVersion(tn.ctx(), 0, p)
		check(t, err)
	}
	row := tn.current().Ranges[0]
	border, last := 50, ids.Range(1)
	splitSome := func() {
		if border > 5 {
			tn.split(1, fmt.Sprintf("%02d", border))
			border, last = border-9, last+1
		}
	}
	seen := map[string]int{}
	for after := []byte(nil); ; {
		rows, next, err := tn.node.Repairs(tn.ctx(), row, after, 7)
		check(t, err)
		for _, r := range rows {
			seen[r.Key]++
		}
		if len(seen) == 14 { // rows of two ranges at once
			check(t, tn.node.AckRepair(tn.ctx(), append(rows, &metapb.Repair{
				Bucket: uint64(bucket), Key: "59", Upload: make([]byte, 16), Slot: 1,
			})))
		}
		if splitSome(); next == nil {
			break
		}
		after = next
	}
	walked := map[string]int{}
	border = 4
	for after := []byte(nil); ; {
		items, next, err := tn.node.Walk(tn.ctx(), row, after, 3)
		check(t, err)
		for _, it := range items {
			walked[it.Key]++
		}
		if next == nil {
			break
		}
		after = next
	}
	for i := range n {
		if k := fmt.Sprintf("%02d", i); seen[k] != 1 || walked[k] != 1 {
			t.Errorf("%s: %d times in the queue, %d times in the walk", k, seen[k], walked[k])
		}
	}
	repairs, _, err := tn.node.Queued(tn.ctx(), row)
	check(t, err)
	if repairs != n-7 || last < 5 {
		t.Errorf("%d repair rows after 7 of %d were taken off, %d ranges", repairs, n, last)
	}
}

// TestI13_StampsAreTheRanges: every range of a split says what its last stamp is, also one that the map does not have yet; and of what
// died, a range gives that which is its own to who names a stamp of it: the other's stamps say nothing of it.
func TestI13_StampsAreTheRanges(t *testing.T) {
	tn := newNode(t, nodeConfig{drives: 3, seed: 7})
	put := func(key string) hlc.Stamp {
		p := putOf(key, "")
		upload := ids.NewUpload(tn.clock.Now())
		p.HasInline, p.Version.Size = false, 1
		p.Version.Details.Extent = &metapb.Extent{Upload: upload[:], Pool: 1, Size: 1, BlobSize: 64 << 20, Pgs: make([]byte, 2)}
		made, err := tn.node.PutVersion(tn.ctx(), 0, p)
		check(t, err)
		return made.TS
	}
	for _, key := range []string{"10", "90"} {
		put(key)
	}
	tn.order(1, keys.Route(bucket, "50"))
	tn.makeSplit(1)
	ends := map[ids.Range]hlc.Stamp{2: put("90"), 1: put("10")} // each ends the one before it
	for _, row := range tn.node.Ranges() {
		ctx, cancel := context.WithTimeout(tn.ctx(), time.Minute)
		last, err := tn.node.Last(ctx, row.ID)
		cancel()
		if err != nil || last < ends[row.ID] {
			t.Errorf("range %d: its last stamp is %d, not %d or more: %v", row.ID, last, ends[row.ID], err)
		}
	}
	for _, row := range tn.node.Ranges() {
		rows, next, err := tn.node.Reclaims(tn.ctx(), row.ID, ends[1]+1, nil, 10)
		check(t, err)
		want := map[ids.Range]string{1: "10", 2: "90"}[row.ID]
		if len(rows) != 1 || rows[0].Key != want || next != nil {
			t.Errorf("range %d: %v, %q; it has but %q", row.ID, rows, next, want)
		}
	}
}

// TestI20_SplitThenReplacedAndRecovered: the ranges of a split are ranges like others: their replicas are replaced, and they go on
// without a quorum that is gone for good (I4).
func TestI20_SplitThenReplacedAndRecovered(t *testing.T) {
	tn := newNode(t, nodeConfig{drives: 4, seed: 6})
	l := tn.load(4)
	l.await(200)
	tn.split(1, "50")
	l.await(100)
	next := placement.Replica{ID: 9, Drive: tn.drives[0].id, Joining: true, Replaces: 1}
	h := tn.node.host(tn.drives[0].id)
	check(t, h.Remove(tn.ctx(), 2, 1)) // it lost the child's replica, say
	tn.edit(2, func(r *placement.Range) {
		r.Replicas, r.NextReplica = append(r.Replicas, next), 10
	})
	check(t, tn.node.ReplaceReplica(tn.ctx(), 2, 1, next))
	next.Joining, next.Replaces = false, 0
	tn.edit(2, func(r *placement.Range) { r.Replicas = append(slices.Clone(r.Replicas[1:4]), next) })
	l.await(100)
	l.end()
	tn.lose(2)
	tn.lose(3)
	for _, id := range []ids.Range{1, 2} {
		gen := tn.directoryRow(id).Generation
		poll.Nil(t, poll.Within, "a recovered range", func() error { return tn.node.Recover(tn.ctx(), id, gen, tn.record(id)) })
	}
	l = tn.load(4)
	l.await(100)
	l.cancel()
	l.wg.Wait()
	if err := l.failed.Load(); err != nil {
		t.Fatal(*err)
	}
	tn.split(2, "75")
	tn.put("80/x", "1")
	tn.want("80/x", "1")
	tn.sameRows()
}

func (tn *testNode) directoryRow(id ids.Range) *placement.Range { return rangeOf(tn.current(), id) }

// TestSplitsWanted: a range that is too large splits in its middle, a busy one where the load divides; keys that only ever rise
// would not divide it.
func TestSplitsWanted(t *testing.T) {
	tn := newNode(t, nodeConfig{drives: 1, seed: 7, opt: Options{SplitBytes: 4 << 10}})
	for i := range 200 {
		tn.put(fmt.Sprintf("%03d", i), fmt.Sprintf("%0400d", i*i))
	}
	tn.edit(1, func(r *placement.Range) { r.Begun = true })
	check(t, tn.drives[0].rows.Flush())
	all := tn.node.SplitsWanted(tn.ctx())
	if len(all) != 1 {
		t.Fatalf("%d splits are wanted", len(all))
	}
	_, key, _, err := keys.ParseRoute(all[0].At, nil)
	check(t, err)
	if string(key) < "050" || string(key) > "150" {
		t.Errorf("at %s: %s", key, all[0].Why)
	}
	var spread, rising [][]byte
	for i := range 128 {
		spread = append(spread, keys.Route(bucket, fmt.Sprintf("%03d", i*37%128)))
		rising = append(rising, keys.Route(bucket, fmt.Sprintf("%03d", i)))
	}
	if at := busyBorder(spread); string(at) < string(keys.Route(bucket, "040")) || string(at) > string(keys.Route(bucket, "090")) {
		t.Errorf("a load all over divides at %q", at)
	}
	if at := busyBorder(rising); at != nil {
		t.Errorf("a load that rises divides at %q", at)
	}
}
