package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/client/v3/concurrency"
)

// aliveTTL is how many seconds a node counts as alive without a sign of life.
const aliveTTL = 5

// announceAgain is how long a Presence waits after it could not be renewed.
const announceAgain = 200 * time.Millisecond

// aliveRow is the row of a node that lives. The lease makes each a different one: a row that a process left behind goes with
// that one's lease, though the next process has the same name and owner.
type aliveRow struct {
	Owner string `json:"owner"`
	Lease int64  `json:"lease"`
}

// Presence is a node's sign of life: the row alive/NAME, under a lease that is kept alive while the process is. A lease that
// lapsed, because etcd was out of reach for too long, is replaced by another.
type Presence struct {
	s           *Store
	name, owner string
	cancel      context.CancelFunc
	done        sync.WaitGroup
	lapsed      atomic.Int64 // since when, in ns since 1970; 0: it holds
}

// Lapsed says since when, about, the node shows no sign of life, for etcd cannot be reached; zero: it does.
func (p *Presence) Lapsed() time.Time {
	if at := p.lapsed.Load(); at != 0 {
		return time.Unix(0, at)
	}
	return time.Time{}
}

// Announce says that the node lives, until Withdraw. owner tells processes that want the same name apart, and is the same
// after a restart: a node's address, for one. ctx matters no longer when Announce has returned.
//
// Errors: ErrExists if the name belongs to another process that lives, ErrInvalid, ErrUnavailable.
func (s *Store) Announce(ctx context.Context, name, owner string) (*Presence, error) {
	if err := CheckNodeName(name); err != nil {
		return nil, err
	}
	p := &Presence{s: s, name: name, owner: owner}
	session, err := p.announce(ctx)
	if err != nil {
		return nil, err
	}
	run, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	p.done.Go(func() { p.keep(run, session) })
	return p, nil
}

// announce writes the row under a new lease.
func (p *Presence) announce(ctx context.Context) (*concurrency.Session, error) {
	session, err := p.s.newSession(ctx, aliveTTL)
	if err != nil {
		return nil, err
	}
	value := encode(aliveRow{p.owner, int64(session.Lease())})
	err = p.s.updateLeased(ctx, aliveDir+p.name, session.Lease(), func(old []byte) (string, error) {
		if r, err := decode[aliveRow](old); err == nil && r.Owner != p.owner {
			return "", fmt.Errorf("%w: a node of the name %s lives at %s", ErrExists, p.name, r.Owner)
		}
		return value, nil
	})
	if err != nil {
		session.Close()
		return nil, err
	}
	return session, nil
}

// keep replaces the session whenever it ends, until ctx does.
func (p *Presence) keep(ctx context.Context, session *concurrency.Session) {
	for {
		select {
		case <-ctx.Done():
			session.Close() // revokes the lease, and with it the row
			return
		case <-session.Done():
		}
		p.lapsed.Store(time.Now().Add(-aliveTTL * time.Second).UnixNano()) // it was renewed no later
		p.s.opt.Logger.Warn("the node's sign of life lapsed; giving it again", "node", p.name)
		said := ""
		for session = nil; session == nil; {
			var err error
			if session, err = p.announce(ctx); err == nil {
				p.lapsed.Store(0)
				break
			}
			if ctx.Err() != nil {
				return
			}
			if text := err.Error(); !errors.Is(err, ErrUnavailable) && text != said { // as when another process has the name
				said = text
				p.s.opt.Logger.Error("the node cannot say that it lives", "node", p.name, "error", err)
			}
			pause(ctx, announceAgain)
		}
	}
}

// Withdraw says that the node is gone, without waiting for the lease to lapse. It is idempotent.
func (p *Presence) Withdraw() {
	p.cancel()
	p.done.Wait()
}
