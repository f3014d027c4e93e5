package meta

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta/remote/remotepb"
	"github.com/sherd-io/sherd/meta/replica"
	"github.com/sherd-io/sherd/placement"
)

const (
	// askEvery is how often a change of a configuration is proposed again: Raft drops it without a word while another is
	// under way.
	askEvery = 250 * time.Millisecond
	// lookEvery is how often the leader is asked whether a change is made, or a replica has caught up.
	lookEvery = 20 * time.Millisecond
)

// ReplaceReplica gives a range the replica next, on a drive of this process, in place of old (0: as one more), and returns when
// next is a voter and old is none; the caller then records it in the directory, where next should be Joining
// before. next.ID must be fresh (I10). old need not run. Calling it again after an error goes on where it stopped.
//
// Errors: ErrUnavailable if the range has no leader or ctx ends, and if the range has next as a member while its drive does not hold it: it was lost,
// with what it had acknowledged, and OnLost is told.
func (n *Node) ReplaceReplica(ctx context.Context, id ids.Range, old ids.Replica, next placement.Replica) error {
	row := n.directory().rows[id]
	h := n.host(next.Drive)
	if row == nil || h == nil {
		return fmt.Errorf("%w: range %d or drive %v is not here", ErrUnavailable, id, next.Drive)
	}
	key := rangeReplica{id, next.ID}
	n.setMoving(key, true)
	defer n.setMoving(key, false)
	if err := n.refuseLost(ctx, row, h, next); err != nil {
		return err
	}
	if err := n.join(ctx, row, h, next); err != nil {
		return err
	}
	if err := n.change(ctx, id, hasMember(next.ID), memberChange(remotepb.MemberChange_ADD_LEARNER, next.ID)); err != nil {
		return err
	}
	if err := n.awaitCaughtUp(ctx, id, next.ID); err != nil {
		return err
	}
	if err := n.yield(ctx, id, old, next.ID); err != nil {
		return err
	}
	changes := []*remotepb.MemberChange{memberChange(remotepb.MemberChange_PROMOTE, next.ID)}
	if old != 0 {
		changes = append(changes, memberChange(remotepb.MemberChange_DROP, old))
	}
	return n.change(ctx, id, func(s replica.Status) bool {
		return slices.Contains(s.Voters, next.ID) && !slices.Contains(s.Voters, old) && !s.Joint
	}, changes...)
}

// DropReplica takes a replica out of a range, with none in its stead, and returns when it votes no more; the caller then takes it out of
// the directory. It need not run. Calling it again after an error goes on where it stopped.
//
// Errors: ErrUnavailable if the range has no leader or ctx ends.
func (n *Node) DropReplica(ctx context.Context, id ids.Range, old ids.Replica) error {
	if err := n.yield(ctx, id, old, 0); err != nil {
		return err
	}
	gone := func(s replica.Status) bool { return !hasMember(old)(s) && !s.Joint }
	return n.change(ctx, id, gone, memberChange(remotepb.MemberChange_DROP, old))
}

// CallOff takes a replica that is ordered both to join and to leave out of its range, if it does not vote yet; joined says that it does, and
// stays. It returns when either is sure; the caller then records it in the directory. The replica need not run. Calling it again after an
// error goes on where it stopped.
//
// Errors: ErrUnavailable if the range has no leader or ctx ends.
func (n *Node) CallOff(ctx context.Context, id ids.Range, rep ids.Replica) (joined bool, err error) {
	settled := func(s replica.Status) bool {
		joined = slices.Contains(s.Voters, rep)
		return !s.Joint && (joined || !hasMember(rep)(s))
	}
	err = n.change(ctx, id, settled, memberChange(remotepb.MemberChange_DROP, rep))
	return joined, err
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

// refuseLost is nil if a replica that is to join is on its drive, or was never made: a leader counts on what a member has acknowledged, and a
// blank one under its id would have none of it (I10).
func (n *Node) refuseLost(ctx context.Context, row *placement.Range, h *replica.Host, next placement.Replica) error {
	if r := h.Replica(row.ID); r != nil && r.ID() == next.ID {
		return nil
	}
	s, err := n.leaderStatus(ctx, row.ID)
	if err != nil || !hasMember(next.ID)(s) {
		return err
	}
	n.reconciling.Lock()
	defer n.reconciling.Unlock()
	n.tellLost(row, next)
	return fmt.Errorf("%w: range %d: replica %d has lost its state", ErrUnavailable, row.ID, next.ID)
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
	grace := n.ran.has(key) // else it is blank, and has confirmed no lease
	n.ran.add(key)
	return h.Start(ctx, row.ID, grace)
}

func hasMember(id ids.Replica) func(replica.Status) bool {
	return func(s replica.Status) bool {
		return slices.Contains(s.Voters, id) || slices.Contains(s.Learners, id)
	}
}

// leaderStatus is how the range's leader, here or on another node, says the range is.
func (n *Node) leaderStatus(ctx context.Context, id ids.Range) (replica.Status, error) {
	resp, err := n.ask(ctx, findRange(id), &remotepb.Request{Op: &remotepb.Request_Status{Status: &remotepb.Status{}}})
	if err == nil && len(resp.GetReplicas()) != 1 {
		err = fmt.Errorf("%w: range %d: no status", ErrUnavailable, id)
	}
	if err != nil {
		return replica.Status{}, err
	}
	return statusOf(resp.GetReplicas()[0]), nil
}

// awaitStatus waits until ok holds for the leader's status, for at most within.
func (n *Node) awaitStatus(ctx context.Context, id ids.Range, within time.Duration, ok func(replica.Status) bool) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for {
		s, err := n.leaderStatus(ctx, id)
		if err == nil && ok(s) {
			return true, nil
		}
		select {
		case <-time.After(lookEvery):
		case <-ctx.Done():
			return false, errors.Join(err, ctx.Err())
		}
	}
}

