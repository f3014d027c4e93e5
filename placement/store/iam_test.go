package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/internal/poll"
	"github.com/sherd-io/sherd/placement"
)

const testAccount = "111122223333"

// editIAM makes changes that do not depend on the map.
func editIAM(t testing.TB, s *Store, changes ...placement.IAMChange) {
	t.Helper()
	err := s.EditIAM(testContext(t), func(*placement.Map) ([]placement.IAMChange, error) { return changes, nil })
	if err != nil {
		t.Fatal(err)
	}
}

func testUser(name string) *placement.User {
	return &placement.User{Account: testAccount, Name: name, Path: "/"}
}

func TestIAMRecords(t *testing.T) {
	te := newEtcd(t)
	s, in := bootstrapped(t, te)
	ctx := testContext(t)
	home := placement.NewDefaultAccount(in.Cluster)
	if m := s.Map(); *m.DefaultAccount != *home || m.Accounts[home.ID] != m.DefaultAccount || m.Account("sherd") != m.DefaultAccount {
		t.Fatalf("%+v", m.DefaultAccount)
	}
	all := []placement.IAMChange{
		{Account: &placement.Account{ID: testAccount, Name: "second", Canonical: strings.Repeat("0", 64)}},
		{User: testUser("Alice")},
		{Group: &placement.Group{Account: testAccount, Name: "Readers", Path: "/"}},
		{Policy: &placement.Policy{Account: testAccount, Name: "Read", Default: "v1", Versions: []placement.PolicyVersion{{ID: "v1"}}}},
		{Identity: &placement.Identity{AccessKey: "K", Secret: "s", Account: testAccount, User: "Alice"}},
	}
	editIAM(t, s, all...)
	for range 2 { // as it was written, and as it is read again
		m := s.Map()
		account, user, ok := m.Holder(m.Identities["K"])
		if !ok || account.Name != "second" || user.Name != "Alice" || m.Group(testAccount, "READERS") == nil || m.Policy(testAccount, "read") == nil {
			t.Fatalf("%+v", m)
		}
		if err := s.load(ctx); err != nil {
			t.Fatal(err)
		}
	}
	renamed := *home
	renamed.Name, renamed.Canonical = "home", strings.Repeat("1", 64)
	editIAM(t, s, placement.IAMChange{Account: &renamed})
	if a := s.Map().Account(""); a.Name != "home" || a.Canonical != home.Canonical || s.Map().Accounts[home.ID] != a {
		t.Fatalf("%+v", a)
	}
	for i := range all {
		all[i].Delete = true
	}
	editIAM(t, s, append(all, placement.IAMChange{Account: &renamed, Delete: true})...)
	if m := s.Map(); len(m.Accounts) != 1 || len(m.Users)+len(m.Groups)+len(m.Policies)+len(m.Identities) != 0 || *m.DefaultAccount != *home {
		t.Fatalf("%+v", m)
	}
	editIAM(t, s, all...) // there is none
}

func TestIAMRefused(t *testing.T) {
	s, _ := bootstrapped(t, newEtcd(t))
	ctx := testContext(t)
	mine := errors.New("of the caller")
	big := testUser("big")
	big.Inline = map[string]string{"a": strings.Repeat("x", iamBytesMax)}
	many := make([]placement.IAMChange, placement.IAMChangesMax+1)
	for i := range many {
		many[i] = placement.IAMChange{User: testUser(fmt.Sprint("u", i))}
	}
	for _, c := range []struct {
		what    string
		changes []placement.IAMChange
		err     error // change's
		want    error
	}{
		{"change's own", []placement.IAMChange{{User: testUser("a")}}, mine, mine},
		{"nothing", nil, nil, nil},
		{"two in one", []placement.IAMChange{{User: testUser("a"), Account: &placement.Account{}}}, nil, ErrInvalid},
		{"none in one", []placement.IAMChange{{}}, nil, ErrInvalid},
		{"one name twice", []placement.IAMChange{{User: testUser("a")}, {User: testUser("A")}}, nil, ErrInvalid},
		{"no account", []placement.IAMChange{{User: &placement.User{Name: "a"}}}, nil, ErrInvalid},
		{"a slash", []placement.IAMChange{{User: testUser("a/b")}}, nil, ErrInvalid},
		{"no secret", []placement.IAMChange{{Identity: &placement.Identity{AccessKey: "k"}}}, nil, ErrInvalid},
		{"no version in force", []placement.IAMChange{{Policy: &placement.Policy{Account: testAccount, Name: "p", Default: "v1"}}}, nil, ErrInvalid},
		{"a canonical id", []placement.IAMChange{{Account: &placement.Account{ID: testAccount, Name: "a", Canonical: "abc"}}}, nil, ErrInvalid},
		{"too many", many, nil, ErrTooLarge},
		{"too much", []placement.IAMChange{{User: big}}, nil, ErrTooLarge},
	} {
		err := s.EditIAM(ctx, func(*placement.Map) ([]placement.IAMChange, error) { return c.changes, c.err })
		if !errors.Is(err, c.want) || c.want == nil && err != nil {
			t.Errorf("%s: %v, want %v", c.what, err, c.want)
		}
	}
	if m := s.Map(); len(m.Users) > 0 {
		t.Errorf("%+v", m.Users)
	}
}

