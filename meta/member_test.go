package meta

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/internal/poll"
	"github.com/sherd-io/sherd/meta/keys"
	"github.com/sherd-io/sherd/meta/remote/remotepb"
	"github.com/sherd-io/sherd/meta/replica"
	"github.com/sherd-io/sherd/meta/state"
	"github.com/sherd-io/sherd/placement"
)

// load commits bodies under its own keys until stopped, and remembers what was acknowledged.
type load struct {
	tn     *testNode
	cancel context.CancelFunc
	wg     sync.WaitGroup
	mu     sync.Mutex
	acked  map[string]string
	open   map[string]string // tried since
	failed map[string]int    // by error
	puts   int
}

func (tn *testNode) startLoad(clients int) *load {
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{tn: tn, cancel: cancel, acked: map[string]string{}, open: map[string]string{}, failed: map[string]int{}}
	for i := range clients {
		l.wg.Add(1)
		go func() {
			defer l.wg.Done()
			for n := 0; ctx.Err() == nil; n++ {
				l.one(ctx, fmt.Sprintf("load-%d-%d", i, n%50), fmt.Sprintf("%d %s", n, strings.Repeat("x", n%300)))
			}
		}()
	}
	return l
}

func (l *load) one(ctx context.Context, key, body string) {
	l.mu.Lock()
	l.open[key] = body
	l.mu.Unlock()
	_, err := l.tn.node.PutVersion(ctx, 0, putOf(key, body))
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.failed[err.Error()]++
		return
	}
	l.puts++
	l.acked[key] = body
	delete(l.open, key)
}

func (l *load) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acked)
}

func (l *load) total() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.puts
}

func (l *load) stop() {
	l.cancel()
	l.wg.Wait()
}

// check wants every key to have what was acknowledged last, or what was tried since.
func (l *load) check() {
	l.tn.t.Helper()
	for key, body := range l.acked {
		_, got, err := l.tn.node.Get(l.tn.ctx(), bucket, key, GetOptions{Inline: true})
		check(l.tn.t, err)
		if string(got) != body && string(got) != l.open[key] {
			l.tn.t.Fatalf("%s: %.20q, acknowledged %.20q, tried %.20q", key, got, body, l.open[key])
		}
	}
}

// addDrive puts one more drive into node and map.
func (tn *testNode) addDrive() *testDrive {
	tn.t.Helper()
	d := newTestDrive(tn.t, "", len(tn.drives))
	tn.drives = append(tn.drives, d)
	tn.openDrive(len(tn.drives)-1, true)
	tn.mu.Lock()
	tn.m.Drives[d.id] = &placement.Drive{ID: d.id, Node: "n1", State: placement.DriveUp}
	tn.mu.Unlock()
	check(tn.t, tn.node.AddDrive(d.id, replica.SegmentLog[segmentPos](d.log), d.rows))
	return d
}

// settle waits until the replicas of a range that run have applied the same, and compares their rows.
func (tn *testNode) settle(id ids.Range) {
	tn.t.Helper()
	poll.Nil(tn.t, poll.Within, "replicas that have applied the same", func() error {
		var at []uint64
		var sums [][16]byte
		for _, h := range tn.node.allHosts() {
			r := h.Replica(id)
			if r == nil {
				continue
			}
			snap := tn.driveOf(h.Drive()).rows.NewSnapshot()
			span := state.Span{ID: id, Start: rangeOf(tn.m, id).Start, End: rangeOf(tn.m, id).End}
			m, err := state.Load(snap, span)
			check(tn.t, err)
			index, _ := m.Applied()
			sum, err := state.Hash(snap, span)
			check(tn.t, err)
			check(tn.t, snap.Close())
			at, sums = append(at, index), append(sums, sum)
		}
		even := true
		for i := range at {
			even = even && at[i] == at[0]
			if at[i] == at[0] && sums[i] != sums[0] {
				tn.t.Fatalf("I17: row hashes differ at %d", at[i])
			}
		}
		if !even {
			return fmt.Errorf("%+v", tn.node.Status())
		}
		return nil
	})
}

func (tn *testNode) driveOf(id ids.Drive) *testDrive {
	for _, d := range tn.drives {
		if d.id == id {
			return d
		}
	}
	return nil
}

// leaderDrive is which drive leads range 1.
func (tn *testNode) leaderDrive() int {
	tn.t.Helper()
	r, err := tn.node.leader(tn.ctx(), 1, nil)
	check(tn.t, err)
	return slices.IndexFunc(tn.drives, func(d *testDrive) bool { return d.id == r.Host().Drive() })
}

