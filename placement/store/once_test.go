package store

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sherd-io/sherd/placement"
)

// loser is an etcd that loses the answer to the next transaction once it is armed, or the request, and has others go on meanwhile.
type loser struct {
	clientv3.KV
	armed   bool
	request bool   // is lost, too
	then    func() // before anything is sent again; may be nil
}

func (l *loser) Txn(ctx context.Context) clientv3.Txn { return &loserTxn{l.KV.Txn(ctx), l} }

type loserTxn struct {
	clientv3.Txn
	l *loser
}

func (t *loserTxn) If(all ...clientv3.Cmp) clientv3.Txn { t.Txn = t.Txn.If(all...); return t }

func (t *loserTxn) Then(all ...clientv3.Op) clientv3.Txn { t.Txn = t.Txn.Then(all...); return t }

func (t *loserTxn) Commit() (*clientv3.TxnResponse, error) {
	if !t.l.armed {
		return t.Txn.Commit()
	}
	t.l.armed = false
	if !t.l.request {
		if _, err := t.Txn.Commit(); err != nil {
			return nil, err
		}
	}
	if t.l.then != nil {
		t.l.then()
	}
	return nil, status.Error(codes.Unavailable, "lost")
}

// openLosing opens a second store on te, whose answers can be lost.
func openLosing(t *testing.T, te *testEtcd) (*Store, *loser) {
	t.Helper()
	l := &loser{}
	return open(t, te, func(o *Options) {
		o.between = func(kv clientv3.KV) clientv3.KV { l.KV = kv; return l }
	}), l
}

// TestI1_AnEditHappensOnce: whatever is lost, and whatever others do meanwhile, a change is made once.
func TestI1_AnEditHappensOnce(t *testing.T) {
	te := newEtcd(t)
	other, _ := bootstrapped(t, te)
	s, l := openLosing(t, te)
	ctx := testContext(t)
	b, _, err := other.CreateBucket(ctx, placement.Bucket{Name: "b", Pool: 1})
	if err != nil {
		t.Fatal(err)
	}
	set := func(s *Store, state string) {
		t.Helper()
		if err := s.ReviseBucket(ctx, b, func(b *placement.Bucket) error { b.Versioning = state; return nil }); err != nil {
			t.Error(err)
		}
	}
	for _, c := range []struct {
		what    string
		request bool
		others  int // changes of others before it is sent again
		want    string
		rules   int64 // by which it was raised
	}{
		{"the answer is lost", false, 0, placement.VersioningEnabled, 1},
		{"the request is lost", true, 0, placement.VersioningEnabled, 1},
		{"the answer, and another came after", false, 1, placement.VersioningSuspended, 2},
		{"the answer, and three came after", false, 3, placement.VersioningSuspended, 4},
		{"the request, and another came before", true, 1, placement.VersioningEnabled, 2},
	} {
		set(other, "")
		before := other.Map().Buckets["b"].Rules
		l.armed, l.request = true, c.request
		l.then = func() {
			for range c.others {
				set(other, placement.VersioningSuspended)
			}
		}
		set(s, placement.VersioningEnabled)
		if err := s.Sync(ctx); err != nil { // the others' changes
			t.Fatal(err)
		}
		if got := s.Map().Buckets["b"]; got.Versioning != c.want || got.Rules != before+c.rules || l.armed {
			t.Errorf("%s: %q, rules raised by %d, want %q, by %d", c.what, got.Versioning, got.Rules-before, c.want, c.rules)
		}
	}
}

// delayer is an etcd that gets a transaction late once it is armed: after whoever sent it gave up waiting, and looked whether it took place.
type delayer struct {
	clientv3.KV
	armed bool
	late  clientv3.Txn
}

func (d *delayer) Txn(ctx context.Context) clientv3.Txn {
	return &delayerTxn{d.KV.Txn(context.WithoutCancel(ctx)), d}
}

func (d *delayer) Get(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	if strings.HasSuffix(key, nextBucketKey) {
		if err := d.arrive(); err != nil {
			return nil, err
		}
	}
	return d.KV.Get(ctx, key, opts...)
}

