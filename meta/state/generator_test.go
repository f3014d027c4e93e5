package state

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta/metapb"
)

// generator makes commands that often meet what is there.
type generator struct {
	rng  *rand.Rand
	k    maker
	m    *model
	r    *replica
	past []*metapb.Command
	ids  []ids.Upload // of uploads
	keys []string     // nil: those of key
}

func (g *generator) next() *metapb.Command {
	if len(g.past) > 0 && g.rng.IntN(10) == 0 { // a retry
		return g.past[g.rng.IntN(len(g.past))]
	}
	c := g.k.command()
	switch g.rng.IntN(200) {
	case 0:
		g.k.now = g.k.now.Add(requestKept)
	case 1:
		c.Ts -= uint64(g.rng.IntN(1 << 30)) // a leader whose clock is behind
	}
	c.Rules = g.m.rules
	if g.rng.IntN(20) == 0 { // of a gateway that lags, or is ahead of the range
		c.Rules += int64(g.rng.IntN(3)) - 1
	}
	g.op(c)
	g.past = append(g.past, c)
	return c
}

func (g *generator) key() string {
	if g.keys != nil {
		return pick(g.rng, g.keys...)
	}
	return pick(g.rng, "a", "a/b", "a\x00", "b")
}

// home is the key of an upload.
func (g *generator) home(id []byte) string {
	if g.keys != nil {
		return g.keys[int(id[15])%len(g.keys)]
	}
	return "a"
}

func (g *generator) missed() (all []*metapb.Missed) {
	for range g.rng.IntN(12) - 9 {
		all = append(all, &metapb.Missed{Slot: uint32(g.rng.IntN(3))})
	}
	return all
}

// dead is a body of key that is being reclaimed, if there is one.
func (g *generator) dead(key string) []byte {
	var all []string
	for r := range g.m.reclaims {
		if len(r) == len(key)+16 && r[:len(key)] == key {
			all = append(all, r[len(key):])
		}
	}
	if len(all) == 0 {
		return nil
	}
	slices.Sort(all)
	return []byte(all[g.rng.IntN(len(all))])
}

func (g *generator) condition() *metapb.Condition {
	etag := "*"
	o := g.m.newest(g.key())
	if o != nil && !o.marker && g.rng.IntN(2) == 0 {
		etag = o.etag
	}
	if c := new(metapb.Condition); o != nil && g.rng.IntN(16) == 0 {
		c.IfModified, c.HasIfSize, c.IfSize = o.ts.Time().Unix(), g.rng.IntN(2) == 0, o.size+uint64(g.rng.IntN(2))
		return c
	}
	switch g.rng.IntN(8) {
	case 0:
		return &metapb.Condition{IfMatch: etag}
	case 1:
		return &metapb.Condition{IfNoneMatch: etag}
	}
	return nil
}

// upload picks an id that was used before.
func (g *generator) upload() []byte {
	if len(g.ids) == 0 || g.rng.IntN(4) == 0 {
		g.ids = append(g.ids, g.k.id())
	}
	return g.ids[g.rng.IntN(len(g.ids))][:]
}

func (g *generator) op(c *metapb.Command) {
	key := g.key()
	if g.rng.IntN(4) == 0 {
		g.version(c, key)
		return
	}
	switch n := g.rng.IntN(100); {
	case n < 35:
		p := g.k.object(1, key, uint64(1+g.rng.IntN(9000)))
		if g.m.set.GetLock() && g.rng.IntN(3) == 0 {
			p.Version.Details.Lock = &metapb.Lock{LegalHold: g.rng.IntN(4) == 0}
			p.Version.Details.Lock.Mode, p.Version.Details.Lock.Until = g.retention()
		}
		p.Condition, p.Missed = g.condition(), g.missed()
		if dead := g.dead(key); dead != nil && g.rng.IntN(4) == 0 {
			p.Version.Details.Extent.Upload = dead
		} else if g.rng.IntN(3) == 0 {
			p.Version.Details.Extent, p.Missed = nil, nil
			p.HasInline, p.Inline = true, []byte(fmt.Sprint(n))
		}
		c.Op = &metapb.Command_Put{Put: p}
	case n < 50:
		c.Op = &metapb.Command_Delete{Delete: &metapb.DeleteVersions{Bucket: 1, Keys: []string{key, g.key()}, Condition: g.condition()}}
	case n < 58:
		id := g.k.id()
		g.ids = append(g.ids, id)
		c.Op = &metapb.Command_CreateUpload{CreateUpload: &metapb.CreateUpload{Bucket: 1, Key: g.home(id[:]), Id: id[:]}}
	case n < 64:
		c.Op = &metapb.Command_Reencode{Reencode: g.reencode(key)}
	case n < 78:
		e := g.k.extent(uint64(1 + g.rng.IntN(9000)))
		e.Part, e.Md5 = uint32(1+g.rng.IntN(3)), make([]byte, 16)
		id := g.upload()
		c.Op = &metapb.Command_PutPart{PutPart: &metapb.PutPart{Bucket: 1, Key: g.home(id), Id: id, Extent: e, Missed: g.missed()}}
	case n < 88:
		c.Op = &metapb.Command_CompleteUpload{CompleteUpload: g.complete()}
	case n < 91:
		id := g.upload()
		c.Op = &metapb.Command_AbortUpload{AbortUpload: &metapb.AbortUpload{Bucket: 1, Key: g.home(id), Id: id}}
	default:
		g.rare(c, n)
	}
}

