package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/internal/poll"
	"github.com/sherd-io/sherd/placement"
	"github.com/sherd-io/sherd/placement/plan"
)

func TestBootstrapOnce(t *testing.T) {
	te := newEtcd(t)
	a, b := open(t, te), open(t, te)
	if a.Bootstrapped() {
		t.Fatal("bootstrapped before Bootstrap")
	}
	in, in2 := initial(t, 6), initial(t, 4)
	errs := make(chan error, 2)
	go func() { errs <- a.Bootstrap(testContext(t), in) }()
	go func() { errs <- b.Bootstrap(testContext(t), in2) }()
	first, second := <-errs, <-errs
	if first != nil {
		first, second = second, first
	}
	if first != nil || !errors.Is(second, ErrBootstrapped) {
		t.Fatalf("errors %v and %v, want one ErrBootstrapped", first, second)
	}
	for _, s := range []*Store{a, b} {
		m, err := s.Wait(testContext(t), func(m *placement.Map) bool { return m.Cluster != ids.Cluster{} })
		if err != nil {
			t.Fatal(err)
		}
		want := in
		if m.Cluster == in2.Cluster {
			want = in2
		}
		checkMap(t, m, want)
	}
}

func checkMap(t *testing.T, m *placement.Map, in placement.Initial) {
	t.Helper()
	if m.Cluster != in.Cluster || m.Generation != 1 || len(m.Drives) != len(in.Drives) || len(m.Ranges) != 1 || m.Settings["a"] != "b" {
		t.Fatalf("map %+v", m)
	}
	p := m.Pools[1]
	if len(p.PGs) != 256 || p.K != in.Pool.K || p.M != in.Pool.M {
		t.Fatalf("pool %+v", p)
	}
	for i, pg := range p.PGs {
		if !reflect.DeepEqual(pg.Slots, in.Pool.PGs[i].Slots) || pg.Revision == 0 {
			t.Fatalf("pg %d: %+v, want %+v", i, pg, in.Pool.PGs[i])
		}
	}
	if !reflect.DeepEqual(m.Ranges[0].Replicas, in.Ranges[0].Replicas) {
		t.Fatalf("range %+v", m.Ranges[0])
	}
}

func TestOpenAgainSeesTheSame(t *testing.T) {
	te := newEtcd(t)
	s, in := bootstrapped(t, te)
	checkMap(t, s.Map(), in)
	checkMap(t, open(t, te).Map(), in)
}

func TestI20_BucketIDsAreNeverUsedAgain(t *testing.T) {
	te := newEtcd(t)
	s, _ := bootstrapped(t, te)
	ctx := testContext(t)
	seen := map[ids.Bucket]bool{}
	for i := range 3 {
		b, created, err := s.CreateBucket(ctx, placement.Bucket{Name: "b", Owner: "sherd", Region: "eu", Pool: 1})
		if err != nil || !created || b.ID == 0 || seen[b.ID] {
			t.Fatalf("round %d: %+v, %v, %v", i, b, created, err)
		}
		seen[b.ID] = true
		if same, created, err := s.CreateBucket(ctx, placement.Bucket{Name: "b", Owner: "other", Pool: 1}); err != nil || created || same.ID != b.ID || same.Owner != "sherd" {
			t.Fatalf("second create: %+v, %v, %v", same, created, err)
		}
		if m := s.Map(); m.Buckets["b"] == nil || m.Buckets["b"].Revision != b.Revision {
			t.Fatalf("the map has %+v, want revision %d", m.Buckets["b"], b.Revision)
		}
		if err := s.DeleteBucket(ctx, b, 0); !errors.Is(err, ErrConflict) {
			t.Fatalf("delete without the mark: %v", err)
		}
		mark, err := s.SetDeleting(ctx, b, true)
		if err != nil {
			t.Fatal(err)
		}
		marked := s.Map().Buckets["b"]
		if !marked.Deleting {
			t.Fatal("not marked in the map")
		}
		again, err := s.SetDeleting(ctx, b, true)
		if err != nil || s.Map().Buckets["b"].Revision == marked.Revision {
			t.Fatalf("a removal sent before the second mark would still be done: %v", err)
		}
		if err := s.DeleteBucket(ctx, b, mark); !errors.Is(err, ErrConflict) {
			t.Fatalf("removed by a mark that is not the last: %v", err)
		}
		other := *b
		other.ID++
		if _, err := s.SetDeleting(ctx, &other, false); !errors.Is(err, ErrNotFound) {
			t.Fatalf("mark of another bucket of the name: %v", err)
		}
		if err := s.DeleteBucket(ctx, &other, again); !errors.Is(err, ErrNotFound) {
			t.Fatalf("delete of another bucket of the name: %v", err)
		}
		if err := s.DeleteBucket(ctx, b, again); err != nil {
			t.Fatal(err)
		}
		if s.Map().Buckets["b"] != nil {
			t.Fatal("still in the map")
		}
	}
	if _, err := s.SetDeleting(ctx, &placement.Bucket{ID: 1, Name: "b"}, true); !errors.Is(err, ErrNotFound) {
		t.Fatalf("mark of a bucket that is gone: %v", err)
	}
}

