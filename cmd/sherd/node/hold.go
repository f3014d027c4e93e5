package node

import (
	"context"
	"fmt"
	"time"

	"github.com/sherd-io/sherd/internal/adminapi"
	"github.com/sherd-io/sherd/placement/store"
)

// held reports whether the control state was restored lately and nobody has confirmed it, and until when that counts: till
// then no drive is given up or adopted by itself, nothing is reclaimed, and nothing leaves quarantine (I9).
func (n *Node) held(now time.Time) (until time.Time, held bool) {
	at, unconfirmed := store.RestoredAt(n.store.Map(), now)
	until = at.Add(n.cfg.RestoreHold)
	return until, unconfirmed && now.Before(until)
}

// holdProblem says so in the status.
func (n *Node) holdProblem(now time.Time) (out []adminapi.Problem) {
	until, held := n.held(now)
	if !held {
		return nil
	}
	return []adminapi.Problem{{
		Severity: adminapi.SeverityWarning,
		Text: fmt.Sprintf("the control state was restored from a copy: for %s no drive is given up or adopted by itself, nothing is reclaimed, nothing leaves quarantine",
			until.Sub(now).Round(time.Second)),
		Remedy: "check that buckets, users and drives are what they should be, then `sherd control confirm`",
	}}
}

// confirm ends the hold (`sherd control confirm`).
func (a admin) confirm(ctx context.Context) (any, error) {
	_, held := a.n.held(a.n.cfg.Now())
	if err := a.n.store.Confirm(ctx); err != nil {
		return nil, err
	}
	a.n.planner.wake()
	a.n.heal.Kick()
	return adminapi.Confirmed{Held: held}, nil
}