func (g *generator) rare(c *metapb.Command, n int) {
	switch n {
	case 91, 92:
		rows, _, err := ReclaimRows(g.r.db, g.r.span, stampMax, nil, 2)
		check0(g.r.t, err)
		c.Op = &metapb.Command_AckReclaim{AckReclaim: &metapb.AckReclaim{Rows: rows}}
	case 93, 94:
		rows, _, err := RepairRows(g.r.db, g.r.span, nil, 2)
		check0(g.r.t, err)
		c.Op = &metapb.Command_AckRepair{AckRepair: &metapb.AckRepair{Rows: rows}}
	case 95:
		c.Op = &metapb.Command_RaiseClosed{RaiseClosed: &metapb.RaiseClosed{Closed: uint64(g.k.now - 1<<20)}}
	case 97:
		c.Op = &metapb.Command_SetRules{SetRules: &metapb.SetRules{Bucket: 1, Rules: g.rules()}}
	case 98:
		c.Op = &metapb.Command_ClosePool{ClosePool: &metapb.ClosePool{Pool: uint32(1 + g.rng.IntN(2)), Off: g.rng.IntN(3) > 0}}
	case 96:
		c.Op = &metapb.Command_Seal{Seal: &metapb.Seal{Bucket: 1}}
	default:
		c.Op = &metapb.Command_Seal{Seal: &metapb.Seal{Bucket: 1, Off: true}}
	}
}

// reencode names a body that is there or, seldom, something near to it.
func (g *generator) reencode(key string) *metapb.Reencode {
	c := &metapb.Reencode{Bucket: 1, Key: key, Extent: g.k.extent(1), Missed: g.missed()}
	c.Extent.Pool = uint32(1 + g.rng.IntN(3))
	o := g.any(key)
	if o == nil || len(o.bodies) == 0 {
		id := g.k.id()
		c.Upload = id[:]
		return c
	}
	c.Ts, c.Upload = uint64(o.ts), []byte(pick(g.rng, o.bodies...))
	extents, err := Extents(g.r.db, 1, key, o.ts, 0, partMax)
	check0(g.r.t, err)
	c.Extent.Size = o.size
	for _, e := range extents {
		if string(e.Upload) == string(c.Upload) {
			c.Offset, c.Extent.Size = e.Offset, e.Size
		}
	}
	switch g.rng.IntN(8) {
	case 0:
		c.Ts--
	case 1:
		id := g.k.id()
		c.Upload = id[:]
	case 2:
		if dead := g.dead(key); dead != nil && string(dead) != string(c.Upload) {
			c.Extent.Upload = dead
		}
	}
	return c
}

