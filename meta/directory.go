package meta

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta/replica"
	"github.com/sherd-io/sherd/placement"
)

// reconcileEvery is how often the replicas here are compared with the map though it has not changed: what failed
// before is tried again.
const reconcileEvery = 2 * time.Second

// follow reconciles whenever the map changes, and soon again while a range waits for other nodes to begin.
func (n *Node) follow() {
	defer n.wg.Done()
	for n.ctx.Err() == nil {
		if err := n.Reconcile(n.ctx); err != nil && n.ctx.Err() == nil {
			n.opt.Logger.Warn("replicas do not yet agree with the directory", "err", err)
		}
		ctx, cancel := context.WithTimeout(n.ctx, reconcileEvery)
		n.wg.Go(func() {
			select {
			case <-n.waits:
				time.AfterFunc(beginEvery, cancel)
			case <-ctx.Done():
			}
		})
		_, _ = n.opt.Next(ctx, n.opt.Map().Revision) // it ends with a newer map or with the time: look again
		cancel()
	}
}

// Reconcile makes, starts and ends replicas on the drives here until they are what the map says. It is idempotent.
func (n *Node) Reconcile(ctx context.Context) error {
	n.reconciling.Lock()
	defer n.reconciling.Unlock()
	n.noteChildren()
	m := n.view()
	var errs []error
	first := &firsts{n: n, m: m}
	for _, row := range m.Ranges {
		errs = append(errs, n.reconcileRange(ctx, m, row, first))
	}
	if first.waits {
		select {
		case n.waits <- struct{}{}:
		default:
		}
	}
	for _, h := range n.allHosts() {
		for _, r := range h.Replicas() {
			if row := rangeOf(m, r.Range()); row != nil {
				errs = append(errs, n.destroyOld(ctx, row, h, r))
			}
		}
	}
	return errors.Join(errs...)
}

// destroyOld removes a replica that the directory once ordered and names no longer (I4, I10). One whose id the row has
// not given yet is newer than the map.
func (n *Node) destroyOld(ctx context.Context, row *placement.Range, h *replica.Host, r *replica.Replica) error {
	for _, named := range row.Replicas {
		if named.ID == r.ID() && named.Drive == h.Drive() {
			return nil
		}
	}
	if n.opt.Keep() || n.moving[rangeReplica{row.ID, r.ID()}] || r.Generation() > row.Generation ||
		row.NextReplica != 0 && r.ID() >= row.NextReplica {
		return nil
	}
	n.opt.Logger.Info("replica destroyed: the directory no longer names it",
		"range", uint64(row.ID), "replica", uint64(r.ID()), "drive", h.Drive())
	return h.Remove(ctx, row.ID, r.ID())
}

func (n *Node) reconcileRange(ctx context.Context, m *placement.Map, row *placement.Range, first *firsts) error {
	if !n.hasDriveOf(row) {
		return nil
	}
	may := first.may(ctx, row)
	var errs []error
	for _, named := range row.Replicas {
		if h := n.host(named.Drive); h != nil {
			errs = append(errs, n.make(ctx, row, named, h, may))
		}
	}
	if may.make && errors.Join(errs...) != nil || !may.start {
		return errors.Join(errs...) // none of them starts before all are made
	}
	started := false
	for _, named := range row.Replicas {
		h := n.host(named.Drive)
		if h == nil {
			continue
		}
		if r := h.Replica(row.ID); r != nil && r.ID() == named.ID {
			errs = append(errs, n.start(ctx, m, row, h, r, &started))
		}
	}
	if started {
		n.campaign(ctx, row)
	}
	return errors.Join(errs...)
}

func (n *Node) hasDriveOf(row *placement.Range) bool {
	for _, named := range row.Replicas {
		if n.host(named.Drive) != nil {
			return true
		}
	}
	return false
}

// make brings the replica that the row names into being, if it may, and to the row's generation.
func (n *Node) make(ctx context.Context, row *placement.Range, named placement.Replica, h *replica.Host, may allowed) error {
	r := h.Replica(row.ID)
	if r != nil && r.ID() != named.ID {
		if err := n.destroyOld(ctx, row, h, r); err != nil {
			return err
		}
		r = h.Replica(row.ID)
	}
	key := rangeReplica{row.ID, named.ID}
	switch {
	case r != nil && r.ID() != named.ID:
		return nil // it stays for now
	case r != nil:
		if r.Generation() >= row.Generation {
			return nil
		}
		voters, learners := members(row)
		return h.Adopt(ctx, row.ID, row.Generation, voters, learners)
	case h.Occupied(row.ID, row.Start):
		return nil // the parent's replica there has not split: it will, or a snapshot takes it past the split
	case h.Replica(row.ID) != nil:
		return nil // it has, since we looked
	case named.Joining && !n.ran.has(key):
		return nil // ReplaceReplica makes it, unless its range knows it already
	case may.make:
		voters, _ := members(row)
		n.made[key] = true
		return h.Create(ctx, specOf(row, named, voters))
	}
	if may.lost {
		n.tellLost(row, named)
	}
	return nil
}

