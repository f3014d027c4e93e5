package state

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/sherd-io/sherd/internal/hlc"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta/metapb"
)

var soak = flag.Bool("soak", false, "full counts")

// promise is what was answered about a version: until when it is there for whom.
type promise struct {
	key                    string
	ts                     hlc.Stamp
	body                   ids.Upload
	governance, compliance int64
	hold                   bool
}

func (p *promise) holds(now int64, bypass bool) bool {
	return p.hold || p.compliance > now || p.governance > now && !bypass
}

// lockers are clients, administrators among them, that do all they can to versions of a few keys.
type lockers struct {
	t        *testing.T
	seed     uint64
	rng      *rand.Rand
	k        *maker
	r        *replica
	keys     []string
	rules    *metapb.Rules
	promises []*promise
	lost     int // versions that went when they could
}

func (l *lockers) do(c *metapb.Command) *metapb.Result {
	c.Rules, c.Level = l.rules.Revision, LevelVersions
	return l.r.apply(c)[0]
}

func (l *lockers) now() int64 { return l.r.m.Last().Time().UnixMilli() }

func (l *lockers) retention() (mode metapb.LockMode, until int64) {
	if mode = metapb.LockMode(l.rng.IntN(3)); mode != metapb.LockMode_NO_RETENTION {
		until = l.now() + int64(l.rng.IntN(30))
	}
	return mode, until
}

// set writes down that p was given a retention.
func (p *promise) set(mode metapb.LockMode, until int64) {
	p.governance, p.compliance = 0, 0
	switch mode {
	case metapb.LockMode_GOVERNANCE:
		p.governance = until
	case metapb.LockMode_COMPLIANCE:
		p.compliance = until
	}
}

func (l *lockers) put() {
	put := l.k.object(1, pick(l.rng, l.keys...), 4096)
	if l.rng.IntN(2) == 0 {
		put.Version.Details.Lock = &metapb.Lock{LegalHold: l.rng.IntN(8) == 0}
		put.Version.Details.Lock.Mode, put.Version.Details.Lock.Until = l.retention()
	}
	res := l.do(l.k.put(put))
	if res.Code != metapb.Code_OK {
		return
	}
	v, _, err := Get(l.r.db, 1, put.Key, GetOptions{AsOf: hlc.Stamp(res.Ts)})
	check0(l.t, err)
	p := &promise{key: put.Key, ts: hlc.Stamp(res.Ts), body: ids.Upload(put.Version.Details.Extent.Upload)}
	lock := put.Version.Details.Lock
	if p.hold = lock.GetLegalHold(); lock.GetMode() != metapb.LockMode_NO_RETENTION {
		p.set(lock.Mode, lock.Until)
	} else if mode := l.rules.DefaultMode; mode != metapb.LockMode_NO_RETENTION {
		p.set(mode, hlc.Stamp(res.Ts).Time().AddDate(0, 0, int(l.rules.DefaultDays)).UnixMilli())
	}
	if got := v.Details.Lock.GetUntil(); got != max(p.governance, p.compliance) {
		l.t.Fatalf("seed %d: a version that was put with %v is kept until %d, not %d", l.seed, lock, got, max(p.governance, p.compliance))
	}
	l.promises = append(l.promises, p)
}

// name names p's version.
func (p *promise) name(r *replica) (version uint64, null bool) {
	v, _, err := Get(r.db, 1, p.key, GetOptions{AsOf: p.ts})
	if err == nil && hlc.Stamp(v.Ts) == p.ts && !v.Versioned {
		return 0, true
	}
	return uint64(p.ts), false
}

// update changes p's lock, and fails if that takes away what was promised.
func (l *lockers) update(p *promise) {
	u := &metapb.UpdateVersion{Bucket: 1, Key: p.key}
	u.Version, u.Null = p.name(l.r)
	c := l.k.command()
	c.Op = &metapb.Command_Update{Update: u}
	switch l.rng.IntN(5) {
	case 0:
		u.Change = &metapb.UpdateVersion_Tags{Tags: "a=b"}
		l.do(c)
	case 1:
		hold := l.rng.IntN(3) == 0
		if u.Change = (&metapb.UpdateVersion_LegalHold{LegalHold: hold}); l.do(c).Code == metapb.Code_OK {
			p.hold = hold
		}
	default:
		r := &metapb.Retention{BypassGovernance: l.rng.IntN(3) == 0}
		r.Mode, r.Until = l.retention()
		u.Change = &metapb.UpdateVersion_Retention{Retention: r}
		if l.do(c).Code != metapb.Code_OK {
			return
		}
		was, now := *p, l.now()
		p.set(r.Mode, r.Until)
		if was.compliance > now && p.compliance < was.compliance {
			l.t.Fatalf("seed %d: compliance until %d was weakened at %d to %v", l.seed, was.compliance, now, r)
		}
		if was.governance > now && !r.BypassGovernance && p.governance < was.governance {
			l.t.Fatalf("seed %d: governance until %d was changed at %d to %v", l.seed, was.governance, now, r)
		}
	}
}