func TestConcurrentCreates(t *testing.T) {
	te := newEtcd(t)
	s, _ := bootstrapped(t, te)
	ctx := testContext(t)
	var mu sync.Mutex
	made := map[ids.Bucket]int{}
	var g sync.WaitGroup
	for i := range 24 {
		g.Go(func() {
			b, created, err := s.CreateBucket(ctx, placement.Bucket{Name: fmt.Sprint("b", i%8), Owner: "sherd", Pool: 1})
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if created {
				made[b.ID]++
			}
		})
	}
	g.Wait()
	if len(made) != 8 {
		t.Fatalf("%d buckets made, want 8: %v", len(made), made)
	}
}

func TestSyncSeesWhatOthersFinished(t *testing.T) {
	te := newEtcd(t)
	a, _ := bootstrapped(t, te)
	b := open(t, te)
	ctx := testContext(t)
	for i := range 50 {
		name := fmt.Sprint("b", i)
		if _, _, err := a.CreateBucket(ctx, placement.Bucket{Name: name, Owner: "sherd", Pool: 1}); err != nil {
			t.Fatal(err)
		}
		if err := b.Sync(ctx); err != nil {
			t.Fatal(err)
		}
		if b.Map().Buckets[name] == nil {
			t.Fatalf("Sync returned without bucket %s", name)
		}
	}
}

func TestWaitWakes(t *testing.T) {
	te := newEtcd(t)
	s, _ := bootstrapped(t, te)
	ctx := testContext(t)
	got := make(chan error, 1)
	go func() {
		_, err := s.Wait(ctx, func(m *placement.Map) bool { return m.Settings["x"] == "1" })
		got <- err
	}()
	if err := s.PutSetting(ctx, "x", "1"); err != nil {
		t.Fatal(err)
	}
	if err := <-got; err != nil {
		t.Fatal(err)
	}
}

func TestMapSharesWhatDidNotChange(t *testing.T) {
	te := newEtcd(t)
	s, _ := bootstrapped(t, te)
	before := s.Map()
	if _, _, err := s.CreateBucket(testContext(t), placement.Bucket{Name: "b", Owner: "sherd", Pool: 1}); err != nil {
		t.Fatal(err)
	}
	after := s.Map()
	if before.Pools[1] != after.Pools[1] || before.Ranges[0] != after.Ranges[0] {
		t.Error("a bucket's change copied pools or ranges")
	}
	if len(before.Buckets) != 0 {
		t.Error("the older map changed")
	}
}

