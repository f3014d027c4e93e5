package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/placement"
)

// RestoredSetting is the setting that says when the control state was restored, in RFC 3339; Confirm removes it.
const RestoredSetting = "control.restored"

// directorySetting is there from a restore until the directory of ranges was compared with their replicas: the copy may have been
// older than splits, and than replicas that were replaced.
const directorySetting = "control.directory"

// Restore writes a copy's rows into an etcd that has none of this cluster, under a generation greater than the copy's, with all
// revisions beyond any that the copy's cluster can have given out (I9). A person decides on it. The same goes for what else only
// rises and may have risen after the copy was made: PG epochs (a drive refuses a lower one, I5), replica ids (I10), bucket
// ids (I20) and the revisions of buckets' rules (a range refuses a lower one, I11).
// Errors: ErrBootstrapped if there is a cluster, ErrWrongCluster, ErrInvalid, ErrCorrupt, ErrUnavailable.
func (s *Store) Restore(ctx context.Context, c *Copy, generation uint64) error {
	if generation <= c.Generation {
		return fmt.Errorf("%w: generation %d over a copy of %d", ErrInvalid, generation, c.Generation)
	}
	if s.opt.Cluster != (ids.Cluster{}) && s.opt.Cluster != c.Cluster {
		return ErrWrongCluster
	}
	rows := c.all()
	for i, r := range rows {
		var err error
		if rows[i].Value, err = advanced(r); err != nil {
			return fmt.Errorf("%s: %w", r.Key, err)
		}
	}
	rows = append(withoutKey(rows, nextRangeKey), CopyRow{nextRangeKey, encode(rangesBeyond(rows))})
	rows = append(rows,
		CopyRow{settingsDir + RestoredSetting, encode(s.now().Format(time.RFC3339))},
		CopyRow{settingsDir + directorySetting, encode("to be compared with the replicas")})
	return s.writeFirst(ctx, rows, cluster{ID: c.Cluster, Generation: generation, RevisionBase: c.Revision + restoreBump})
}

// rangesBeyond is beyond all range ids that were given out, also by splits that the copy does not know of.
func rangesBeyond(rows []CopyRow) (next ids.Range) {
	for _, r := range rows {
		if dir, rest := split(r.Key); dir == rangesDir {
			if id, err := parseRangeKey(rest); err == nil {
				next = max(next, id)
			}
		}
		if r.Key == nextRangeKey {
			if n, err := decode[ids.Range]([]byte(r.Value)); err == nil {
				next = max(next, *n)
			}
		}
	}
	return next + restoreBump
}

func withoutKey(rows []CopyRow, key string) []CopyRow {
	return slices.DeleteFunc(slices.Clone(rows), func(r CopyRow) bool { return r.Key == key })
}

// advanced is a row's value with what only rises raised beyond all that was given out.
func advanced(r CopyRow) (string, error) {
	switch dir, _ := split(r.Key); {
	case dir == pgsDir:
		return edited(r.Value, func(pg *placement.PG) { pg.Epoch += restoreBump })
	case dir == rangesDir:
		return edited(r.Value, func(rng *placement.Range) {
			rng.NextReplica += restoreBump
			rng.Replicas = slices.DeleteFunc(rng.Replicas, func(rep placement.Replica) bool { // it may have voted since, and be gone (I10)
				return rep.Joining
			})
		})
	case dir == bucketsDir:
		return edited(r.Value, func(b *placement.Bucket) { b.Rules += restoreBump })
	case r.Key == nextBucketKey:
		return edited(r.Value, func(next *ids.Bucket) { *next += restoreBump })
	}
	return r.Value, nil
}

func edited[T any](value string, change func(*T)) (string, error) {
	v, err := decode[T]([]byte(value))
	if err != nil {
		return "", err
	}
	change(v)
	return encode(*v), nil
}

// RestoredAt is when the control state was restored, if nobody has confirmed it since. A setting that cannot be read counts
// as just now.
func RestoredAt(m *placement.Map, now time.Time) (at time.Time, unconfirmed bool) {
	text, ok := m.Settings[RestoredSetting]
	if !ok {
		return time.Time{}, false
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		at = now
	}
	return at, true
}

// DirectoryDoubted reports whether the directory of ranges may be older than their replicas: since a restore, until DirectoryRight.
func DirectoryDoubted(m *placement.Map) bool {
	_, doubted := m.Settings[directorySetting]
	return doubted
}

// DirectoryRight says that the directory was found to say the same as the replicas. Errors: ErrUnavailable.
func (s *Store) DirectoryRight(ctx context.Context) error {
	return s.PutSetting(ctx, directorySetting, "")
}

// RebuildRange puts rows in the place of one, as its replicas have them: the row of the same range, and those of ranges that were
// split off from it since. New ones get a margin for replica ids that nobody knows of (I10).
// Errors: ErrConflict if the row has changed or one of the others is there, ErrInvalid, ErrUnavailable with the outcome unknown.
func (s *Store) RebuildRange(ctx context.Context, was *placement.Range, now []*placement.Range) error {
	if len(now) == 0 || now[0].ID != was.ID {
		return fmt.Errorf("%w: nothing in the place of range %d", ErrInvalid, was.ID)
	}
	guards := []clientv3.Cmp{s.modified(rangeKey(was.ID), was.Revision)}
	var ops []clientv3.Op
	for i, r := range now {
		row := *r
		if i > 0 {
			row.NextReplica += restoreBump
			guards = append(guards, s.absent(rangeKey(row.ID)))
		}
		if err := checkRange(&row); err != nil {
			return invalid(err)
		}
		ops = append(ops, clientv3.OpPut(s.key(rangeKey(row.ID)), encode(&row)))
	}
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	return s.splitTxn(ctx, was.ID, guards, ops)
}

// Confirm ends the time after a restore in which nothing is given up or reclaimed (I9); without one it does nothing.
// Errors: ErrUnavailable.
func (s *Store) Confirm(ctx context.Context) error { return s.PutSetting(ctx, RestoredSetting, "") }
