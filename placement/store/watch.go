package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/placement"
)

// loadPage is how many rows one read takes, so that no answer outgrows what gRPC carries.
const loadPage = 2000

// firstLoad is Open's: it waits for etcd until ctx ends.
func (s *Store) firstLoad(ctx context.Context) error {
	for {
		try, cancel := context.WithTimeout(ctx, s.opt.RequestTimeout)
		err := s.load(try)
		cancel()
		if err == nil || !errors.Is(err, ErrUnavailable) || ctx.Err() != nil {
			return err
		}
		s.opt.Logger.Warn("waiting for etcd", "error", err)
	}
}

// load reads everything at one revision and publishes it.
func (s *Store) load(ctx context.Context) error {
	rows, revision, err := s.readAll(ctx)
	if err != nil {
		return err
	}
	s.building.Lock()
	defer s.building.Unlock()
	st, err := s.assemble(rows, revision)
	if err != nil {
		return err
	}
	s.publish(st)
	return nil
}

// readAll reads all rows below the prefix as of one revision.
func (s *Store) readAll(ctx context.Context) (rows []*mvccpb.KeyValue, revision int64, err error) {
	from, end := s.opt.Prefix, clientv3.GetPrefixRangeEnd(s.opt.Prefix)
	for {
		opts := []clientv3.OpOption{clientv3.WithRange(end), clientv3.WithLimit(loadPage)}
		if revision != 0 {
			opts = append(opts, clientv3.WithRev(revision))
		}
		var got *clientv3.GetResponse
		err := s.retry(ctx, func(ctx context.Context) (err error) {
			got, err = s.kv.Get(ctx, from, opts...)
			return err
		})
		if err != nil {
			return nil, 0, err
		}
		if revision == 0 {
			revision = got.Header.Revision
		}
		rows = append(rows, got.Kvs...)
		if !got.More || len(got.Kvs) == 0 {
			return rows, revision, nil
		}
		from = string(got.Kvs[len(got.Kvs)-1].Key) + "\x00"
	}
}

// assemble makes a state of all rows. Rows that cannot be decoded keep the value of the state before. building is held.
func (s *Store) assemble(rows []*mvccpb.KeyValue, revision int64) (*state, error) {
	c, err := s.clusterRow(rows)
	if err != nil {
		return nil, err
	}
	old := s.state.Load()
	var lost []string
	b := s.newBuilder(emptyMap(), c.RevisionBase, func(key string, err error) {
		s.noteBad(key, err)
		lost = append(lost, key)
	})
	for _, pools := range []bool{true, false} { // a PG's row needs its pool's
		for _, kv := range rows {
			if key := strings.TrimPrefix(string(kv.Key), s.opt.Prefix); strings.HasPrefix(key, poolsDir) == pools {
				b.put(key, kv)
			}
		}
	}
	for _, key := range lost {
		b.keep(key, old.m)
	}
	s.noteRefused(b)
	st := &state{m: b.build(revision), base: c.RevisionBase, applied: revision}
	seen := s.opt.Floor
	if c.ID == (ids.Cluster{}) {
		seen = Position{} // nothing is there that could be old
	}
	seen = seen.later(positionOf(old.m))
	if now := positionOf(st.m); now.Generation < seen.Generation || now.Revision < seen.Revision {
		return nil, fmt.Errorf("%w: %s, now %s", ErrTimeTravel, seen, now)
	}
	return st, nil
}

// clusterRow finds the row that must be readable for anything else to make sense; zero if there is none.
func (s *Store) clusterRow(rows []*mvccpb.KeyValue) (*cluster, error) {
	for _, kv := range rows {
		if string(kv.Key) != s.key(clusterKey) {
			continue
		}
		c, err := decode[cluster](kv.Value)
		if err != nil {
			return nil, fmt.Errorf("cluster row: %w", err)
		}
		if s.opt.Cluster != (ids.Cluster{}) && c.ID != s.opt.Cluster {
			return nil, fmt.Errorf("%w: %s, want %s", ErrWrongCluster, c.ID, s.opt.Cluster)
		}
		return c, nil
	}
	return &cluster{}, nil
}

func (s *Store) noteBad(key string, err error) {
	s.badRecords.Add(1)
	s.opt.Logger.Error("control record cannot be decoded; its last good value stays", "key", key, "error", err)
}

// keep takes a row's value from an older map, where that has one.
func (b *builder) keep(key string, old *placement.Map) {
	dir, rest := split(key)
	switch dir {
	case nodesDir:
		keepIn(&b.nodes, &b.m.Nodes, old.Nodes, rest)
	case bucketsDir:
		keepIn(&b.buckets, &b.m.Buckets, old.Buckets, rest)
	case accountsDir:
		keepIn(&b.accounts, &b.m.Accounts, old.Accounts, rest)
	case usersDir:
		keepIn(&b.users, &b.m.Users, old.Users, parseName(rest))
	case groupsDir:
		keepIn(&b.groups, &b.m.Groups, old.Groups, parseName(rest))
	case policiesDir:
		keepIn(&b.policies, &b.m.Policies, old.Policies, parseName(rest))
	case iamDir:
		keepIn(&b.identities, &b.m.Identities, old.Identities, rest)
	case secretsDir:
		if key == dataKeyKey {
			b.m.DataKey = old.DataKey
		}
	case settingsDir:
		keepIn(&b.settings, &b.m.Settings, old.Settings, rest)
	case drivesDir:
		var id ids.Drive
		if id.UnmarshalText([]byte(rest)) == nil {
			keepIn(&b.drives, &b.m.Drives, old.Drives, id)
		}
	case poolsDir: // with its PGs: their rows could not be read without it either
		if id, err := parsePoolKey(rest); err == nil {
			keepIn(&b.pools, &b.m.Pools, old.Pools, id)
		}
	case pgsDir:
		pool, pg, err := parsePGKey(rest)
		if was := old.Pools[pool]; err == nil && was != nil && int(pg) < len(was.PGs) {
			if p := b.table(pool, pg); p != nil && p.N() == was.N() && p.PGs[pg].Epoch < was.PGs[pg].Epoch {
				p.PGs[pg] = was.PGs[pg]
			}
		}
	case rangesDir:
		id, err := parseRangeKey(rest)
		for _, r := range old.Ranges {
			if err == nil && r.ID == id {
				b.dropRange(id)
				b.m.Ranges = append(b.m.Ranges, r)
			}
		}
	}
}