func TestI19_ApplyIsGuarded(t *testing.T) {
	te := newEtcd(t)
	s, _ := bootstrapped(t, te)
	ctx := testContext(t)
	change := func() plan.Change {
		pg := *s.Map().Pools[1].PGs[7]
		pg.Epoch++
		return plan.Change{Pool: 1, ID: 7, PG: &pg}
	}
	stale := change()
	if err := s.Apply(ctx, change()); err != nil {
		t.Fatal(err)
	}
	if got := s.Map().Pools[1].PGs[7].Epoch; got != 2 {
		t.Fatalf("epoch %d after Apply, want 2", got)
	}
	if err := s.Apply(ctx, stale); !errors.Is(err, ErrConflict) {
		t.Fatalf("a stale change: %v", err)
	}
	one, err := s.Campaign(ctx, "planner", "n1")
	if err != nil {
		t.Fatal(err)
	}
	if err := one.Apply(ctx, change()); err != nil {
		t.Fatal(err)
	}
	if err := one.Resign(ctx); err != nil {
		t.Fatal(err)
	}
	two, err := s.Campaign(ctx, "planner", "n2")
	if err != nil {
		t.Fatal(err)
	}
	if err := one.Apply(ctx, change()); !errors.Is(err, ErrNotLeader) {
		t.Fatalf("a former planner: %v", err)
	}
	if err := two.Apply(ctx, change()); err != nil {
		t.Fatal(err)
	}
}

// I19: who died as the elected planner does not hold up the process that has its name now, and acts no more.
func TestI19_PlannerStartsAgain(t *testing.T) {
	te := newEtcd(t)
	s, in := bootstrapped(t, te)
	ctx := testContext(t)
	dead, err := open(t, te, hasty).Campaign(ctx, "planner", "n1")
	if err != nil {
		t.Fatal(err)
	}
	again, err := s.Campaign(ctx, "planner", "n1") // would wait for the lease of the first for leadTTL
	if err != nil {
		t.Fatal(err)
	}
	if err := dead.SetDriveState(ctx, in.Drives[0].ID, placement.DriveDown, "as the dead one sees it"); !errors.Is(err, ErrNotLeader) {
		t.Errorf("the first acts: %v", err)
	}
	if err := again.SetDriveState(ctx, in.Drives[0].ID, placement.DriveDown, "away"); err != nil {
		t.Error(err)
	}
}

func TestDriveStates(t *testing.T) {
	te := newEtcd(t)
	s, in := bootstrapped(t, te)
	ctx := testContext(t)
	id := in.Drives[0].ID
	if err := s.SetDriveState(ctx, id, placement.DriveSuspect, "slow"); err != nil {
		t.Fatal(err)
	}
	if d := s.Map().Drives[id]; d.State != placement.DriveSuspect || d.Reason != "slow" || d.Since.IsZero() {
		t.Fatalf("%+v", d)
	}
	next := &placement.Drive{ID: ids.NewDrive(), Node: "n1", Path: "/d1", State: placement.DriveUp, Weight: 1}
	for range 2 {
		if err := s.ReplaceDrive(ctx, id, next, "wiped"); err != nil {
			t.Fatal(err)
		}
	}
	m := s.Map()
	if m.Drives[id].State != placement.DriveOut || m.Drives[next.ID].Replaces != id {
		t.Fatalf("%+v, %+v", m.Drives[id], m.Drives[next.ID])
	}
	if err := s.SetDriveState(ctx, id, placement.DriveUp, ""); !errors.Is(err, ErrConflict) {
		t.Fatalf("I10: an out drive came back: %v", err)
	}
	if err := s.SetDriveState(ctx, ids.NewDrive(), placement.DriveUp, ""); !errors.Is(err, ErrNotFound) {
		t.Fatalf("unknown drive: %v", err)
	}
}