// tellLost tells once of a replica that its drive does not hold. n.reconciling is held.
func (n *Node) tellLost(row *placement.Range, named placement.Replica) {
	key := rangeReplica{row.ID, named.ID}
	if n.lost[key] {
		return
	}
	n.lost[key] = true
	n.opt.Logger.Error("replica lost: its drive does not hold it", "range", uint64(row.ID),
		"replica", uint64(named.ID), "drive", named.Drive)
	go n.opt.OnLost(row.ID, named)
}

func specOf(row *placement.Range, named placement.Replica, voters []ids.Replica) replica.Spec {
	return replica.Spec{
		Range: row.ID, Replica: named.ID, Generation: row.Generation,
		Start: row.Start, End: row.End, Voters: voters,
	}
}

func members(row *placement.Range) (voters, learners []ids.Replica) {
	for _, r := range row.Replicas {
		if r.Joining {
			learners = append(learners, r.ID)
		} else {
			voters = append(voters, r.ID)
		}
	}
	return voters, learners
}

// start lets a replica take part. It owes no grace if it did not take part in this process yet, and was made here or all of
// the range's replicas are here: it gave nobody its word, or who holds a lease by it would have to be here too (I8).
func (n *Node) start(ctx context.Context, m *placement.Map, row *placement.Range, h *replica.Host, r *replica.Replica, started *bool) error {
	if r.Generation() != row.Generation {
		return fmt.Errorf("meta: range %d: replica %d has generation %d, the directory %d",
			row.ID, r.ID(), r.Generation(), row.Generation)
	}
	key := rangeReplica{row.ID, r.ID()}
	if r.Running() {
		n.ran.add(key)
		return nil
	}
	grace := n.ran.has(key) || !n.made[key] && !sameNode(m, row)
	if err := h.Start(ctx, row.ID, grace); errors.Is(err, replica.ErrUnborn) {
		return nil // its parent's log brings it
	} else if err != nil {
		return err
	}
	n.ran.add(key)
	*started = true
	return nil
}

// sameNode reports whether all replicas of a range lie on drives of one process.
func sameNode(m *placement.Map, row *placement.Range) bool {
	node := ""
	for i, r := range row.Replicas {
		d := m.Drives[r.Drive]
		if d == nil || i > 0 && d.Node != node {
			return false
		}
		node = d.Node
	}
	return true
}

// campaign has the replica here with the longest log ask for leadership, once a majority of the voters is here and
// none leads. If it is not heard, elections go on by time-out.
func (n *Node) campaign(ctx context.Context, row *placement.Range) {
	n.mu.RLock()
	l := n.ranges[row.ID]
	known := l != nil && l.leader != nil
	n.mu.RUnlock()
	best, here := n.longest(row)
	voters, _ := members(row)
	if known || best == nil || here <= len(voters)/2 {
		return
	}
	if err := best.Campaign(ctx); err != nil {
		n.opt.Logger.Warn("replica does not campaign", "range", uint64(row.ID), "replica", uint64(best.ID()), "err", err)
	}
}

// longest returns the voter here that has the greatest (term, index), and how many voters run here.
func (n *Node) longest(row *placement.Range) (best *replica.Replica, here int) {
	var last replica.Status
	for _, named := range row.Replicas {
		h := n.host(named.Drive)
		if h == nil || named.Joining {
			continue
		}
		r := h.Replica(row.ID)
		if r == nil || r.ID() != named.ID || !r.Running() {
			continue
		}
		here++
		s := r.Status()
		if best == nil || s.LastTerm > last.LastTerm || s.LastTerm == last.LastTerm && s.LastIndex > last.LastIndex {
			best, last = r, s
		}
	}
	return best, here
}

// succeed hands the ranges that a stopped host led to the replicas here with the longest logs: its leases ended with
// it, so nobody need wait for their time-outs.
func (n *Node) succeed(h *replica.Host) {
	m := n.view()
	for _, old := range h.Replicas() {
		n.onLeader(old, false)
		row := rangeOf(m, old.Range())
		s := old.Status()
		if row == nil || s.Leader != old.ID() {
			continue
		}
		if best, _ := n.longest(row); best != nil {
			best.TakeOver(old)
		}
	}
}