// arrive has etcd get what is late.
func (d *delayer) arrive() (err error) {
	if d.late != nil {
		_, err = d.late.Commit()
		d.late = nil
	}
	return err
}

type delayerTxn struct {
	clientv3.Txn
	d *delayer
}

func (t *delayerTxn) If(all ...clientv3.Cmp) clientv3.Txn { t.Txn = t.Txn.If(all...); return t }

func (t *delayerTxn) Then(all ...clientv3.Op) clientv3.Txn { t.Txn = t.Txn.Then(all...); return t }

func (t *delayerTxn) Commit() (*clientv3.TxnResponse, error) {
	if t.d.armed {
		t.d.armed, t.d.late = false, t.Txn
		return nil, status.Error(codes.Unavailable, "late")
	}
	if err := t.d.arrive(); err != nil {
		return nil, err
	}
	return t.Txn.Commit()
}

// TestI1_BucketOfALateTransaction: who makes a bucket knows it for its own, however late the transaction is.
func TestI1_BucketOfALateTransaction(t *testing.T) {
	te := newEtcd(t)
	other, _ := bootstrapped(t, te)
	var d delayer
	s := open(t, te, func(o *Options) {
		o.between = func(kv clientv3.KV) clientv3.KV { d.KV = kv; return &d }
	})
	d.armed = true
	b, created, err := s.CreateBucket(testContext(t), placement.Bucket{Name: "b", Pool: 1})
	if err != nil || !created || d.armed || d.late != nil {
		t.Fatalf("%+v, created: %v, %v", b, created, err)
	}
	if err := other.Sync(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if got := other.Map().Buckets["b"]; got == nil || got.ID != b.ID || got.Revision != b.Revision {
		t.Errorf("%+v, want %+v", got, b)
	}
}

// TestI1_BucketOfAnother: who comes second is told so, though both were to have the same id.
func TestI1_BucketOfAnother(t *testing.T) {
	te := newEtcd(t)
	other, _ := bootstrapped(t, te)
	s, l := openLosing(t, te)
	ctx := testContext(t)
	l.armed, l.request = true, true
	l.then = func() {
		if _, created, err := other.CreateBucket(ctx, placement.Bucket{Name: "b", Pool: 1, Region: "eu"}); err != nil || !created {
			t.Errorf("the other: %v, %v", created, err)
		}
	}
	if b, created, err := s.CreateBucket(ctx, placement.Bucket{Name: "b", Pool: 1}); err != nil || created || b.Region != "eu" {
		t.Fatalf("%+v, created: %v, %v", b, created, err)
	}
}

func TestBucketOfItsOwnRules(t *testing.T) {
	te := newEtcd(t)
	s, _ := bootstrapped(t, te)
	ctx := testContext(t)
	want := placement.Bucket{
		Name: "locked", Owner: "111122223333", Region: "eu", Pool: 1, Versioning: placement.VersioningEnabled, Lock: &placement.ObjectLock{},
		Config: placement.BucketConfig{"ownership": json.RawMessage(`"BucketOwnerEnforced"`)}, Marks: 7, Deleting: true, Rules: 5,
	}
	editIAM(t, s, placement.IAMChange{Account: &placement.Account{ID: want.Owner, Name: "second", Canonical: strings.Repeat("0", 64)}})
	b, created, err := s.CreateBucket(ctx, want)
	if err != nil || !created {
		t.Fatal(created, err)
	}
	if got := s.Map().Buckets["locked"]; got.Rules != 1 || got.Lock == nil || got.Versioning != "Enabled" || got.Marks != 0 || got.Deleting ||
		string(got.Config["ownership"]) != `"BucketOwnerEnforced"` || got.Owner != want.Owner || got.Region != "eu" {
		t.Fatalf("%+v", got)
	}
	if again, created, err := s.CreateBucket(ctx, placement.Bucket{Name: "locked", Pool: 1}); err != nil || created || again.ID != b.ID || again.Lock == nil {
		t.Fatalf("%+v, %v, %v", again, created, err)
	}
	for what, bad := range map[string]placement.Bucket{
		"lock without versioning": {Name: "x", Pool: 1, Lock: &placement.ObjectLock{}},
		"no JSON":                 {Name: "x", Pool: 1, Config: placement.BucketConfig{"a": json.RawMessage("{")}},
		"no name":                 {Pool: 1},
	} {
		if _, _, err := s.CreateBucket(ctx, bad); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if plain, _, err := s.CreateBucket(ctx, placement.Bucket{Name: "plain", Pool: 1}); err != nil || plain.Rules != 0 {
		t.Fatalf("%+v, %v", plain, err)
	}
}

func TestBucketDocuments(t *testing.T) {
	te := newEtcd(t)
	s, _ := bootstrapped(t, te)
	ctx := testContext(t)
	b, _, err := s.CreateBucket(ctx, placement.Bucket{Name: "b", Pool: 1})
	if err != nil {
		t.Fatal(err)
	}
	set := func(kind, doc string) error {
		if doc == "" {
			return s.SetBucketConfig(ctx, b, kind, nil)
		}
		return s.SetBucketConfig(ctx, b, kind, json.RawMessage(doc))
	}
	for _, step := range []struct{ kind, doc string }{{"cors", `[1]`}, {"policy", `{"a":"<b>"}`}, {"cors", `[2]`}, {"policy", ""}, {"absent", ""}} {
		if err := set(step.kind, step.doc); err != nil {
			t.Fatal(err)
		}
		got, there := s.Map().Buckets["b"].Config[step.kind]
		var was, is any
		if step.doc != "" && (json.Unmarshal([]byte(step.doc), &was) != nil || json.Unmarshal(got, &is) != nil) || there != (step.doc != "") {
			t.Fatalf("%s is %q after it was set to %q", step.kind, got, step.doc)
		}
	}
	if got := s.Map().Buckets["b"]; len(got.Config) != 1 || got.Rules != 0 {
		t.Fatalf("%+v", got)
	}
	if err := set("bad", "{"); !errors.Is(err, ErrInvalid) {
		t.Errorf("no JSON: %v", err)
	}
	half := `"` + strings.Repeat("x", ConfigBytesMax/2) + `"`
	if err := set("a", half); err != nil {
		t.Fatal(err)
	}
	if err := set("b", half); !errors.Is(err, ErrTooLarge) {
		t.Errorf("more than there may be: %v", err)
	}
	if err := set("b", `"`+strings.Repeat("<", ConfigBytesMax/6)+`"`); !errors.Is(err, ErrTooLarge) {
		t.Errorf("more than there may be once it is escaped: %v", err)
	}
	if err := errors.Join(set("a", ""), set("b", half)); err != nil {
		t.Errorf("after the first was removed: %v", err)
	}
}

// TestNotOfTheNextBucket: a change is of the bucket that was meant, not of another that has its name by then.
func TestNotOfTheNextBucket(t *testing.T) {
	te := newEtcd(t)
	s, _ := bootstrapped(t, te)
	ctx := testContext(t)
	old, _, err := s.CreateBucket(ctx, placement.Bucket{Name: "b", Pool: 1})
	if err != nil {
		t.Fatal(err)
	}
	mark, err := s.SetDeleting(ctx, old, true)
	if err := errors.Join(err, s.DeleteBucket(ctx, old, mark)); err != nil {
		t.Fatal(err)
	}
	lock := func(b *placement.Bucket) error { b.Versioning = placement.VersioningEnabled; return nil }
	for range 2 {
		if err := s.SetBucketConfig(ctx, old, "cors", json.RawMessage("1")); !errors.Is(err, ErrNotFound) {
			t.Fatalf("a document: %v", err)
		}
		if err := s.ReviseBucket(ctx, old, lock); !errors.Is(err, ErrNotFound) {
			t.Fatalf("versioning: %v", err)
		}
		if _, _, err := s.CreateBucket(ctx, placement.Bucket{Name: "b", Pool: 1}); err != nil {
			t.Fatal(err)
		}
	}
}