// TestI19_GivenUpAsDecided: a drive that came back since it was decided to give it up is not put out: it would be for good.
func TestI19_GivenUpAsDecided(t *testing.T) {
	te := newEtcd(t)
	s, in := bootstrapped(t, te)
	other, ctx, id := open(t, te), testContext(t), in.Drives[0].ID
	lead, err := s.Campaign(ctx, "planner", "n1")
	if err != nil {
		t.Fatal(err)
	}
	for who, giveUp := range map[string]func(context.Context, *placement.Drive, string) error{"planner": lead.GiveUp, "operator": s.GiveUp} {
		if err := s.SetDriveState(ctx, id, placement.DriveDown, "away"); err != nil {
			t.Fatal(err)
		}
		decided := s.Map().Drives[id]
		if err := other.SetDriveState(ctx, id, placement.DriveSuspect, "back"); err != nil {
			t.Fatal(err)
		}
		if err := giveUp(ctx, decided, "down for too long"); !errors.Is(err, ErrConflict) {
			t.Errorf("%s: %v", who, err)
		}
		if err := s.Sync(ctx); err != nil {
			t.Fatal(err)
		}
		if d := s.Map().Drives[id]; d.State != placement.DriveSuspect || d.Reason != "back" {
			t.Fatalf("%s: %+v", who, d)
		}
	}
	for i, giveUp := range []func(context.Context, *placement.Drive, string) error{lead.GiveUp, s.GiveUp} {
		d := s.Map().Drives[in.Drives[i].ID]
		if err := giveUp(ctx, d, "down for too long"); err != nil {
			t.Fatal(err)
		}
		if now := s.Map().Drives[d.ID]; now.State != placement.DriveOut || now.Reason != "down for too long" || now.Since.IsZero() || now.Path != d.Path {
			t.Errorf("%+v", now)
		}
	}
}

// TestDistrustIsOfUpDrivesOnly: whoever distrusts a drive may see an old map; the state that counts is that of the transaction.
func TestDistrustIsOfUpDrivesOnly(t *testing.T) {
	te := newEtcd(t)
	s, in := bootstrapped(t, te)
	ctx, id := testContext(t), in.Drives[0].ID
	for _, was := range []placement.DriveState{placement.DriveUp, placement.DriveSuspect, placement.DriveDown, placement.DriveOut} {
		if err := s.SetDriveState(ctx, id, was, "before"); err != nil {
			t.Fatal(err)
		}
		if err := s.Distrust(ctx, id, "missed a write"); err != nil {
			t.Fatal(err)
		}
		want := *s.Map().Drives[id]
		want.State, want.Reason = was, "before"
		if was == placement.DriveUp {
			want.State, want.Reason = placement.DriveSuspect, "missed a write"
		}
		if got := *s.Map().Drives[id]; got != want {
			t.Errorf("%s drive: now %+v, want %+v", was, got, want)
		}
	}
	if err := s.Distrust(ctx, ids.NewDrive(), "unknown"); !errors.Is(err, ErrNotFound) {
		t.Errorf("unknown drive: %v", err)
	}
}

// mute is an etcd of which the first answer to each transaction is lost.
type mute struct {
	clientv3.KV
	sent int
}

func (m *mute) Txn(ctx context.Context) clientv3.Txn { return &muteTxn{m.KV.Txn(ctx), m} }

type muteTxn struct {
	clientv3.Txn
	m *mute
}

func (t *muteTxn) If(all ...clientv3.Cmp) clientv3.Txn { t.Txn = t.Txn.If(all...); return t }

func (t *muteTxn) Then(all ...clientv3.Op) clientv3.Txn { t.Txn = t.Txn.Then(all...); return t }

func (t *muteTxn) Commit() (*clientv3.TxnResponse, error) {
	resp, err := t.Txn.Commit()
	if t.m.sent++; err == nil && t.m.sent%2 == 1 {
		return nil, status.Error(codes.Unavailable, "the answer is lost")
	}
	return resp, err
}

// TestFirstStateIsSentAgain: a cluster's first start does not fail because etcd did not answer in time.
func TestFirstStateIsSentAgain(t *testing.T) {
	var m mute
	s := open(t, newEtcd(t), func(o *Options) {
		o.between = func(kv clientv3.KV) clientv3.KV { m.KV = kv; return &m }
	})
	in := initial(t, 6)
	if err := s.Bootstrap(testContext(t), in); err != nil {
		t.Fatal(err)
	}
	if m.sent < 10 {
		t.Errorf("%d transactions: nothing was lost", m.sent)
	}
	checkMap(t, s.Map(), in)
	if err := s.Bootstrap(testContext(t), in); !errors.Is(err, ErrBootstrapped) {
		t.Errorf("once more: %v", err)
	}
}