// TestReplaceReplicaUnderLoad loses each drive in turn, leaders included, and brings a blank one up by snapshot.
func TestReplaceReplicaUnderLoad(t *testing.T) {
	tn := newNode(t, nodeConfig{drives: 3, seed: 1, opt: Options{LogBytes: 1 << 20}})
	l := tn.startLoad(4)
	defer l.stop()
	for round := range 3 {
		waitFor(t, func() bool { return l.count() >= 100 })
		lost := tn.leaderDrive()
		row := rangeOf(tn.current(), 1)
		i := slices.IndexFunc(row.Replicas, func(r placement.Replica) bool { return r.Drive == tn.drives[lost].id })
		old := row.Replicas[i]
		tn.lose(lost)
		d := tn.addDrive()
		next := placement.Replica{ID: row.NextReplica, Drive: d.id, Joining: true}
		tn.edit(1, func(r *placement.Range) {
			r.NextReplica++
			r.Replicas = append(r.Replicas, next)
		})
		check(t, tn.node.Reconcile(tn.ctx()))
		check(t, tn.node.ReplaceReplica(tn.ctx(), 1, old.ID, next))
		tn.edit(1, func(r *placement.Range) {
			r.Replicas = slices.DeleteFunc(r.Replicas, func(p placement.Replica) bool { return p.ID == old.ID })
			r.Replicas[len(r.Replicas)-1].Joining = false
		})
		check(t, tn.node.Reconcile(tn.ctx()))
		if s := tn.node.Status()[0]; !s.Quorum || len(s.Replicas) != 3 {
			t.Fatalf("round %d: %+v", round, s)
		}
	}
	l.stop()
	l.check()
	tn.settle(1)
	tn.crashAll()
	l.check()
}

// orderJoin has the directory say that another replica is to join on a drive.
func (tn *testNode) orderJoin(d *testDrive) placement.Replica {
	next := placement.Replica{ID: rangeOf(tn.current(), 1).NextReplica, Drive: d.id, Joining: true}
	tn.edit(1, func(r *placement.Range) {
		r.NextReplica++
		r.Replicas = append(r.Replicas, next)
	})
	return next
}

// callOff has the directory say that it is not to join after all, and gives what became of it.
func (tn *testNode) callOff(rep placement.Replica) (joined bool) {
	tn.t.Helper()
	tn.edit(1, func(r *placement.Range) { r.Replicas[len(r.Replicas)-1].Leaving = true })
	joined, err := tn.node.CallOff(tn.ctx(), 1, rep.ID)
	check(tn.t, err)
	return joined
}

// TestI19_AJoinIsCalledOff: a replica that was to join, and does not vote, is forgotten, and nobody who has not heard of it makes it a
// member again; one that votes by then stays.
func TestI19_AJoinIsCalledOff(t *testing.T) {
	tn := newNode(t, nodeConfig{drives: 3, seed: 1})
	rep := tn.orderJoin(tn.addDrive())
	check(t, tn.node.change(tn.ctx(), 1, hasMember(rep.ID), memberChange(remotepb.MemberChange_ADD_LEARNER, rep.ID)))
	if tn.callOff(rep) {
		t.Error("a replica that was never made is said to vote")
	}
	for _, kind := range []remotepb.MemberChange_Kind{remotepb.MemberChange_ADD_LEARNER, remotepb.MemberChange_PROMOTE} {
		late := &remotepb.Change{Changes: []*remotepb.MemberChange{memberChange(kind, rep.ID)}}
		_, err := tn.node.ask(tn.ctx(), findRange(1), &remotepb.Request{Op: &remotepb.Request_Change{Change: late}})
		check(t, err)
		_, err = tn.node.PutVersion(tn.ctx(), 0, putOf("after", kind.String())) // what Raft took before is done when this is
		check(t, err)
		if s, err := tn.node.leaderStatus(tn.ctx(), 1); err != nil || hasMember(rep.ID)(s) {
			t.Fatalf("%v after %s: it is a member again: %+v", err, kind, s)
		}
	}
	tn.edit(1, func(r *placement.Range) { r.Replicas = r.Replicas[:len(r.Replicas)-1] })
	check(t, tn.node.Reconcile(tn.ctx()))

	second := tn.orderJoin(tn.addDrive())
	check(t, tn.node.Reconcile(tn.ctx()))
	check(t, tn.node.ReplaceReplica(tn.ctx(), 1, 0, second))
	if !tn.callOff(second) {
		t.Error("a replica that votes was taken out")
	}
	if s, err := tn.node.leaderStatus(tn.ctx(), 1); err != nil || !slices.Contains(s.Voters, second.ID) {
		t.Fatalf("%v: %+v", err, s)
	}
}

