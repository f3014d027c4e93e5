package store

import (
	"context"
	"errors"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sync/errgroup"

	"github.com/sherd-io/sherd/placement"
	"github.com/sherd-io/sherd/placement/plan"
)

// applyParallel is how many changes of a plan are under way at once: etcd syncs what comes together in one go.
const applyParallel = 32

// Apply writes one change of a plan, if the row is still the one it was planned on (I19).
// Errors: ErrConflict, ErrInvalid, ErrUnavailable with the outcome unknown: wait for the map, plan again.
func (s *Store) Apply(ctx context.Context, c plan.Change) error { return s.apply(ctx, c) }

// ApplyAll applies changes of different rows, several at once, and returns the first error after all have ended.
// Without an error the map holds them all.
func (s *Store) ApplyAll(ctx context.Context, changes []plan.Change) error {
	return s.applyAll(ctx, changes)
}

func (s *Store) applyAll(ctx context.Context, changes []plan.Change, guards ...clientv3.Cmp) error {
	var g errgroup.Group
	g.SetLimit(applyParallel)
	for _, c := range changes {
		g.Go(func() error { return s.apply(ctx, c, guards...) })
	}
	return g.Wait()
}

func (s *Store) apply(ctx context.Context, c plan.Change, guards ...clientv3.Cmp) error {
	key, value, revision, err := changeRow(c)
	if err != nil {
		return err
	}
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	all := append(guards[:len(guards):len(guards)], s.modified(key, revision))
	at, err := s.commit(ctx, all, []clientv3.Op{clientv3.OpPut(s.key(key), value)})
	switch {
	case errors.Is(err, ErrConflict):
		return fmt.Errorf("%w: %s", ErrConflict, c)
	case transient(err):
		return fmt.Errorf("%w: %s: %w", ErrUnavailable, c, err)
	case err != nil:
		return err
	}
	s.awaitRevision(ctx, at) // it is committed
	return nil
}

// changeRow checks a change right before it is written.
func changeRow(c plan.Change) (key, value string, revision int64, err error) {
	switch {
	case c.PG != nil:
		err = checkPG(c.PG, &placement.Pool{K: len(c.PG.Slots)})
		return pgKey(c.Pool, c.ID), encode(c.PG), c.PG.Revision, invalid(err)
	case c.Range != nil:
		return rangeKey(c.Range.ID), encode(c.Range), c.Range.Revision, invalid(checkRange(c.Range))
	case c.Drive != nil:
		return driveKey(c.Drive.ID), encode(c.Drive), c.Drive.Revision, nil
	}
	return "", "", 0, fmt.Errorf("%w: an empty change", ErrInvalid)
}

func invalid(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrInvalid, err)
}