// TestIAMEditsAreSerial: of processes and goroutines that each add to what there is, none is lost, and none sees a map without another's.
// TestAccountsAndBucketsAreSerial: an account is not removed while a bucket is made that it owns, whichever comes first.
func TestAccountsAndBucketsAreSerial(t *testing.T) {
	te := newEtcd(t)
	s, _ := bootstrapped(t, te)
	other, ctx := open(t, te), testContext(t)
	account := &placement.Account{ID: testAccount, Name: "second", Canonical: strings.Repeat("0", 64)}
	want := placement.Bucket{Name: "theirs", Owner: testAccount, Pool: 1}
	editIAM(t, s, placement.IAMChange{Account: account})
	if err := other.Sync(ctx); err != nil {
		t.Fatal(err)
	}
	calls, errInUse := 0, errors.New("in use")
	remove := func(m *placement.Map) ([]placement.IAMChange, error) {
		if calls++; calls == 1 { // just when it was seen that there is no bucket
			if _, made, err := other.CreateBucket(ctx, want); !made || err != nil {
				t.Fatalf("made %v, %v", made, err)
			}
		}
		for _, b := range m.Buckets {
			if b.Owner == testAccount {
				return nil, errInUse
			}
		}
		return []placement.IAMChange{{Account: account, Delete: true}}, nil
	}
	if err := s.EditIAM(ctx, remove); !errors.Is(err, errInUse) || calls != 2 {
		t.Fatalf("with a bucket that was made meanwhile, after %d calls: %v", calls, err)
	}
	b := s.Map().Buckets[want.Name]
	mark, err := s.SetDeleting(ctx, b, true)
	if err == nil {
		err = s.DeleteBucket(ctx, b, mark)
	}
	if err == nil {
		err = s.EditIAM(ctx, remove)
	}
	if err != nil {
		t.Fatal(err)
	}
	if b, made, err := other.CreateBucket(ctx, want); !errors.Is(err, ErrInvalid) {
		t.Errorf("a bucket of an account that is gone: %+v, made %v, %v", b, made, err)
	}
}

