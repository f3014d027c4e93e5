package store

import (
	"context"
	"errors"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"

	"github.com/sherd-io/sherd/placement/plan"
)

// leadTTL is how many seconds an elected planner stays elected without a sign of life.
const leadTTL = 10

// Lead is an election won. Its writes carry the election's key as a guard: they fail once another has won (I19).
type Lead struct {
	s        *Store
	session  *concurrency.Session
	election *concurrency.Election
	guard    clientv3.Cmp
}

// Campaign waits until this process is elected under name, or ctx ends. ctx matters no longer then. Errors:
// ErrUnavailable, ctx's.
func (s *Store) Campaign(ctx context.Context, name string) (*Lead, error) {
	session, err := s.newSession(ctx, leadTTL)
	if err != nil {
		return nil, err
	}
	e := concurrency.NewElection(session, s.key(electionPrefix+name))
	if err := e.Campaign(ctx, ""); err != nil {
		session.Close()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	s.heard()
	guard := clientv3.Compare(clientv3.CreateRevision(e.Key()), "=", e.Rev())
	return &Lead{s: s, session: session, election: e, guard: guard}, nil
}

// newSession makes a lease of ttl seconds that is kept alive until the session is closed.
func (s *Store) newSession(ctx context.Context, ttl int) (*concurrency.Session, error) {
	var lease clientv3.LeaseID
	err := s.retry(ctx, func(ctx context.Context) error {
		got, err := s.client.Grant(ctx, int64(ttl))
		if err == nil {
			lease = got.ID
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	session, err := concurrency.NewSession(s.client, concurrency.WithLease(lease), concurrency.WithTTL(ttl))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return session, nil
}

// Done is closed when the election may have been lost.
func (l *Lead) Done() <-chan struct{} { return l.session.Done() }

// Apply is Store.Apply while this process is the elected one. Errors also: ErrNotLeader.
func (l *Lead) Apply(ctx context.Context, c plan.Change) error {
	return l.ApplyAll(ctx, []plan.Change{c})
}

// ApplyAll is Store.ApplyAll while this process is the elected one. Errors also: ErrNotLeader.
func (l *Lead) ApplyAll(ctx context.Context, changes []plan.Change) error {
	err := l.s.applyAll(ctx, changes, l.guard)
	if !errors.Is(err, ErrConflict) {
		return err
	}
	resp, getErr := l.s.kv.Get(ctx, l.election.Key())
	if getErr == nil && (len(resp.Kvs) == 0 || resp.Kvs[0].CreateRevision != l.election.Rev()) {
		return fmt.Errorf("%w: %w", ErrNotLeader, err)
	}
	return err
}

// Resign gives the election up, for the next to win at once. Errors: ErrUnavailable; then it lapses by itself.
func (l *Lead) Resign(ctx context.Context) error {
	err := l.session.Close() // revokes the lease, and with it the key
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return nil
}