// delete tries to remove p's version by its name.
func (l *lockers) delete(p *promise) {
	t := &metapb.DeleteTarget{Key: p.key, BypassGovernance: l.rng.IntN(2) == 0}
	t.Version, t.Null = p.name(l.r)
	c := l.k.command()
	c.Op = &metapb.Command_Delete{Delete: &metapb.DeleteVersions{Bucket: 1, Targets: []*metapb.DeleteTarget{t}}}
	if l.do(c).GetDeleted()[0].GetCode() == metapb.Code_OK && !p.holds(l.now(), t.BypassGovernance) {
		p.governance = 0 // it went by who may
	}
}

// reencode moves p's body to another pool.
func (l *lockers) reencode(p *promise) {
	c := l.k.command()
	r := &metapb.Reencode{Bucket: 1, Key: p.key, Ts: uint64(p.ts), Upload: p.body[:], Extent: l.k.extent(4096)}
	c.Op = &metapb.Command_Reencode{Reencode: r}
	if l.do(c).Code == metapb.Code_OK {
		p.body = ids.Upload(r.Extent.Upload)
	}
}

// administer does what gets around nothing: another versioning, no lock any more, a closed pool, a seal, keys deleted the old way,
// a revision.
func (l *lockers) administer() {
	c, key := l.k.command(), pick(l.rng, l.keys...)
	switch l.rng.IntN(6) {
	case 0:
		rules := &metapb.Rules{Revision: l.rules.Revision + 1, Versioning: metapb.Versioning(l.rng.IntN(3))}
		if l.rng.IntN(3) > 0 {
			rules.Versioning, rules.Lock = metapb.Versioning_ENABLED, true
			if l.rng.IntN(3) == 0 {
				rules.DefaultMode, rules.DefaultDays = metapb.LockMode(1+l.rng.IntN(2)), 1
			}
		}
		c.Op = &metapb.Command_SetRules{SetRules: &metapb.SetRules{Bucket: 1, Rules: rules}}
		l.do(c)
		l.rules = rules
		return
	case 1:
		c.Op = &metapb.Command_ClosePool{ClosePool: &metapb.ClosePool{Pool: 1, Off: l.rng.IntN(3) > 0}}
	case 2:
		c.Op = &metapb.Command_Seal{Seal: &metapb.Seal{Bucket: 1, Off: l.rng.IntN(3) > 0}}
	case 3:
		v, _, err := Get(l.r.db, 1, key, GetOptions{})
		if err != nil {
			return
		}
		c.Op = &metapb.Command_Put{Put: &metapb.PutVersion{Bucket: 1, Key: key, Revises: v.Ts, Version: &metapb.Version{Details: new(metapb.Details)}}}
	default:
		c.Op = &metapb.Command_Delete{Delete: &metapb.DeleteVersions{Bucket: 1, Keys: l.keys}}
	}
	l.do(c)
}

// check fails if a version is gone that was promised to be there, or its body.
func (l *lockers) check() {
	l.t.Helper()
	kept := l.promises[:0]
	for _, p := range l.promises {
		v, _, err := Get(l.r.db, 1, p.key, GetOptions{AsOf: p.ts})
		there := err == nil && hlc.Stamp(v.Ts) == p.ts
		ref, err := Referenced(l.r.db, 1, p.key, p.body)
		check0(l.t, err)
		if p.holds(l.now(), false) && (!there || ref != Live) {
			l.t.Fatalf("seed %d: a locked version is lost at %d: %+v; its body is %v", l.seed, l.now(), p, ref)
		}
		if there {
			kept = append(kept, p)
		} else {
			l.lost++
		}
	}
	l.promises = kept
}

func (l *lockers) step() {
	any := func(do func(*promise)) {
		if len(l.promises) > 0 {
			do(pick(l.rng, l.promises...))
		}
	}
	switch l.rng.IntN(10) {
	case 0, 1, 2:
		l.put()
	case 3, 4:
		any(l.update)
	case 5, 6, 7:
		any(l.delete)
	case 8:
		any(l.reencode)
	default:
		l.administer()
	}
	l.check()
}

