package node

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/sherd-io/sherd/gateway"
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
	if store.DirectoryDoubted(n.store.Map()) {
		out = append(out, adminapi.Problem{
			Severity: adminapi.SeverityWarning,
			Text:     "since the control state was restored, not all ranges were found to be as its directory says: their replicas stay where they are",
			Remedy:   "wait; bring nodes back that are away; where a range has lost most of its replicas for good: `sherd meta recover`; where some are gone for good: `sherd control confirm --directory`",
		})
	}
	until, held := n.held(now)
	if !held {
		return out
	}
	return append(out, adminapi.Problem{
		Severity: adminapi.SeverityWarning,
		Text: fmt.Sprintf("the control state was restored from a copy: for %s no drive is given up or adopted by itself, nothing is reclaimed, nothing leaves quarantine",
			until.Sub(now).Round(time.Second)),
		Remedy: "check that buckets, users and drives are what they should be, then `sherd control confirm`",
	})
}

// confirm ends the hold (`sherd control confirm`). That the directory is right a person can say only where nothing of it is to be
// mended.
func (a admin) confirm(ctx context.Context, body json.RawMessage) (any, error) {
	req := adminapi.ConfirmRequest{}
	if len(body) > 0 {
		var err error
		if req, err = decode[adminapi.ConfirmRequest](body); err != nil {
			return nil, err
		}
	}
	n := a.n
	_, held := n.held(n.cfg.Now())
	answer := adminapi.Confirmed{Held: held}
	if store.DirectoryDoubted(n.store.Map()) {
		changes, doubts, err := n.records.Rebuild(ctx)
		switch {
		case err != nil:
			return nil, err
		case len(changes) > 0:
			return nil, fmt.Errorf("%w: the directory of ranges is being mended: try again in a moment", gateway.ErrConflict)
		case !req.Directory:
			answer.Doubts = doubts
		default:
			if err := n.store.DirectoryRight(ctx); err != nil {
				return nil, err
			}
		}
	}
	if err := n.store.Confirm(ctx); err != nil {
		return nil, err
	}
	n.planner.wake()
	n.heal.Kick()
	return answer, nil
}