// TestI4_RecoversWhereLostAreLessThanAQuorum: 1+1 on two drives loses one, 2+2 on four loses two.
func TestI4_RecoversWhereLostAreLessThanAQuorum(t *testing.T) {
	for _, c := range []struct{ drives, lost int }{{2, 1}, {4, 2}, {6, 3}} {
		for _, restart := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d-%d,restart=%v", c.drives, c.lost, restart), func(t *testing.T) {
				testRecover(t, c.drives, c.lost, restart)
			})
		}
	}
}

func testRecover(t *testing.T, drives, lost int, restart bool) {
	tn := newNode(t, nodeConfig{drives: drives, seed: uint64(drives)})
	l := tn.startLoad(4)
	waitFor(t, func() bool { return l.count() >= 50 })
	lead := tn.leaderDrive()
	for i := range lost { // the leader first
		tn.lose((lead + i) % drives)
	}
	l.cancel()
	l.wg.Wait()
	waitFor(t, func() bool { return slices.Equal(tn.node.Stranded(), []ids.Range{1}) })
	record := tn.record(1)
	if restart { // the process dies between the directory's row and the replicas
		errCrash := errors.New("crash")
		err := tn.node.Recover(tn.ctx(), 1, 1, func(ctx context.Context, gen uint64, rs []placement.Replica) error {
			check(t, record(ctx, gen, rs))
			return errCrash
		})
		if !errors.Is(err, errCrash) {
			t.Fatal(err)
		}
		check(t, tn.node.Reconcile(tn.ctx()))
	} else {
		check(t, tn.node.Recover(tn.ctx(), 1, 1, record))
		if s := tn.node.Status()[0]; len(s.Replicas) != drives-lost || s.Generation != 2 {
			t.Fatalf("%+v", s)
		}
		for _, r := range rangeOf(tn.current(), 1).Replicas {
			if r.Joining {
				t.Fatalf("replica %d did not become a voter", r.ID)
			}
		}
	}
	l.check()
	tn.put("after", "recovery")
	tn.want("after", "recovery")
	tn.settle(1)
	// A drive that comes back holds a replica of the old generation: it is destroyed, not merged.
	back := tn.drives[lead]
	check(t, tn.node.AddDrive(back.id, replica.SegmentLog[segmentPos](back.log), back.rows))
	if r := tn.node.host(back.id).Replica(1); r != nil {
		t.Fatalf("replica %d of generation %d lives", r.ID(), r.Generation())
	}
	tn.want("after", "recovery")
}

func TestI4_RefusesWhereACommitMayBeLost(t *testing.T) {
	tn := newNode(t, nodeConfig{drives: 3, seed: 3})
	tn.put("a", "b")
	tn.lose(0)
	tn.lose(1)
	if s := tn.node.Stranded(); len(s) != 0 {
		t.Fatalf("stranded: %v", s)
	}
	if err := tn.node.Recover(tn.ctx(), 1, 1, tn.record(1)); !errors.Is(err, ErrNotRecoverable) {
		t.Fatal(err)
	}
}

// TestI10_EmptiedDriveIsLost: a replica that the directory names and that has history elsewhere is not made again.
func TestI10_EmptiedDriveIsLost(t *testing.T) {
	tn := newNode(t, nodeConfig{drives: 3, seed: 4})
	tn.put("a", "b")
	tn.lose(2)
	empty := newTestDrive(t, "", 9)
	empty.id = tn.drives[2].id // the worst case: emptied under its old identity
	tn.drives[2].close(t)
	tn.drives[2] = empty
	tn.openDrive(2, true)
	check(t, tn.node.AddDrive(empty.id, replica.SegmentLog[segmentPos](empty.log), empty.rows))
	if r := tn.node.host(empty.id).Replica(1); r != nil {
		t.Fatal("the lost replica was made again under its id")
	}
	waitFor(t, func() bool {
		tn.mu.Lock()
		defer tn.mu.Unlock()
		return len(tn.lost) == 1 && tn.lost[0].ID == 3
	})
	tn.want("a", "b")
}