// change has whoever leads propose changes, until done holds for the leader.
func (n *Node) change(ctx context.Context, id ids.Range, done func(replica.Status) bool, kinds ...*remotepb.MemberChange) error {
	for {
		if s, err := n.leaderStatus(ctx, id); err == nil && done(s) {
			return nil
		}
		// Raft may drop it without a word, and so may the way there: the status tells.
		_, err := n.ask(ctx, findRange(id), &remotepb.Request{Op: &remotepb.Request_Change{Change: &remotepb.Change{Changes: kinds}}})
		ok, late := n.awaitStatus(ctx, id, askEvery, done)
		if ok {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%w: range %d: %w", ErrUnavailable, id, errors.Join(err, late))
		}
	}
}

func memberChange(kind remotepb.MemberChange_Kind, id ids.Replica) *remotepb.MemberChange {
	return &remotepb.MemberChange{Kind: kind, Replica: uint64(id)}
}

// awaitCaughtUp waits until a learner has the log up to what was committed when it was seen to.
func (n *Node) awaitCaughtUp(ctx context.Context, id ids.Range, learner ids.Replica) error {
	caughtUp := func(s replica.Status) bool { return s.Match[learner] > 0 && s.Match[learner]+catchUpLag >= s.Commit }
	for {
		ok, err := n.awaitStatus(ctx, id, n.opt.CommandTimeout, caughtUp)
		if ok {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%w: range %d: replica %d not caught up: %w", ErrUnavailable, id, learner, err)
		}
	}
}

// catchUpLag is how many entries a learner may lack when it becomes a voter: under load it always lacks some.
const catchUpLag = 512

// yield hands leadership over if the replica that is to go leads.
func (n *Node) yield(ctx context.Context, id ids.Range, old, next ids.Replica) error {
	s, err := n.leaderStatus(ctx, id)
	if err != nil || old == 0 || s.Leader != old {
		return err
	}
	to := bestFollower(s, next)
	if to == 0 {
		return nil // Raft lets a leader commit its own removal
	}
	transfer := &remotepb.Request_Transfer{Transfer: &remotepb.Transfer{To: uint64(to)}}
	if _, err := n.ask(ctx, findRange(id), &remotepb.Request{Op: transfer}); err != nil {
		return nil //nolint:nilerr // it leads no longer, or stays
	}
	_, _ = n.awaitStatus(ctx, id, askEvery, func(s replica.Status) bool { return s.Leader != old }) // or it stays
	return nil
}

// bestFollower is the voter that has most of the leader's log, but not but.
func bestFollower(s replica.Status, but ids.Replica) (best ids.Replica) {
	for _, v := range s.Voters {
		if v != s.Leader && v != but && (best == 0 || s.Match[v] > s.Match[best]) {
			best = v
		}
	}
	return best
}

// HandOver begins to hand the leadership of a range that a replica here leads to the voter on another drive. It does nothing if none here
// leads it, or the other one lacks much of the log. Errors: ctx's, the replica's.
func (n *Node) HandOver(ctx context.Context, id ids.Range, to ids.Drive) error {
	row := rangeOf(n.opt.Map(), id)
	lead, _ := n.leaderNow(id, nil)
	if row == nil || lead == nil || !lead.Serving() {
		return nil
	}
	s := lead.Status()
	for _, named := range row.Replicas {
		if named.Drive == to && named.ID != lead.ID() && slices.Contains(s.Voters, named.ID) && s.Match[named.ID]+catchUpLag >= s.Commit {
			return lead.Transfer(ctx, named.ID)
		}
	}
	return nil
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
		if to := bestFollower(r.Status(), 0); to != 0 {
			if err := r.Transfer(ctx, to); err != nil {
				n.opt.Logger.Warn("leadership not handed over", "range", uint64(r.Range()), "drive", id, "err", err)
			}
		}
	}
}