func TestServesWhileEtcdIsAway(t *testing.T) {
	te := newEtcd(t)
	s, in := bootstrapped(t, te)
	ctx := testContext(t)
	te.stop()
	checkMap(t, s.Map(), in)
	began := time.Now()
	impatiently(ctx, func(ctx context.Context) {
		for name, err := range map[string]error{
			"create": func() error {
				_, _, err := s.CreateBucket(ctx, placement.Bucket{Name: "b", Owner: "sherd", Pool: 1})
				return err
			}(),
			"state": s.SetDriveState(ctx, in.Drives[0].ID, placement.DriveDown, ""),
			"sync":  s.Sync(ctx),
			"apply": s.Apply(ctx, plan.Change{Pool: 1, ID: 1, PG: s.Map().Pools[1].PGs[1]}),
		} {
			if !errors.Is(err, ErrUnavailable) {
				t.Errorf("%s: %v, want ErrUnavailable", name, err)
			}
		}
	})
	if took := time.Since(began); took > poll.Within {
		t.Errorf("took %v", took)
	}
	away := s.ContactAge()
	if away < time.Second {
		t.Errorf("contact age %v", away)
	}
	te.start()
	if _, created, err := retryCreate(ctx, s, "b"); err != nil || !created {
		t.Fatalf("after etcd came back: %v, %v", created, err)
	}
	if s.Map().Buckets["b"] == nil {
		t.Error("no bucket")
	}
	poll.True(t, poll.Within, "contact", func() bool { return s.ContactAge() < away })
}

func retryCreate(ctx context.Context, s *Store, name string) (b *placement.Bucket, created bool, err error) {
	for {
		b, created, err = s.CreateBucket(ctx, placement.Bucket{Name: name, Owner: "sherd", Pool: 1})
		if !errors.Is(err, ErrUnavailable) || ctx.Err() != nil {
			return b, created, err
		}
	}
}