// TestI10_LostJoiningReplicaIsNotMadeAgain: one that its range knows already, and that is gone, is lost though it never voted: the leader counts
// on what it has acknowledged. It leaves, and another takes its place under an id of its own.
func TestI10_LostJoiningReplicaIsNotMadeAgain(t *testing.T) {
	tn := newNode(t, nodeConfig{drives: 3, seed: 7})
	tn.put("a", "b")
	spare := newTestDrive(t, "", 9)
	tn.drives = append(tn.drives, spare)
	tn.openDrive(3, true)
	check(t, tn.node.AddDrive(spare.id, replica.SegmentLog[segmentPos](spare.log), spare.rows))
	order := func(id ids.Replica) placement.Replica {
		next := placement.Replica{ID: id, Drive: spare.id, Joining: true}
		tn.edit(1, func(r *placement.Range) {
			r.Begun, r.Replicas, r.NextReplica = true, append(r.Replicas[:3:3], next), id+1
		})
		return next
	}
	next := order(4)
	check(t, tn.node.join(tn.ctx(), rangeOf(tn.current(), 1), tn.node.host(spare.id), next))
	check(t, tn.node.change(tn.ctx(), 1, hasMember(4), memberChange(remotepb.MemberChange_ADD_LEARNER, 4)))
	check(t, tn.node.awaitCaughtUp(tn.ctx(), 1, 4))

	tn.lose(3)
	empty := newTestDrive(t, "", 9)
	empty.id = spare.id
	spare.close(t)
	tn.drives[3] = empty
	tn.openDrive(3, true)
	tn.node.ran.all = nil // as after a restart
	check(t, tn.node.AddDrive(empty.id, replica.SegmentLog[segmentPos](empty.log), empty.rows))
	if err := tn.node.ReplaceReplica(tn.ctx(), 1, 0, next); !errors.Is(err, ErrUnavailable) {
		t.Errorf("it joins: %v", err)
	}
	if r := tn.node.host(empty.id).Replica(1); r != nil {
		t.Fatalf("the lost replica was made again: %d", r.ID())
	}
	waitFor(t, func() bool {
		tn.mu.Lock()
		defer tn.mu.Unlock()
		return len(tn.lost) == 1 && tn.lost[0].ID == 4
	})
	if joined, err := tn.node.CallOff(tn.ctx(), 1, 4); joined || err != nil {
		t.Fatal(joined, err)
	}
	check(t, tn.node.ReplaceReplica(tn.ctx(), 1, 0, order(5)))
	tn.edit(1, func(r *placement.Range) { r.Replicas[3].Joining = false })
	tn.want("a", "b")
	tn.settle(1)
}

// TestI10_RowsWithoutLogIsLost: a drive whose log is gone but whose rows are there must not vote.
func TestI10_RowsAndLogOfDifferentAgeAreLost(t *testing.T) {
	tn := newNode(t, nodeConfig{drives: 3, seed: 5})
	for i := range 20 {
		tn.put(fmt.Sprint(i), "x")
	}
	tn.node.Close()
	d := tn.drives[1]
	check(t, d.log.Close())
	check(t, d.rows.Flush())
	check(t, d.rows.Close())
	names, err := d.fs.List(d.dir + "/rows")
	check(t, err)
	for _, n := range names {
		check(t, d.fs.Remove(d.dir+"/rows/"+n))
	}
	// Cut the log's head by making the drive believe that it was released: an entry is missing then.
	tn.openDrive(1, false)
	for i, other := range tn.drives {
		if i != 1 {
			other.close(t)
			tn.openDrive(i, false)
		}
	}
	tn.start() // rows from nothing, log from its beginning: the whole history is there, so it is replayed
	tn.want("7", "x")
	tn.settle(1)
}

func TestListAcrossRanges(t *testing.T) {
	border := func(key string) []byte { return keys.Route(bucket, key) }
	tn := newNode(t, nodeConfig{drives: 3, seed: 6, ranges: [][]byte{border("d"), border("dir/m"), border("dir/n"), border("dir/y"), border("k")}})
	var want []string
	for _, k := range []string{"a", "b", "c", "d", "dir/a", "dir/m", "dir/z", "e", "k", "k1", "z"} {
		tn.put(k, k)
		want = append(want, k)
	}
	for pageMax := 1; pageMax <= len(want)+1; pageMax++ {
		var got []string
		after := ""
		for {
			page, err := tn.node.List(tn.ctx(), ListRequest{Bucket: bucket, After: after, Max: pageMax}, nil)
			check(t, err)
			for p := page.Entries; ; {
				var e Entry
				rest, ok := NextEntry(p, &e)
				if !ok {
					break
				}
				got = append(got, string(e.Key))
				p = rest
			}
			if !page.Truncated {
				break
			}
			after = page.Next
		}
		if !slices.Equal(got, want) {
			t.Fatalf("pages of %d: %q", pageMax, got)
		}
	}
	page, err := tn.node.List(tn.ctx(), ListRequest{Bucket: bucket, Delimiter: "/", Max: 100}, nil)
	check(t, err)
	if page.Count != 9 || page.Truncated { // the common prefix once, though it goes over ranges, one of them empty
		t.Fatalf("with a delimiter: %+v", page)
	}
	c, err := tn.node.Counters(tn.ctx(), bucket)
	check(t, err)
	if c.Objects != int64(len(want)) {
		t.Fatalf("counters: %v", c)
	}
}

func waitFor(t testing.TB, ok func() bool) {
	t.Helper()
	poll.True(t, poll.Within, "what the test waits for", ok)
}
