package meta

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta/replica"
	"github.com/sherd-io/sherd/placement"
)

// askEvery is how often a change of a configuration is proposed again: Raft drops it without a word while another is
// under way.
const askEvery = 250 * time.Millisecond

// ReplaceReplica gives a range the replica next, on a drive here, in place of old (0: as one more), and returns when
// next is a voter and old is none; the caller then records it in the directory, where next should be Joining
// before. next.ID must be fresh (I10). old need not run. Calling it again after an error goes on where it stopped.
//
// Errors: ErrUnavailable if the range has no leader or ctx ends.
func (n *Node) ReplaceReplica(ctx context.Context, id ids.Range, old ids.Replica, next placement.Replica) error {
	row := rangeOf(n.opt.Map(), id)
	h := n.host(next.Drive)
	if row == nil || h == nil {
		return fmt.Errorf("%w: range %d or drive %v is not here", ErrUnavailable, id, next.Drive)
	}
	key := rangeReplica{id, next.ID}
	n.setMoving(key, true)
	defer n.setMoving(key, false)
	if err := n.join(ctx, row, h, next); err != nil {
		return err
	}
	if err := n.change(ctx, id, hasMember(next.ID), replica.AddLearner(next.ID)); err != nil {
		return err
	}
	if err := n.awaitCaughtUp(ctx, id, next.ID); err != nil {
		return err
	}
	if err := n.yield(ctx, id, old, next.ID); err != nil {
		return err
	}
	changes := []*replica.Single{replica.Promote(next.ID)}
	if old != 0 {
		changes = append(changes, replica.Drop(old))
	}
	return n.change(ctx, id, func(s replica.Status) bool {
		return slices.Contains(s.Voters, next.ID) && !slices.Contains(s.Voters, old) && !s.Joint
	}, changes...)
}

func (n *Node) setMoving(key rangeReplica, on bool) {
	n.reconciling.Lock()
	defer n.reconciling.Unlock()
	if on {
		n.moving[key] = true
	} else {
		delete(n.moving, key)
	}
}

// join makes the blank replica and starts it, unless Reconcile did.
func (n *Node) join(ctx context.Context, row *placement.Range, h *replica.Host, next placement.Replica) error {
	n.reconciling.Lock()
	defer n.reconciling.Unlock()
	if r := h.Replica(row.ID); r != nil && r.ID() != next.ID {
		if err := n.destroyOld(ctx, row, h, r); err != nil {
			return err
		}
	}
	if err := h.Create(ctx, specOf(row, next, nil)); err != nil {
		return err
	}
	key := rangeReplica{row.ID, next.ID}
	grace := n.ran[key] // else it is blank, and has confirmed no lease
	n.ran[key] = true
	return h.Start(ctx, row.ID, grace)
}

func hasMember(id ids.Replica) func(replica.Status) bool {
	return func(s replica.Status) bool {
		return slices.Contains(s.Voters, id) || slices.Contains(s.Learners, id)
	}
}

// change proposes changes to whoever leads until done holds for the leader.
func (n *Node) change(ctx context.Context, id ids.Range, done func(replica.Status) bool, changes ...*replica.Single) error {
	for {
		lead, err := n.leader(ctx, id, nil)
		if err != nil {
			return fmt.Errorf("%w: range %d: %w", ErrUnavailable, id, err)
		}
		if s := lead.Status(); s.Serving && done(s) {
			return nil
		}
		err = lead.Change(ctx, changes...)
		if err == nil || errors.Is(err, replica.ErrBusy) || errors.Is(err, replica.ErrNotLeader) {
			err = n.awaitLeader(ctx, lead, done)
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%w: range %d: %w", ErrUnavailable, id, errors.Join(err, ctx.Err()))
		}
	}
}

// awaitLeader waits for done at a leader, for a time.
func (n *Node) awaitLeader(ctx context.Context, lead *replica.Replica, done func(replica.Status) bool) error {
	ctx, cancel := context.WithTimeout(ctx, askEvery)
	defer cancel()
	return lead.Await(ctx, func(s replica.Status) bool { return !s.Serving || done(s) })
}

// awaitCaughtUp waits until a learner has the log up to what was committed when it was seen to.
func (n *Node) awaitCaughtUp(ctx context.Context, id ids.Range, learner ids.Replica) error {
	for {
		lead, err := n.leader(ctx, id, nil)
		if err != nil {
			return fmt.Errorf("%w: range %d: %w", ErrUnavailable, id, err)
		}
		caughtUp := func(s replica.Status) bool { return s.Match[learner] > 0 && s.Match[learner]+catchUpLag >= s.Commit }
		if s := lead.Status(); s.Serving && caughtUp(s) {
			return nil
		}
		err = n.awaitLeader(ctx, lead, caughtUp)
		if ctx.Err() != nil {
			return fmt.Errorf("%w: range %d: replica %d not caught up: %w", ErrUnavailable, id, learner, errors.Join(err, ctx.Err()))
		}
	}
}

// catchUpLag is how many entries a learner may lack when it becomes a voter: under load it always lacks some.
const catchUpLag = 512

// yield hands leadership over if the replica that is to go leads.
func (n *Node) yield(ctx context.Context, id ids.Range, old, next ids.Replica) error {
	lead, err := n.leader(ctx, id, nil)
	if err != nil {
		return fmt.Errorf("%w: range %d: %w", ErrUnavailable, id, err)
	}
	if old == 0 || lead.ID() != old {
		return nil
	}
	to, _ := bestFollower(lead, next)
	if to == 0 {
		return nil // Raft lets a leader commit its own removal
	}
	if err := lead.Transfer(ctx, to); err != nil {
		return nil //nolint:nilerr // it leads no longer
	}
	_ = n.awaitLeader(ctx, lead, func(s replica.Status) bool { return !s.Serving })
	return nil
}

// bestFollower is the voter that has most of the log, but not but.
func bestFollower(lead *replica.Replica, but ids.Replica) (best ids.Replica, match uint64) {
	s := lead.Status()
	for _, v := range s.Voters {
		if v != lead.ID() && v != but && (best == 0 || s.Match[v] > match) {
			best, match = v, s.Match[v]
		}
	}
	return best, match
}

// Yield has the replicas on a drive, which has become suspect, hand leadership to others (I12). It waits no longer
// than ctx allows, and does not mind a drive that hangs.
func (n *Node) Yield(ctx context.Context, id ids.Drive) {
	h := n.host(id)
	if h == nil {
		return
	}
	for _, r := range h.Replicas() {
		if !r.Serving() {
			continue
		}
		if to, _ := bestFollower(r, 0); to != 0 {
			if err := r.Transfer(ctx, to); err != nil {
				n.opt.Logger.Warn("leadership not handed over", "range", uint64(r.Range()), "drive", id, "err", err)
			}
		}
	}
}