func TestReloadAfterCompaction(t *testing.T) {
	te := newEtcd(t)
	writer, in := bootstrapped(t, te)
	g := &gate{path: strings.TrimPrefix(te.endpoint(), "unix://"), open: true}
	s, err := Open(testContext(t), Options{Endpoints: []string{"passthrough:///gate"}, Dialer: g.dial, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx := testContext(t)
	g.set(false)
	if err := writer.PutSetting(ctx, "gone", "1"); err != nil {
		t.Fatal(err)
	}
	if err := writer.PutSetting(ctx, "gone", ""); err != nil {
		t.Fatal(err)
	}
	if err := writer.PutSetting(ctx, "late", "1"); err != nil {
		t.Fatal(err)
	}
	if _, err := raw(t, te).Compact(ctx, writer.state.Load().applied); err != nil {
		t.Fatal(err)
	}
	g.set(true)
	m, err := s.Wait(ctx, func(m *placement.Map) bool { return m.Settings["late"] == "1" })
	if err != nil {
		t.Fatal(err)
	}
	checkMap(t, m, in)
	if s.Stats().Reloads == 0 {
		t.Error("it was not loaded again")
	}
	if err := writer.PutSetting(ctx, "later", "1"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Wait(ctx, func(m *placement.Map) bool { return m.Settings["later"] == "1" }); err != nil {
		t.Fatal(err)
	}
}

// gate is a way to etcd that can be shut.
type gate struct {
	path string

	mu    sync.Mutex
	open  bool
	conns []net.Conn
}

func (g *gate) dial(ctx context.Context, _ string) (net.Conn, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.open {
		return nil, errors.New("shut")
	}
	c, err := (&net.Dialer{}).DialContext(ctx, "unix", g.path)
	if err == nil {
		g.conns = append(g.conns, c)
	}
	return c, err
}

func (g *gate) set(open bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open = open
	for _, c := range g.conns {
		c.Close()
	}
	g.conns = nil
}

func TestBadRecordsKeepTheOldValue(t *testing.T) {
	te := newEtcd(t)
	s, in := bootstrapped(t, te)
	ctx := testContext(t)
	if _, _, err := s.CreateBucket(ctx, placement.Bucket{Name: "b", Owner: "sherd", Pool: 1}); err != nil {
		t.Fatal(err)
	}
	editIAM(t, s, placement.IAMChange{Identity: &placement.Identity{AccessKey: "k", Secret: "s", Root: true}},
		placement.IAMChange{User: testUser("u")})
	other := raw(t, te)
	bad := 0
	for _, key := range []string{
		nodesDir + "n1", driveKey(in.Drives[0].ID), poolKey(1), pgKey(1, 3), rangeKey(1), bucketsDir + "b", iamDir + "k", settingsDir + "a",
		usersDir + testAccount + "/u", usersDir + "u", groupsDir + "1/2/3", policiesDir, accountsDir + testAccount, dataKeyKey, iamDir,
		driveKey(ids.NewDrive()), pgKey(1, 300), pgKey(9, 1), pgsDir + "x/y", rangesDir + "zz", poolsDir + "-1", drivesDir + "q", bucketsDir + "c",
	} {
		for _, value := range []string{"", "{", "null", `{"version":99,"record":{}}`, `{"version":1,"record":7.5}`, "\xff\x00", `{"version":1,"record":{"slots":[{}]}}`} {
			if _, err := other.Put(ctx, s.key(key), value); err != nil {
				t.Fatal(err)
			}
			bad++
		}
	}
	if err := s.PutSetting(ctx, "end", "1"); err != nil {
		t.Fatal(err)
	}
	same := func(m *placement.Map) {
		t.Helper()
		checkMap(t, m, in)
		if m.Buckets["b"] == nil || m.Buckets["b"].Name != "b" || m.Identities["k"].Secret != "s" || m.Nodes["n1"].Name != "n1" || m.User(testAccount, "u") == nil {
			t.Fatalf("an old value is gone: %+v", m)
		}
	}
	same(s.Map())
	if n := s.Stats().BadRecords; n != int64(bad) {
		t.Errorf("%d bad records counted, want %d", n, bad)
	}
	if err := s.load(ctx); err != nil { // as after a compaction
		t.Fatal(err)
	}
	same(s.Map())
	fresh := open(t, te).Map() // knows no old value: must not fall over either
	if fresh.Cluster != in.Cluster || fresh.Buckets["b"] != nil {
		t.Fatalf("%+v", fresh)
	}
}

func TestCorruptClusterRowIsNotABlankCluster(t *testing.T) {
	te := newEtcd(t)
	s, in := bootstrapped(t, te)
	if _, err := raw(t, te).Put(testContext(t), s.key(clusterKey), "{"); err != nil {
		t.Fatal(err)
	}
	_, err := Open(testContext(t), Options{Endpoints: []string{te.endpoint()}})
	if !errors.Is(err, ErrCorrupt) {
		t.Fatalf("error %v, want ErrCorrupt", err)
	}
	checkMap(t, s.Map(), in)
}

func BenchmarkMap(b *testing.B) {
	te := newEtcd(b)
	s, _ := bootstrapped(b, te)
	b.ReportAllocs()
	for b.Loop() {
		if s.Map().Pools[1] == nil {
			b.Fatal("no pool")
		}
	}
}

func BenchmarkCreateBucket(b *testing.B) {
	te := newEtcd(b)
	s, _ := bootstrapped(b, te)
	ctx := context.Background()
	for i := 0; b.Loop(); i++ {
		if _, _, err := s.CreateBucket(ctx, placement.Bucket{Name: fmt.Sprint("b", i), Owner: "sherd", Pool: 1}); err != nil {
			b.Fatal(err)
		}
	}
}

// TestI19_RestartOfEtcdIsSeen: also one between two requests.
func TestI19_RestartOfEtcdIsSeen(t *testing.T) {
	te := newEtcd(t)
	s, _ := bootstrapped(t, te)
	ctx := testContext(t)
	for s.Unbroken() < 100*time.Millisecond { // it counts up, whatever is asked
		if err := s.Sync(ctx); err != nil {
			t.Fatal(err)
		}
	}
	before := time.Now()
	te.stop()
	te.start()
	poll.True(t, poll.Within, "a break", func() bool { return s.Unbroken() < time.Since(before) })
}

// TestTransient: what etcd says of itself is no answer to a request.
func TestTransient(t *testing.T) {
	for _, c := range []struct {
		err  error
		want bool
	}{
		{nil, false},
		{ErrConflict, false},
		{errors.New("of ours"), false},
		{rpctypes.ErrGRPCNoLeader, true},
		{rpctypes.ErrNoSpace, false},
		{rpctypes.ErrGRPCPermissionDenied, false},
		{rpctypes.ErrGRPCNotSupportedForLearner, true},
		{rpctypes.Error(rpctypes.ErrGRPCNotSupportedForLearner), true},
		{status.Error(codes.Unavailable, "connection refused"), true},
		{status.Error(codes.Unknown, "raft: stopped"), true},
		{context.DeadlineExceeded, true},
	} {
		if got := transient(c.err); got != c.want {
			t.Errorf("%v: transient %v", c.err, got)
		}
	}
}

// TestCloseEndsWhatAsks: who asks an etcd that is away hears that the store is closed, and not when RequestTimeout is over.
func TestCloseEndsWhatAsks(t *testing.T) {
	for what, ask := range map[string]func(*Store) error{
		"a read":   func(s *Store) error { _, err := s.Copy(context.Background()); return err },
		"a write":  func(s *Store) error { return s.PutSetting(context.Background(), "name", "value") },
		"the sync": func(s *Store) error { return s.Sync(context.Background()) },
	} {
		t.Run(what, func(t *testing.T) {
			te := newEtcd(t)
			b, _ := bootstrapped(t, te)
			b.Close()
			l := &loser{request: true}
			tried := make(chan struct{}, 1)
			s := open(t, te, func(o *Options) {
				o.RequestTimeout, o.TryTimeout = time.Hour, 50*time.Millisecond
				o.Redial = func() { // after each try
					select {
					case tried <- struct{}{}:
					default:
					}
				}
				o.between = func(kv clientv3.KV) clientv3.KV { l.KV = kv; return l }
			})
			if what == "a write" { // it has read, and its transaction has no answer
				l.armed, l.then = true, te.stop
			} else {
				te.stop()
			}
			failed := make(chan error, 1)
			go func() { failed <- ask(s) }()
			<-tried
			s.Close()
			select {
			case err := <-failed:
				if !errors.Is(err, ErrUnavailable) {
					t.Error(err)
				}
			case <-time.After(poll.Within):
				t.Error("it still asks")
			}
		})
	}
}

// deaf is an etcd whose first watches say nothing after they have begun, as of a member that fell behind.
type deaf struct {
	clientv3.Watcher
	left atomic.Int32
}

func (m *deaf) Watch(ctx context.Context, key string, opts ...clientv3.OpOption) clientv3.WatchChan {
	events := m.Watcher.Watch(ctx, key, opts...)
	if m.left.Add(-1) < 0 {
		return events
	}
	silent := make(chan clientv3.WatchResponse)
	go func() {
		defer close(silent)
		for range events { // ends with ctx
		}
	}()
	return silent
}

// TestSilentWatchIsReplaced: a watch that says nothing, though etcd answers, does not keep the map old: neither where somebody waits for it,
// nor where nobody does.
func TestSilentWatchIsReplaced(t *testing.T) {
	for _, waits := range []bool{true, false} {
		t.Run(fmt.Sprint("somebody waits ", waits), func(t *testing.T) {
			te := newEtcd(t)
			other, _ := bootstrapped(t, te)
			m := &deaf{}
			m.left.Store(2)
			s := open(t, te, func(o *Options) {
				o.RequestTimeout, o.TryTimeout = time.Hour, 200*time.Millisecond
				if waits {
					o.ContactEvery = time.Hour
				}
				o.betweenWatch = func(w clientv3.Watcher) clientv3.Watcher { m.Watcher = w; return m }
			})
			for _, name := range []string{"first", "second", "third"} {
				if _, _, err := other.CreateBucket(testContext(t), placement.Bucket{Name: name, Pool: 1}); err != nil {
					t.Fatal(err)
				}
				if waits {
					if err := s.Sync(testContext(t)); err != nil {
						t.Fatal(err)
					}
				}
				if _, err := s.Wait(testContext(t), func(m *placement.Map) bool { return m.Buckets[name] != nil }); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
			}
		})
	}
}
