package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/sherd-io/sherd/placement"
)

// iamBytesMax is how much one step of EditIAM writes at most: etcd takes 1.5 MiB in one request.
const iamBytesMax = 1 << 20

// EditIAM makes changes to accounts and what is theirs, all or none of them. All such changes of a cluster are made one after another:
// change sees a map with every one before it, so what it finds (that a name is free, that nothing uses a policy) holds when its changes
// are made. It is called again where another process came between; only what it returned last is made, and once. It must not call EditIAM.
// Without changes its error is returned. The map has the changes when EditIAM returns nil.
//
// All of them write one row, which each transaction finds as it was when change saw the map: a random text that names the change. Where an
// answer is lost, the same transaction is sent again, which that guard lets happen once; whether it did is seen from who wrote that row
// next (commitOnce). What cannot be found out in time is ErrUnavailable, and the change may be made or not.
//
// Errors: change's own, ErrInvalid, ErrTooLarge (more than placement.IAMChangesMax records, or 1 MiB), ErrNoDataKey, ErrUnavailable.
func (s *Store) EditIAM(ctx context.Context, change func(*placement.Map) ([]placement.IAMChange, error)) error {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	select {
	case s.iamTurn <- struct{}{}: // those of one process do not conflict
		defer func() { <-s.iamTurn }()
	case <-ctx.Done():
		return fmt.Errorf("%w: waiting for changes before this one: %w", ErrUnavailable, ctx.Err())
	}
	for wait := 5 * time.Millisecond; ; wait = min(2*wait, 100*time.Millisecond) {
		at, err := s.tryEditIAM(ctx, change)
		switch {
		case err == nil:
			s.awaitRevision(ctx, at) // it is committed
			return nil
		case !errors.Is(err, ErrConflict):
			return err
		case ctx.Err() != nil:
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		pause(ctx, wait)
	}
}

// tryEditIAM is EditIAM unless another process comes between: ErrConflict.
func (s *Store) tryEditIAM(ctx context.Context, change func(*placement.Map) ([]placement.IAMChange, error)) (revision int64, err error) {
	last, err := s.get(ctx, iamEditKey)
	if err != nil {
		return 0, err
	}
	buckets, err := s.get(ctx, nextBucketKey)
	if err != nil {
		return 0, err
	}
	if err := s.awaitRevision(ctx, max(writtenAt(last), writtenAt(buckets))); err != nil {
		return 0, err
	}
	m := s.Map()
	changes, err := change(m)
	if err != nil || len(changes) == 0 {
		return 0, err
	}
	ops, err := s.iamOps(m, changes)
	if err != nil {
		return 0, err
	}
	name := encode(rand.Text())
	guards := []clientv3.Cmp{clientv3.Compare(clientv3.ModRevision(s.key(iamEditKey)), "=", writtenAt(last))}
	if slices.ContainsFunc(changes, func(c placement.IAMChange) bool { return c.Account != nil && c.Delete }) {
		guards = append(guards, clientv3.Compare(clientv3.ModRevision(s.key(nextBucketKey)), "=", writtenAt(buckets))) // it has none that m lacks
	}
	return s.commitOnce(ctx, iamEditKey, last, name, guards, append(ops, clientv3.OpPut(s.key(iamEditKey), name)))
}

// writtenAt is the revision of a row; 0 if there is none.
func writtenAt(row *mvccpb.KeyValue) int64 {
	if row == nil {
		return 0
	}
	return row.ModRevision
}

// iamOps are the operations that make changes to m.
func (s *Store) iamOps(m *placement.Map, changes []placement.IAMChange) ([]clientv3.Op, error) {
	if len(changes) > placement.IAMChangesMax {
		return nil, fmt.Errorf("%w: %d records in one step", ErrTooLarge, len(changes))
	}
	var ops []clientv3.Op
	bytes := 0
	written := map[string]bool{}
	for _, c := range changes {
		key, value, err := s.iamRow(m, c)
		if err != nil {
			return nil, err
		}
		if written[key] {
			return nil, fmt.Errorf("%w: %s twice in one step", ErrInvalid, key)
		}
		written[key] = true
		bytes += len(value)
		if c.Delete {
			ops = append(ops, clientv3.OpDelete(s.key(key)))
		} else {
			ops = append(ops, clientv3.OpPut(s.key(key), value))
		}
	}
	if bytes > iamBytesMax {
		return nil, fmt.Errorf("%w: %d bytes in one step", ErrTooLarge, bytes)
	}
	return ops, nil
}

// iamRow checks a change right before it is written.
func (s *Store) iamRow(m *placement.Map, c placement.IAMChange) (key, value string, err error) {
	set := 0
	put := func(k string, check error, row func() (string, error)) {
		set++
		key = k
		if err = invalid(check); err == nil && !c.Delete {
			value, err = row()
		}
	}
	if a := c.Account; a != nil {
		put(accountsDir+a.ID, checkAccount(a), func() (string, error) { return encode(a), nil })
	}
	if u := c.User; u != nil {
		put(nameKey(usersDir, placement.NameOf(u.Account, u.Name)), checkNamed(u.Account, u.Name), func() (string, error) { return encode(u), nil })
	}
	if g := c.Group; g != nil {
		put(nameKey(groupsDir, placement.NameOf(g.Account, g.Name)), checkNamed(g.Account, g.Name), func() (string, error) { return encode(g), nil })
	}
	if p := c.Policy; p != nil {
		check := checkNamed(p.Account, p.Name)
		if check == nil && !c.Delete {
			check = checkPolicy(p)
		}
		put(nameKey(policiesDir, placement.NameOf(p.Account, p.Name)), check, func() (string, error) { return encode(p), nil })
	}
	if id := c.Identity; id != nil {
		put(iamDir+id.AccessKey, checkIdentity(id), func() (string, error) { return s.identityRow(m, *id) })
	}
	if k := c.DataKey; k != nil {
		put(dataKeyKey, nil, func() (string, error) { return encode(k), nil })
	}
	if set != 1 || c.DataKey != nil && c.Delete {
		return "", "", fmt.Errorf("%w: a change of %d records", ErrInvalid, set)
	}
	return key, value, err
}

// identityRow is the row of an access key: its secret is sealed if the cluster has a key for that.
func (s *Store) identityRow(m *placement.Map, id placement.Identity) (string, error) {
	switch k := s.dataKey.Load(); {
	case id.Secret == "" && len(id.Sealed) == 0:
		return "", fmt.Errorf("%w: access key %s without a secret", ErrInvalid, id.AccessKey)
	case id.Secret == "": // it cannot be opened here
	case m.DataKey == nil:
		id.Sealed = nil
	case k == nil || k.ID() != m.DataKey.ID:
		return "", ErrNoDataKey
	default:
		id.Sealed, id.Secret = k.sealSecret(id.AccessKey, id.Secret), ""
	}
	return encode(id), nil
}

// SetDataKey opens the secrets of the map with k from now on, and seals those that are written. Secrets that k does not open are logged,
// each once, and their access keys are refused. The map that has the secrets may have the revision of the one that had not.
func (s *Store) SetDataKey(k *DataKey) {
	s.building.Lock()
	defer s.building.Unlock()
	s.dataKey.Store(k)
	s.refused = nil
	old := s.state.Load()
	b := s.newBuilder(old.m, old.base, s.noteBad)
	for name, id := range old.m.Identities {
		if len(id.Sealed) > 0 {
			again := *id
			b.openIdentity(&again)
			own(&b.identities, &b.m.Identities)[name] = &again
		}
	}
	s.publish(&state{m: b.build(old.applied), base: old.base, applied: old.applied})
	s.noteRefused(b)
}

// DataKey is what SetDataKey was given last; nil: nothing.
func (s *Store) DataKey() *DataKey { return s.dataKey.Load() }

// noteRefused says once of each access key that its secret cannot be opened. building is held.
func (s *Store) noteRefused(b *builder) {
	for accessKey, err := range b.unopened {
		if s.refused[accessKey] {
			continue
		}
		if s.refused == nil {
			s.refused = map[string]bool{}
		}
		s.refused[accessKey] = true
		s.opt.Logger.Error("the secret of an access key cannot be opened; the key is refused", "key", accessKey, "err", err)
	}
}