func TestIAMEditsAreSerial(t *testing.T) {
	te := newEtcd(t)
	first, _ := bootstrapped(t, te)
	stores := []*Store{first, open(t, te), open(t, te)}
	ctx := testContext(t)
	const each = 8
	var wg sync.WaitGroup
	for i := range each * len(stores) {
		wg.Go(func() {
			err := stores[i%len(stores)].EditIAM(ctx, func(m *placement.Map) ([]placement.IAMChange, error) {
				u := *testUser("counter")
				if old := m.User(testAccount, "counter"); old != nil {
					u = *old
				}
				u.Groups = append(slices.Clone(u.Groups), fmt.Sprint(len(u.Groups)))
				return []placement.IAMChange{{User: &u}}, nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if err := first.Sync(ctx); err != nil {
		t.Fatal(err)
	}
	if n := len(first.Map().User(testAccount, "counter").Groups); n != each*len(stores) {
		t.Errorf("%d of %d changes are there", n, each*len(stores))
	}
}

// TestI1_AnIAMEditHappensOnce: whatever is lost, what change returned last is made, and once.
func TestI1_AnIAMEditHappensOnce(t *testing.T) {
	te := newEtcd(t)
	other, _ := bootstrapped(t, te)
	s, l := openLosing(t, te)
	for _, request := range []bool{false, true} {
		for others := range 3 {
			l.armed, l.request = true, request
			l.then = func() {
				for i := range others {
					editIAM(t, other, placement.IAMChange{User: testUser(fmt.Sprint("other", i))})
				}
			}
			runs := 0
			name := func() string { return fmt.Sprint("mine", request, others, "-", runs) }
			err := s.EditIAM(testContext(t), func(m *placement.Map) ([]placement.IAMChange, error) {
				runs++
				return []placement.IAMChange{{User: testUser(name())}}, nil
			})
			want := 1
			if request && others > 0 { // they came first: it is another change then
				want = 2
			}
			if err != nil || runs != want || s.Map().User(testAccount, name()) == nil || l.armed {
				t.Errorf("request lost %v, %d others: %v, %d runs, want %d", request, others, err, runs, want)
			}
			made := 0
			for u := range s.Map().Users {
				if strings.HasPrefix(u.Folded, fmt.Sprint("mine", request, others)) {
					made++
				}
			}
			if made != 1 {
				t.Errorf("request lost %v, %d others: made %d times", request, others, made)
			}
		}
	}
}

func newKey(t testing.TB, cluster ids.Cluster) *DataKey {
	t.Helper()
	k, err := NewDataKey(cluster)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// sealing has the cluster seal its secrets under k.
func sealing(t testing.TB, s *Store, k *DataKey, by map[string][]byte) {
	t.Helper()
	w, err := k.Wrapped(nil, by)
	if err != nil {
		t.Fatal(err)
	}
	editIAM(t, s, placement.IAMChange{DataKey: w})
	s.SetDataKey(k)
}

// TestSecretsAreSealed: nothing in etcd says a secret once the cluster has a key; who has the key reads them, also those of before.
func TestSecretsAreSealed(t *testing.T) {
	te := newEtcd(t)
	s, in := bootstrapped(t, te)
	ctx := testContext(t)
	editIAM(t, s, placement.IAMChange{Identity: &placement.Identity{AccessKey: "OLD", Secret: "of before", Root: true}})
	k := newKey(t, in.Cluster)
	sealing(t, s, k, nil)
	if got := s.Map().Identities["OLD"]; got.Secret != "of before" || got.Sealed != nil {
		t.Fatalf("a row of before: %+v", got)
	}
	for _, secret := range []string{"very secret", "another secret"} { // new, and changed
		editIAM(t, s, placement.IAMChange{Identity: &placement.Identity{AccessKey: "NEW", Secret: secret}},
			placement.IAMChange{Identity: s.Map().Identities["OLD"]})
		if got := s.Map().Identities["NEW"].Secret; got != secret {
			t.Fatalf("read as %q", got)
		}
	}
	rows, _, err := s.readAll(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, kv := range rows {
		if v := string(kv.Value); strings.Contains(v, "another secret") || strings.Contains(v, "of before") {
			t.Errorf("%s: %s", kv.Key, v)
		}
	}
	without := open(t, te)
	id := without.Map().Identities["NEW"]
	if id.Secret != "" || without.DataKey() != nil {
		t.Fatalf("without the key: %+v", id)
	}
	inactive := *id
	inactive.Inactive = true
	editIAM(t, without, placement.IAMChange{Identity: &inactive}) // it stays sealed as it is
	err = without.EditIAM(ctx, func(*placement.Map) ([]placement.IAMChange, error) {
		return []placement.IAMChange{{Identity: &placement.Identity{AccessKey: "X", Secret: "x"}}}, nil
	})
	if !errors.Is(err, ErrNoDataKey) {
		t.Fatalf("a secret that nobody can seal: %v", err)
	}
	without.SetDataKey(k)
	if got := without.Map().Identities; got["NEW"].Secret != "another secret" || !got["NEW"].Inactive || got["OLD"].Secret != "of before" || !got["OLD"].Root {
		t.Fatalf("with the key: %+v, %+v", got["NEW"], got["OLD"])
	}
	if err := without.load(ctx); err != nil || without.Map().Identities["NEW"].Secret != "another secret" {
		t.Fatal("loaded again", err)
	}
}

// TestOneBadSecretHurtsNoOther: what was sealed under another key, for another access key, or is damaged, is refused and logged once.
func TestOneBadSecretHurtsNoOther(t *testing.T) {
	te := newEtcd(t)
	s, in := bootstrapped(t, te)
	k := newKey(t, in.Cluster)
	sealing(t, s, k, nil)
	for _, name := range []string{"GOOD", "A", "B", "C", "D"} {
		editIAM(t, s, placement.IAMChange{Identity: &placement.Identity{AccessKey: name, Secret: "of " + name, Root: true}})
	}
	var log strings.Builder
	r := open(t, te, func(o *Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	r.SetDataKey(k)
	bad := map[string][]byte{
		"A": s.Map().Identities["GOOD"].Sealed,
		"B": newKey(t, in.Cluster).sealSecret("B", "of B"),
		"C": s.Map().Identities["C"].Sealed[:30],
		"D": {9},
	}
	other := raw(t, te)
	for range 2 {
		for name, sealed := range bad {
			row := encode(placement.Identity{AccessKey: name, Sealed: sealed, Root: true})
			if _, err := other.Put(testContext(t), s.key(iamDir+name), row); err != nil {
				t.Fatal(err)
			}
		}
	}
	editIAM(t, r)
	editIAM(t, r, placement.IAMChange{User: testUser("last")})
	for name, id := range r.Map().Identities {
		if (id.Secret != "") != (name == "GOOD") {
			t.Errorf("%s: %+v", name, id)
		}
	}
	r.Close() // it logs no more
	for name := range bad {
		if n := strings.Count(log.String(), "key="+name+" "); n != 1 {
			t.Errorf("%s is logged %d times:\n%s", name, n, log.String())
		}
	}
	if strings.Contains(log.String(), "of GOOD") {
		t.Error("a secret in the log")
	}
}

// TestDataKeyIsWrapped: who knows one of the secrets opens it; others, and what is not of this cluster, do not.
func TestDataKeyIsWrapped(t *testing.T) {
	cluster := ids.NewCluster()
	k := newKey(t, cluster)
	rootKey, err := CopyKey("root's password", cluster)
	if err != nil {
		t.Fatal(err)
	}
	wrong := make([]byte, 32)
	w, err := k.Wrapped(nil, map[string][]byte{placement.WrapRoot: rootKey, placement.WrapCluster: wrong})
	if err != nil {
		t.Fatal(err)
	}
	again, err := k.Wrapped(w, map[string][]byte{placement.WrapCluster: rootKey})
	if err != nil || len(again.Wraps) != 2 || string(again.Wraps[placement.WrapRoot]) != string(w.Wraps[placement.WrapRoot]) {
		t.Fatalf("%+v, %v", again, err)
	}
	for _, by := range []string{placement.WrapRoot, placement.WrapCluster} {
		if got, err := Unwrap(cluster, again, by, rootKey); err != nil || got.ID() != k.ID() || string(got.Bytes()) != string(k.Bytes()) {
			t.Errorf("by %s: %v", by, err)
		}
	}
	for what, try := range map[string]func() (*DataKey, error){
		"another key":     func() (*DataKey, error) { return Unwrap(cluster, w, placement.WrapRoot, wrong) },
		"another cluster": func() (*DataKey, error) { return Unwrap(ids.NewCluster(), w, placement.WrapRoot, rootKey) },
		"not there":       func() (*DataKey, error) { return Unwrap(cluster, w, "x", rootKey) },
		"another id": func() (*DataKey, error) {
			return Unwrap(cluster, &placement.WrappedKey{ID: "0", Wraps: w.Wraps}, placement.WrapRoot, rootKey)
		},
	} {
		if k, err := try(); !errors.Is(err, ErrSealed) {
			t.Errorf("%s: %v, %v", what, k, err)
		}
	}
}

func TestGolden_Secret(t *testing.T) {
	k, err := ParseDataKey(goldenCluster, goldenKey)
	if err != nil || k.ID() != "95b08867a39699b4" {
		t.Fatal(k.ID(), err)
	}
	b := newBuilder(emptyMap(), 0, nil)
	b.key = k
	const row = `{"version":1,"record":{"accessKey":"SHERDKEY","sealed":"AZWwiGejlpm0up52HefgwvHAnR519t3Z1KomnYMn0o9KKz/WkgNDaus3ohkZfhgrBA==","root":true}}`
	if err := b.putRow("iam/SHERDKEY", []byte(row), 1); err != nil || b.m.Identities["SHERDKEY"].Secret != "not a secret" {
		t.Fatalf("%+v, %v, %v", b.m.Identities["SHERDKEY"], err, b.unopened)
	}
}

// bigMap is a map with n users, their keys, and a few groups and policies.
func bigMap(t testing.TB, n int, k *DataKey) *placement.Map {
	b := newBuilder(emptyMap(), 0, func(key string, err error) { t.Errorf("%s: %v", key, err) })
	b.m.Cluster = k.cluster
	b.key = k
	for i := range n {
		name := fmt.Sprintf("user%05d", i)
		put := func(key, value string) { b.put(key, &mvccpb.KeyValue{Value: []byte(value)}) }
		put(usersDir+testAccount+"/"+name, encode(testUser(name)))
		put(iamDir+"KEY"+name, encode(placement.Identity{AccessKey: "KEY" + name, Sealed: k.sealSecret("KEY"+name, "secret"), User: name, Account: testAccount}))
	}
	return b.build(1)
}

// BenchmarkChangedUser: one changed row of 10,000 users.
func BenchmarkChangedUser(b *testing.B) {
	k := newKey(b, goldenCluster)
	m := bigMap(b, 10_000, k)
	row := &mvccpb.KeyValue{Value: []byte(encode(testUser("user00007"))), ModRevision: 2}
	b.ReportAllocs()
	for b.Loop() {
		next := newBuilder(m, 0, nil)
		next.key = k
		next.put(usersDir+testAccount+"/user00007", row)
		if len(next.build(2).Users) != 10_000 {
			b.Fatal("users are gone")
		}
	}
}

// BenchmarkLoadUsers: all rows of 10,000 users with a key each, as at a start.
func BenchmarkLoadUsers(b *testing.B) {
	k := newKey(b, goldenCluster)
	for b.Loop() {
		bigMap(b, 10_000, k)
	}
}

// TestManyUsers: what did not change is shared, however many there are, and one change copies no other collection.
func TestManyUsers(t *testing.T) {
	k := newKey(t, goldenCluster)
	m := bigMap(t, 3000, k)
	if id := m.Identities["KEYuser02999"]; len(m.Users) != 3000 || id.Secret != "secret" {
		t.Fatalf("%d users, %+v", len(m.Users), id)
	}
	b := newBuilder(m, 0, nil)
	b.key = k
	b.put(usersDir+testAccount+"/user00007", &mvccpb.KeyValue{Value: []byte(encode(testUser("user00007")))})
	next := b.build(2)
	for name, u := range next.Users {
		if (u == m.Users[name]) == (name.Folded == "user00007") {
			t.Fatalf("%s: shared %v", name.Folded, u == m.Users[name])
		}
	}
	m.Identities["probe"] = nil
	if _, shared := next.Identities["probe"]; !shared {
		t.Error("the access keys were copied though none changed")
	}
}

// TestIAMOfSeveralProcesses: a change shows in another process's map by itself.
func TestIAMOfSeveralProcesses(t *testing.T) {
	te := newEtcd(t)
	s, _ := bootstrapped(t, te)
	other := open(t, te)
	editIAM(t, s, placement.IAMChange{User: testUser("Alice")})
	ctx, cancel := context.WithTimeout(testContext(t), poll.Within)
	defer cancel()
	if _, err := other.Wait(ctx, func(m *placement.Map) bool { return m.User(testAccount, "alice") != nil }); err != nil {
		t.Fatal(err)
	}
}
