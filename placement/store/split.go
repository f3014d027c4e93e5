package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/placement"
)

// A split is two transactions with the range's own log between them (I20): OrderSplit writes down what is to happen, so that
// whoever leads the range may make it and make it again; ApplySplit puts both rows in place of the one, once it is made. An
// order is not taken back: nobody could say that no replica will carry it out.

// OrderSplit writes into a range's row, as the map has it, that it is to split at a border. The child's id was never used before.
// Errors: ErrConflict if the row has changed or a replica joins or leaves, ErrInvalid, ErrUnavailable with the outcome unknown.
func (s *Store) OrderSplit(ctx context.Context, r *placement.Range, at []byte) error {
	if bytes.Compare(at, r.Start) <= 0 || len(r.End) > 0 && bytes.Compare(at, r.End) >= 0 {
		return fmt.Errorf("%w: a border outside of range %d", ErrInvalid, r.ID)
	}
	if !r.Settled() || !r.Begun {
		return fmt.Errorf("%w: range %d splits already, has not begun, or has a replica that joins or leaves", ErrConflict, r.ID)
	}
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	next, guard, err := s.nextRange(ctx)
	if err != nil {
		return err
	}
	row := *r
	row.Splitting = &placement.Splitting{At: at, Child: next, Generation: r.Generation, Replicas: slices.Clone(r.Replicas)}
	return s.splitTxn(ctx, r.ID,
		[]clientv3.Cmp{guard, s.modified(rangeKey(r.ID), r.Revision)},
		[]clientv3.Op{
			clientv3.OpPut(s.key(rangeKey(r.ID)), encode(&row)),
			clientv3.OpPut(s.key(nextRangeKey), encode(next+1)),
		})
}

// nextRange is a range id that was never used, and holds as long as guard does.
func (s *Store) nextRange(ctx context.Context) (next ids.Range, guard clientv3.Cmp, err error) {
	kv, err := s.get(ctx, nextRangeKey)
	if err != nil {
		return 0, guard, err
	}
	if kv == nil { // no range has ever split: those of the first map are all there were
		for _, r := range s.Map().Ranges {
			next = max(next, r.ID+1)
		}
		return next, s.absent(nextRangeKey), nil
	}
	n, err := decode[ids.Range](kv.Value)
	if err != nil {
		return 0, guard, fmt.Errorf("%s: %w", nextRangeKey, err) // guessing could use an id twice
	}
	return *n, clientv3.Compare(clientv3.ModRevision(s.key(nextRangeKey)), "=", kv.ModRevision), nil
}

// ApplySplit records that the split which r's row orders is made: r ends at the border and the child is in the map, in one
// step. Errors: ErrConflict if the row has changed, ErrInvalid, ErrUnavailable with the outcome unknown.
func (s *Store) ApplySplit(ctx context.Context, r *placement.Range) error {
	if r.Splitting == nil {
		return fmt.Errorf("%w: range %d does not split", ErrInvalid, r.ID)
	}
	parent, child := r.Divided()
	if err := errors.Join(checkRange(parent), checkRange(child)); err != nil {
		return invalid(err)
	}
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	return s.splitTxn(ctx, r.ID,
		[]clientv3.Cmp{s.modified(rangeKey(r.ID), r.Revision), s.absent(rangeKey(child.ID))},
		[]clientv3.Op{
			clientv3.OpPut(s.key(rangeKey(parent.ID)), encode(parent)),
			clientv3.OpPut(s.key(rangeKey(child.ID)), encode(child)),
		})
}

func (s *Store) splitTxn(ctx context.Context, id ids.Range, guards []clientv3.Cmp, ops []clientv3.Op) error {
	at, err := s.commit(ctx, guards, ops)
	switch {
	case errors.Is(err, ErrConflict):
		return fmt.Errorf("%w: split of range %d", ErrConflict, id)
	case transient(err):
		return fmt.Errorf("%w: split of range %d: %w", ErrUnavailable, id, err)
	case err != nil:
		return err
	}
	s.awaitRevision(ctx, at) // it is committed
	return nil
}
