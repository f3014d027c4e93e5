package store

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/placement"
)

// builder makes the next Map from the last one and a batch of row changes. A collection is copied when the first row
// in it changes; all others are shared.
type builder struct {
	m    placement.Map
	base int64 // RevisionBase

	// copied already:
	nodes, alive, drives, pools, ranges, buckets, settings bool
	accounts, users, groups, policies, identities          bool
	tables                                                 map[ids.Pool]bool

	key      *DataKey         // nil: secrets that are sealed stay so
	unopened map[string]error // access keys whose secret key does not open

	bad func(key string, err error)
}

func newBuilder(old *placement.Map, base int64, bad func(string, error)) *builder {
	return &builder{m: *old, base: base, tables: map[ids.Pool]bool{}, bad: bad}
}

// newBuilder makes one that opens secrets. building is held.
func (s *Store) newBuilder(old *placement.Map, base int64, bad func(string, error)) *builder {
	b := newBuilder(old, base, bad)
	b.key = s.dataKey.Load()
	return b
}

func emptyMap() *placement.Map {
	return &placement.Map{
		Nodes:      map[string]*placement.Node{},
		Alive:      map[string]bool{},
		Drives:     map[ids.Drive]*placement.Drive{},
		Pools:      map[ids.Pool]*placement.Pool{},
		Buckets:    map[string]*placement.Bucket{},
		Settings:   map[string]string{},
		Accounts:   map[string]*placement.Account{},
		Users:      map[placement.Name]*placement.User{},
		Groups:     map[placement.Name]*placement.Group{},
		Policies:   map[placement.Name]*placement.Policy{},
		Identities: map[string]*placement.Identity{},
	}
}

// own copies a collection the first time.
func own[K comparable, V any](copied *bool, of *map[K]V) map[K]V {
	if !*copied {
		*of, *copied = maps.Clone(*of), true
	}
	return *of
}

// put takes a row; key is below the prefix. A row that is not understood changes nothing.
func (b *builder) put(key string, kv *mvccpb.KeyValue) {
	if err := b.putRow(key, kv.Value, b.base+kv.ModRevision); err != nil {
		b.bad(key, err)
	}
}

func (b *builder) putRow(key string, value []byte, revision int64) error {
	dir, rest := split(key)
	switch dir {
	case clusterKey:
		return b.putCluster(value)
	case nodesDir:
		return putNamed(value, rest, &b.nodes, &b.m.Nodes, func(n *placement.Node) (string, error) { return n.Name, nil })
	case aliveDir:
		own(&b.alive, &b.m.Alive)[rest] = true // that there is a row says it, whatever is in it
		return nil
	case drivesDir:
		return b.putDrive(rest, value, revision)
	case poolsDir:
		return b.putPool(rest, value)
	case pgsDir:
		return b.putPG(rest, value, revision)
	case rangesDir:
		return b.putRange(rest, value, revision)
	case bucketsDir:
		return putNamed(value, rest, &b.buckets, &b.m.Buckets, func(r *placement.Bucket) (string, error) {
			r.Revision = revision
			return r.Name, nil
		})
	case accountsDir:
		return b.putAccount(rest, value)
	case usersDir:
		return b.putUser(rest, value)
	case groupsDir:
		return b.putGroup(rest, value)
	case policiesDir:
		return b.putPolicy(rest, value)
	case iamDir:
		return b.putIdentity(rest, value)
	case secretsDir:
		return b.putDataKey(key, value)
	case settingsDir:
		v, err := decode[string](value)
		if err == nil {
			own(&b.settings, &b.m.Settings)[rest] = *v
		}
		return err
	}
	return nil // last, next/, lock/, elect/, tokens/: not of the map
}

// split cuts "dir/" off a key; a key without a directory is its own.
func split(key string) (dir, rest string) {
	if i := strings.IndexByte(key, '/'); i >= 0 {
		return key[:i+1], key[i+1:]
	}
	return key, ""
}

// putNamed takes a row that says itself what it is called; nameOf also checks it.
func putNamed[K comparable, T any](value []byte, name K, copied *bool, of *map[K]*T, nameOf func(*T) (K, error)) error {
	r, err := decode[T](value)
	if err != nil {
		return err
	}
	named, err := nameOf(r)
	if err != nil {
		return err
	}
	if named != name {
		return fmt.Errorf("%w: names %v", ErrCorrupt, named)
	}
	own(copied, of)[name] = r
	return nil
}

func (b *builder) putCluster(value []byte) error {
	c, err := decode[cluster](value)
	if err != nil {
		return err
	}
	b.m.Cluster, b.m.Generation = c.ID, c.Generation
	return nil
}

func (b *builder) putDataKey(key string, value []byte) error {
	if key != dataKeyKey {
		return nil
	}
	k, err := decode[placement.WrappedKey](value)
	if err != nil {
		return err
	}
	if k.ID == "" {
		return fmt.Errorf("%w: a key without an id", ErrCorrupt)
	}
	b.m.DataKey = k
	return nil
}

func (b *builder) putDrive(rest string, value []byte, revision int64) error {
	d, err := decode[placement.Drive](value)
	if err != nil {
		return err
	}
	if d.ID.String() != rest {
		return fmt.Errorf("%w: names drive %s", ErrCorrupt, d.ID)
	}
	d.Revision = revision
	own(&b.drives, &b.m.Drives)[d.ID] = d
	return nil
}