// TestLockedVersionsAreNeverLost lets many interleavings of put, lock, shorten, delete, bypass and what administrators can do go over
// a range. After each command all that was promised to be there is there, with its body.
func TestLockedVersionsAreNeverLost(t *testing.T) {
	histories := seeds(50)
	if *soak {
		histories = 10_000
	}
	k := maker{now: start}
	r := newReplica(t, Span{ID: 4})
	lost, rules := 0, &metapb.Rules{}
	for seed := range histories {
		l := &lockers{
			t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 11)), k: &k, r: r, rules: rules,
			keys: []string{fmt.Sprint(seed, "/a"), fmt.Sprint(seed, "/b")},
		}
		for range 60 {
			l.step()
		}
		r.load()
		lost, rules = lost+l.lost, l.rules
	}
	if lost < int(histories) {
		t.Errorf("only %d versions went in %d histories: too little was deleted to show anything", lost, histories)
	}
}

// TestRevisionKeepsLocks: a null version may be locked, and rules may come back that know no versions: then it is revised, as others are,
// but not while its lock lasts, and it keeps what is said of its lock.
func TestRevisionKeepsLocks(t *testing.T) {
	k := maker{now: start}
	r := newReplica(t, Span{ID: 4})
	revision := int64(0)
	do := func(want metapb.Code, op func(*metapb.Command)) *metapb.Result {
		t.Helper()
		c := k.command()
		c.Rules, c.Level = revision, LevelVersions
		op(c)
		res := r.apply(c)[0]
		if res.Code != want {
			t.Fatalf("%v: %v, want %v", c, res.Code, want)
		}
		return res
	}
	rules := func(v metapb.Versioning, lock bool) {
		do(metapb.Code_OK, func(c *metapb.Command) {
			c.Op = &metapb.Command_SetRules{SetRules: &metapb.SetRules{Bucket: 1, Rules: &metapb.Rules{Revision: revision + 1, Versioning: v, Lock: lock}}}
		})
		revision++
	}
	revise := func(want metapb.Code, ts uint64) uint64 {
		t.Helper()
		return do(want, func(c *metapb.Command) {
			c.Op = &metapb.Command_Put{Put: &metapb.PutVersion{Bucket: 1, Key: "k", Revises: ts, Version: &metapb.Version{Details: &metapb.Details{Tags: "a=b"}}}}
		}).Ts
	}
	ts := do(metapb.Code_OK, func(c *metapb.Command) { c.Op = &metapb.Command_Put{Put: k.object(1, "k", 4096)} }).Ts
	rules(metapb.Versioning_ENABLED, true)
	until := k.now.Time().UnixMilli() + 6
	do(metapb.Code_OK, func(c *metapb.Command) {
		retention := &metapb.Retention{Mode: metapb.LockMode_GOVERNANCE, Until: until}
		c.Op = &metapb.Command_Update{Update: &metapb.UpdateVersion{Bucket: 1, Key: "k", Null: true, Change: &metapb.UpdateVersion_Retention{Retention: retention}}}
	})
	rules(metapb.Versioning_NEVER, false)
	revise(metapb.Code_LOCKED, ts)
	for k.now.Time().UnixMilli() < until {
		k.command()
	}
	ts = revise(metapb.Code_OK, ts)
	v, _, err := Get(r.db, 1, "k", GetOptions{})
	check0(t, err)
	if l := v.Details.Lock; v.Ts != ts || v.Details.Tags != "a=b" || l.GetMode() != metapb.LockMode_GOVERNANCE || l.GetUntil() != until {
		t.Fatalf("revised: %v", v)
	}
}

// TestDefaultLockKeepsDetails: a version that gets the bucket's default retention keeps all else that its details say, whatever fields they come to
// have. Only who began an upload is not a version's.
func TestDefaultLockKeepsDetails(t *testing.T) {
	given := &metapb.Details{
		Headers: []*metapb.Header{{Name: "content-type", Value: "a/b"}}, Checksum: &metapb.Checksum{Value: []byte{1}}, Extent: &metapb.Extent{Size: 1},
		Owner: "owner", StorageClass: "class", Tags: "a=b", Lock: &metapb.Lock{LegalHold: true}, Acl: "acl", Changed: 1, Initiator: "initiator",
	}
	m := &Machine{rules: map[ids.Bucket]*metapb.Rules{1: {Lock: true, DefaultMode: metapb.LockMode_COMPLIANCE, DefaultDays: 1}}}
	got := m.withDefaultLock(1, &metapb.Version{Details: given}, hlc.Stamp(1)<<40)
	if !got.Lock.GetLegalHold() || got.Lock.GetMode() != metapb.LockMode_COMPLIANCE || got.Lock.GetUntil() == 0 {
		t.Errorf("the lock is %v", got.Lock)
	}
	want, have := given.ProtoReflect(), got.ProtoReflect()
	for i := range want.Descriptor().Fields().Len() {
		f := want.Descriptor().Fields().Get(i)
		if !want.Has(f) {
			t.Fatalf("this test gives no %s", f.Name())
		}
		if f.Name() != "lock" && f.Name() != "initiator" && !want.Get(f).Equal(have.Get(f)) {
			t.Errorf("%s is lost", f.Name())
		}
	}
}
