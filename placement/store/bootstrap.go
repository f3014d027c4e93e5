package store

import (
	"context"
	"errors"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/placement"
)

// bootstrapBatch is how many rows one transaction writes: an external etcd allows 128 operations by default.
const bootstrapBatch = 100

// Bootstrap writes a cluster's first state, once. Errors: ErrBootstrapped, ErrInvalid, ErrUnavailable.
func (s *Store) Bootstrap(ctx context.Context, in placement.Initial) error {
	rows, err := initialRows(in)
	if err != nil {
		return err
	}
	if s.opt.Cluster != (ids.Cluster{}) && s.opt.Cluster != in.Cluster {
		return ErrWrongCluster
	}
	return s.writeFirst(ctx, rows, cluster{ID: in.Cluster, Generation: 1})
}

// errLockLost reports that etcd was away for longer than a lock lasts.
var errLockLost = fmt.Errorf("%w: the bootstrap lock was lost", ErrConflict)

// writeFirst is writeLocked, from the beginning where the lock was lost: nobody has written the cluster row then.
func (s *Store) writeFirst(ctx context.Context, rows []CopyRow, c cluster) error {
	for {
		if err := s.writeLocked(ctx, rows, c); !errors.Is(err, errLockLost) || ctx.Err() != nil {
			return err
		}
	}
}

// writeLocked writes all rows of a cluster: under a lock, each transaction guarded by the absence of the cluster row, which
// is written last. So a crash on the way leaves no cluster, and the next call begins again. What a busy etcd does not answer in time
// is sent again: the rows are the same.
func (s *Store) writeLocked(ctx context.Context, rows []CopyRow, c cluster) error {
	owner, release, err := s.lockBootstrap(ctx)
	if err != nil {
		return err
	}
	defer release()
	guards := []clientv3.Cmp{s.absent(clusterKey), owner}
	if err := s.clearRows(ctx, guards); err != nil {
		return s.bootstrapError(ctx, err)
	}
	rows = uniqueKeys(rows)
	for len(rows) > 0 {
		n := min(len(rows), bootstrapBatch)
		ops := make([]clientv3.Op, n)
		for i, r := range rows[:n] {
			ops[i] = clientv3.OpPut(s.key(r.Key), r.Value)
		}
		if err := s.commitFirst(ctx, guards, ops); err != nil {
			return s.bootstrapError(ctx, err)
		}
		rows = rows[n:]
	}
	if err := s.commitCluster(ctx, guards, c); err != nil {
		return s.bootstrapError(ctx, err)
	}
	_, err = s.Wait(ctx, func(m *placement.Map) bool { return m.Cluster == c.ID && m.Generation == c.Generation })
	return err
}

// commitFirst is commit, again where the outcome is unknown.
func (s *Store) commitFirst(ctx context.Context, guards []clientv3.Cmp, ops []clientv3.Op) error {
	return s.retry(ctx, func(ctx context.Context) error {
		_, err := s.commit(ctx, guards, ops)
		return err
	})
}

// commitCluster writes the cluster row. That it is there is no conflict when a try before this one, whose outcome is unknown, wrote it.
func (s *Store) commitCluster(ctx context.Context, guards []clientv3.Cmp, c cluster) error {
	row, tried := encode(c), false
	return s.retry(ctx, func(ctx context.Context) error {
		_, err := s.commit(ctx, guards, []clientv3.Op{clientv3.OpPut(s.key(clusterKey), row)})
		if errors.Is(err, ErrConflict) && tried {
			if kv, readErr := s.get(ctx, clusterKey); readErr != nil || kv != nil && string(kv.Value) == row {
				return readErr
			}
		}
		tried = true
		return err
	})
}

// uniqueKeys keeps the last row of each key: etcd refuses a transaction that writes a key twice.
func uniqueKeys(rows []CopyRow) []CopyRow {
	last := make(map[string]int, len(rows))
	for i, r := range rows {
		last[r.Key] = i
	}
	kept := make([]CopyRow, 0, len(last))
	for i, r := range rows {
		if last[r.Key] == i {
			kept = append(kept, r)
		}
	}
	return kept
}

// lockBootstrap keeps others from writing their first state beside ours.
func (s *Store) lockBootstrap(ctx context.Context) (owner clientv3.Cmp, release func(), err error) {
	session, err := concurrency.NewSession(s.client, concurrency.WithTTL(10), concurrency.WithContext(ctx))
	if err != nil {
		return owner, nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	mutex := concurrency.NewMutex(session, s.key(bootstrapMutex))
	if err := mutex.Lock(ctx); err != nil {
		session.Close()
		return owner, nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return mutex.IsOwner(), func() { session.Close() }, nil // its lease goes, and with it the lock
}

// clearRows removes what a bootstrap that did not finish has left.
func (s *Store) clearRows(ctx context.Context, guards []clientv3.Cmp) error {
	var ops []clientv3.Op
	for _, dir := range recordDirs() {
		ops = append(ops, clientv3.OpDelete(s.key(dir), clientv3.WithPrefix()))
	}
	return s.commitFirst(ctx, guards, ops)
}

func (s *Store) bootstrapError(ctx context.Context, err error) error {
	if errors.Is(err, ErrConflict) {
		if kv, readErr := s.get(ctx, clusterKey); readErr == nil && kv != nil {
			return ErrBootstrapped
		}
		return errLockLost
	}
	if transient(err) {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return err
}

// initialRows are the rows of a first state, pools before their PGs, each checked.
func initialRows(in placement.Initial) (rows []CopyRow, err error) {
	put := func(key, value string) { rows = append(rows, CopyRow{key, value}) }
	if in.Cluster == (ids.Cluster{}) || in.Pool == nil || len(in.Pool.PGs) != in.Pool.PGCount || len(in.Nodes) == 0 {
		return nil, fmt.Errorf("%w: an incomplete first state", ErrInvalid)
	}
	for _, n := range in.Nodes {
		if err := CheckNodeName(n.Name); err != nil {
			return nil, err
		}
		put(nodesDir+n.Name, encode(n))
	}
	for _, d := range in.Drives {
		put(driveKey(d.ID), encode(d))
	}
	put(poolKey(in.Pool.ID), encode(in.Pool))
	for i, pg := range in.Pool.PGs {
		if err := checkPG(pg, in.Pool); err != nil {
			return nil, invalid(err)
		}
		put(pgKey(in.Pool.ID, ids.PG(i)), encode(pg))
	}
	for _, r := range in.Ranges {
		if err := checkRange(r); err != nil {
			return nil, invalid(err)
		}
		put(rangeKey(r.ID), encode(r))
	}
	for name, value := range in.Settings {
		put(settingsDir+name, encode(value))
	}
	return rows, nil
}