// complete names the parts that are there, or nearly.
func (g *generator) complete() *metapb.CompleteUpload {
	id := g.upload()
	c := &metapb.CompleteUpload{Bucket: 1, Key: g.home(id), Id: id, Condition: g.condition(), Version: &metapb.Version{Md5: make([]byte, 16)}}
	if u := g.m.uploads[name(c)]; u != nil {
		for _, n := range slices.Sorted(maps.Keys(u.parts)) {
			if g.rng.IntN(4) > 0 {
				c.Parts = append(c.Parts, &metapb.PartRef{Part: n, Upload: u.parts[n].Upload, Md5: u.parts[n].Md5})
				c.Version.Size += u.parts[n].Size
			}
		}
	}
	if len(c.Parts) == 0 {
		id := g.k.id()
		c.Parts, c.Version.Size = []*metapb.PartRef{{Part: 1, Upload: id[:]}}, 1
	}
	c.Version.Parts = uint32(len(c.Parts))
	return c
}

// any is some version of a key; nil if it has none.
func (g *generator) any(key string) *modelObject {
	all := g.m.objects[key]
	if len(all) == 0 {
		return nil
	}
	return all[g.rng.IntN(len(all))]
}

// retention ends soon, if there is one.
func (g *generator) retention() (mode metapb.LockMode, until int64) {
	if mode = metapb.LockMode(g.rng.IntN(3)); mode != metapb.LockMode_NO_RETENTION {
		until = g.k.now.Time().UnixMilli() + int64(g.rng.IntN(60)) - 5
	}
	return mode, until
}

func (g *generator) rules() *metapb.Rules {
	r := &metapb.Rules{Revision: max(1, g.m.rules+int64(g.rng.IntN(3))-1)}
	r.Versioning = metapb.Versioning(min(g.rng.IntN(5), 2)) // mostly suspended: where most can happen
	if g.rng.IntN(3) == 0 {
		r.Versioning, r.Lock = metapb.Versioning_ENABLED, g.rng.IntN(3) > 0
	}
	if r.Lock && g.rng.IntN(4) == 0 {
		r.DefaultMode, r.DefaultDays = metapb.LockMode_GOVERNANCE, 1
	}
	return r
}

// version makes c about versions of a key.
func (g *generator) version(c *metapb.Command, key string) {
	switch n := g.rng.IntN(10); {
	case n < 5:
		d := &metapb.DeleteVersions{Bucket: 1, Owner: pick(g.rng, "", "111122223333")}
		for range 1 + g.rng.IntN(3) {
			t := &metapb.DeleteTarget{Key: key, Condition: g.condition(), BypassGovernance: g.rng.IntN(2) == 0}
			t.Version, t.Null = g.name(key)
			d.Targets = append(d.Targets, t)
		}
		c.Op = &metapb.Command_Delete{Delete: d}
	case n < 9:
		c.Op = &metapb.Command_Update{Update: g.update(key)}
	default:
		c.Op = &metapb.Command_SetRules{SetRules: &metapb.SetRules{Bucket: 1, Rules: g.rules()}}
	}
}

// name names a version of a key: the newest, the null version, one that is there or, seldom, one that is not.
func (g *generator) name(key string) (version uint64, null bool) {
	o := g.any(key)
	switch n := g.rng.IntN(6); {
	case n < 2:
		return 0, false
	case n == 2:
		return 0, true
	case o == nil || n == 3 && g.rng.IntN(2) == 0:
		return uint64(g.k.now - 1), false
	}
	return uint64(o.ts), false // also of a null version, whose stamp is no id
}

func (g *generator) update(key string) *metapb.UpdateVersion {
	u := &metapb.UpdateVersion{Bucket: 1, Key: key}
	u.Version, u.Null = g.name(key)
	if o := g.any(key); o != nil && g.rng.IntN(3) == 0 {
		u.Expect = &metapb.Expect{Ts: uint64(o.ts), Changed: uint64(o.details.changed)}
		if g.rng.IntN(4) == 0 {
			u.Expect.Changed-- // it was read before the last change
		}
	}
	switch g.rng.IntN(6) {
	case 0:
		u.Change = &metapb.UpdateVersion_Tags{Tags: fmt.Sprint(g.rng.IntN(9))}
	case 1:
		u.Change = &metapb.UpdateVersion_Acl{Acl: fmt.Sprint(g.rng.IntN(9))}
	case 2:
		u.Change = &metapb.UpdateVersion_LegalHold{LegalHold: g.rng.IntN(3) == 0}
	default:
		r := &metapb.Retention{BypassGovernance: g.rng.IntN(3) == 0}
		r.Mode, r.Until = g.retention()
		u.Change = &metapb.UpdateVersion_Retention{Retention: r}
	}
	return u
}