func keepIn[K comparable, V any](copied *bool, of *map[K]V, old map[K]V, key K) {
	if v, ok := old[key]; ok {
		own(copied, of)[key] = v
	}
}

// watchLoop follows etcd until ctx ends; where the watch is lost for good (compacted, refused) it loads all again. It takes its time
// where that happens again and again.
func (s *Store) watchLoop(ctx context.Context) {
	defer s.done.Done()
	const least, most = 50 * time.Millisecond, 5 * time.Second
	for wait := least; ctx.Err() == nil; {
		began := time.Now()
		err := s.watch(ctx)
		if ctx.Err() != nil {
			return
		}
		founded := errors.Is(err, errFounded)
		if !founded { // as at every first start
			s.opt.Logger.Warn("control records: the watch ended, loading again", "error", err)
		}
		if founded || time.Since(began) > time.Second {
			wait = least
		}
		s.reloads.Add(1)
		err = s.load(ctx)
		if err != nil {
			s.opt.Logger.Error("control records cannot be loaded; the map in memory stays", "error", err)
		}
		if err == nil && wait == least {
			wait *= 2
			continue
		}
		pause(ctx, wait)
		wait = min(2*wait, most)
	}
}

// errFounded ends the watch that sees the cluster row appear: all is loaded again, on its revision base.
var errFounded = errors.New("the cluster was founded")

// watch applies events until the watch fails or the cluster row changes: a restore gives all revisions another base.
func (s *Store) watch(ctx context.Context) error {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	s.watching.Store(&watching{end: cancel, began: time.Now()})
	from := s.state.Load().applied + 1
	events := s.watcher.Watch(ctx, s.opt.Prefix, clientv3.WithPrefix(), clientv3.WithRev(from), clientv3.WithCreatedNotify())
	for resp := range events {
		if err := resp.Err(); err != nil {
			return err
		}
		s.heard()
		s.news.Store(s.contact.Load())
		if resp.Header.Revision < from-1 {
			return fmt.Errorf("%w: etcd is at revision %d, seen was %d", ErrTimeTravel, resp.Header.Revision, from-1)
		}
		switch founded := !s.Bootstrapped(); {
		case !s.applyEvents(resp.Events):
		case founded:
			return errFounded
		default:
			return errors.New("the cluster row changed")
		}
	}
	return errors.New("watch closed")
}

// watching is a watch that runs.
type watching struct {
	end   func()
	began time.Time
}

// watchAgain ends a watch that has not told of a revision that is known to be committed, and may be of a member that fell behind: all is loaded, and
// another watch begins. One that has just begun is given its time.
func (s *Store) watchAgain(committed int64) {
	w := s.watching.Load()
	if w == nil || time.Since(w.began) < s.opt.TryTimeout {
		return
	}
	s.opt.Logger.Warn("control records: the watch lags, beginning another", "committed", committed, "applied", s.state.Load().applied)
	w.end()
}

// applyEvents publishes the map after one batch, and reports whether the cluster row was among them.
func (s *Store) applyEvents(events []*clientv3.Event) (clusterChanged bool) {
	if len(events) == 0 {
		return false
	}
	s.building.Lock()
	defer s.building.Unlock()
	old := s.state.Load()
	b := s.newBuilder(old.m, old.base, s.noteBad)
	applied := old.applied
	for _, e := range events {
		key := strings.TrimPrefix(string(e.Kv.Key), s.opt.Prefix)
		if key == clusterKey {
			return true
		}
		if e.Type == clientv3.EventTypeDelete {
			b.remove(key)
		} else {
			b.put(key, e.Kv)
		}
		applied = max(applied, e.Kv.ModRevision)
	}
	s.publish(&state{m: b.build(applied), base: old.base, applied: applied})
	s.noteRefused(b)
	return false
}

// contactLoop asks etcd for a sign of life when there was none for a while, and sees to it that the watch is one.
func (s *Store) contactLoop(ctx context.Context) {
	defer s.done.Done()
	tick := time.NewTicker(s.opt.ContactEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if min(s.contact.Load(), s.news.Load()) <= int64(time.Since(s.origin)-s.opt.ContactEvery/2) {
				s.sayAnything(ctx)
			}
		}
	}
}

// sayAnything has etcd answer, which counts as heard, and waits for the watch to be as far.
func (s *Store) sayAnything(ctx context.Context) {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	if revision, err := s.lastRevision(ctx); err == nil {
		_ = s.awaitRevision(ctx, revision) // the next time
	}
}

// connectionLoop notes when the connection to etcd comes or goes: for an etcd that restarts between two requests.
func (s *Store) connectionLoop(ctx context.Context) {
	defer s.done.Done()
	conn := s.client.ActiveConnection()
	for at := conn.GetState(); conn.WaitForStateChange(ctx, at); at = conn.GetState() {
		s.broken.Store(int64(time.Since(s.origin)))
	}
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
