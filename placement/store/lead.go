package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/placement"
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

// Campaign waits until the process called who is elected under name, or ctx ends. ctx matters no longer then. There is one process
// of that name: one that had it before is dead, and stands no more. Errors: ErrUnavailable, ctx's.
func (s *Store) Campaign(ctx context.Context, name, who string) (*Lead, error) {
	if err := s.withdraw(ctx, name, who); err != nil {
		return nil, err
	}
	session, err := s.newSession(ctx, leadTTL)
	if err != nil {
		return nil, err
	}
	e := concurrency.NewElection(session, s.key(electionPrefix+name))
	// When ctx ends Campaign withdraws before it returns, and waits for that as long as etcd has no majority.
	result := make(chan error, 1)
	go func() { result <- e.Campaign(ctx, who) }() // ends with the store at the latest
	select {
	case err = <-result:
	case <-ctx.Done():
		err = orLate(result, ctx.Err())
	}
	if err != nil {
		closed := make(chan error, 1)
		go func() { closed <- session.Close() }() // ends within leadTTL
		_ = orLate(closed, nil)                   // then the candidacy lapses with its lease
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	s.heard()
	guard := clientv3.Compare(clientv3.CreateRevision(e.Key()), "=", e.Rev())
	return &Lead{s: s, session: session, election: e, guard: guard}, nil
}

// withdrawWithin is how long a candidate who gives up waits for etcd to take note.
const withdrawWithin = time.Second

// orLate is what comes within withdrawWithin, or late.
func orLate(result <-chan error, late error) error {
	t := time.NewTimer(withdrawWithin)
	defer t.Stop()
	select {
	case err := <-result:
		return err
	case <-t.C:
		return late
	}
}

// withdraw takes back what an earlier process of the same name stood for: its lease may go on for seconds.
func (s *Store) withdraw(ctx context.Context, name, who string) error {
	return s.retry(ctx, func(ctx context.Context) error {
		got, err := s.kv.Get(ctx, s.key(electionPrefix+name)+"/", clientv3.WithPrefix())
		if err != nil {
			return err
		}
		for _, kv := range got.Kvs {
			if string(kv.Value) != who {
				continue
			}
			if _, err := s.kv.Delete(ctx, string(kv.Key)); err != nil {
				return err
			}
		}
		return nil
	})
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
	return l.explain(ctx, l.s.applyAll(ctx, changes, l.guard))
}

// SetDriveState is Store.SetDriveState while this process is the elected one. Errors also: ErrNotLeader.
func (l *Lead) SetDriveState(ctx context.Context, id ids.Drive, state placement.DriveState, reason string) error {
	return l.explain(ctx, l.s.setDriveState(ctx, id, state, reason, l.guard))
}

// GiveUp is Store.GiveUp while this process is the elected one. Errors also: ErrNotLeader.
func (l *Lead) GiveUp(ctx context.Context, d *placement.Drive, reason string) error {
	return l.Apply(ctx, l.s.givenUp(d, reason))
}

// explain tells a lost election from a row that changed.
func (l *Lead) explain(ctx context.Context, err error) error {
	if !errors.Is(err, ErrConflict) && !errors.Is(err, ErrUnavailable) {
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