func (b *builder) putPool(rest string, value []byte) error {
	id, err := parsePoolKey(rest)
	if err != nil {
		return err
	}
	p, err := decode[placement.Pool](value)
	if err != nil {
		return err
	}
	if p.ID != id {
		return fmt.Errorf("%w: names pool %d", ErrCorrupt, p.ID)
	}
	if err := checkPool(p); err != nil {
		return err
	}
	if old := b.m.Pools[id]; old != nil && old.PGCount == p.PGCount && old.N() == p.N() {
		p.PGs = old.PGs
	} else {
		p.PGs = make([]*placement.PG, p.PGCount)
		for i := range p.PGs {
			p.PGs[i] = vacant(p.N())
		}
		b.tables[id] = true
	}
	own(&b.pools, &b.m.Pools)[id] = p
	return nil
}

// vacant stands for a PG whose row is missing or was never readable: no drive owns its slots, so it can neither be
// written nor read, and nobody trips over it.
func vacant(n int) *placement.PG { return &placement.PG{Slots: make([]placement.Slot, n)} }

// table gives the pool with a PG slice that may be changed; nil if there is no such PG.
func (b *builder) table(pool ids.Pool, pg ids.PG) *placement.Pool {
	p := b.m.Pools[pool]
	if p == nil || int(pg) >= len(p.PGs) {
		return nil
	}
	if !b.tables[pool] {
		next := *p
		next.PGs = slices.Clone(p.PGs)
		p = &next
		own(&b.pools, &b.m.Pools)[pool] = p
		b.tables[pool] = true
	}
	return p
}

func (b *builder) putPG(rest string, value []byte, revision int64) error {
	pool, id, err := parsePGKey(rest)
	if err != nil {
		return err
	}
	pg, err := decode[placement.PG](value)
	if err != nil {
		return err
	}
	p := b.m.Pools[pool]
	if p == nil || int(id) >= len(p.PGs) {
		return fmt.Errorf("%w: no such PG in pool %d", ErrCorrupt, pool)
	}
	if err := checkPG(pg, p); err != nil {
		return err
	}
	pg.Revision = revision
	b.table(pool, id).PGs[id] = pg
	return nil
}

func (b *builder) putRange(rest string, value []byte, revision int64) error {
	id, err := parseRangeKey(rest)
	if err != nil {
		return err
	}
	r, err := decode[placement.Range](value)
	if err != nil {
		return err
	}
	if r.ID != id {
		return fmt.Errorf("%w: names range %d", ErrCorrupt, r.ID)
	}
	if err := checkRange(r); err != nil {
		return err
	}
	r.Revision = revision
	b.dropRange(id)
	b.m.Ranges = append(b.m.Ranges, r)
	return nil
}

func (b *builder) dropRange(id ids.Range) {
	if !b.ranges {
		b.m.Ranges, b.ranges = slices.Clone(b.m.Ranges), true
	}
	b.m.Ranges = slices.DeleteFunc(b.m.Ranges, func(r *placement.Range) bool { return r.ID == id })
}

// remove takes the deletion of a row.
func (b *builder) remove(key string) {
	dir, rest := split(key)
	switch dir {
	case nodesDir:
		delete(own(&b.nodes, &b.m.Nodes), rest)
	case aliveDir:
		delete(own(&b.alive, &b.m.Alive), rest)
	case drivesDir:
		var id ids.Drive
		if id.UnmarshalText([]byte(rest)) == nil {
			delete(own(&b.drives, &b.m.Drives), id)
		}
	case poolsDir:
		if id, err := parsePoolKey(rest); err == nil {
			delete(own(&b.pools, &b.m.Pools), id)
		}
	case pgsDir:
		if pool, pg, err := parsePGKey(rest); err == nil {
			if p := b.table(pool, pg); p != nil {
				p.PGs[pg] = vacant(p.N())
			}
		}
	case rangesDir:
		if id, err := parseRangeKey(rest); err == nil {
			b.dropRange(id)
		}
	case bucketsDir:
		delete(own(&b.buckets, &b.m.Buckets), rest)
	case accountsDir:
		delete(own(&b.accounts, &b.m.Accounts), rest)
	case usersDir:
		delete(own(&b.users, &b.m.Users), parseName(rest))
	case groupsDir:
		delete(own(&b.groups, &b.m.Groups), parseName(rest))
	case policiesDir:
		delete(own(&b.policies, &b.m.Policies), parseName(rest))
	case iamDir:
		delete(own(&b.identities, &b.m.Identities), rest)
	case secretsDir:
		if key == dataKeyKey {
			b.m.DataKey = nil
		}
	case settingsDir:
		delete(own(&b.settings, &b.m.Settings), rest)
	}
}

// build publishes the Map as of an etcd revision. The builder is spent.
func (b *builder) build(revision int64) *placement.Map {
	if b.ranges {
		slices.SortFunc(b.m.Ranges, func(x, y *placement.Range) int { return slices.Compare(x.Start, y.Start) })
	}
	if b.m.Cluster != (ids.Cluster{}) && (b.accounts || b.m.DefaultAccount == nil) {
		b.nameDefaultAccount()
	}
	b.m.Revision = b.base + revision
	if b.accounts || b.users || b.groups || b.policies {
		b.m.IAM = b.m.Revision
	}
	m := b.m
	return &m
}
