package meta

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta/remote/remotepb"
	"github.com/sherd-io/sherd/meta/replica"
	"github.com/sherd-io/sherd/placement"
)

// ErrNotRecoverable reports a range that Recover must not touch: it has a quorum, or what is lost may hold a commit
// that nobody else has.
var ErrNotRecoverable = errors.New("meta: range cannot be recovered by itself")

// Record writes a range's generation and replicas to the directory, by compare-and-set against the row that the map
// has now. Survivors that are not yet voters again are Joining.
type Record func(ctx context.Context, generation uint64, replicas []placement.Replica) error

// promoteWithin is how long a survivor may take to follow the one that leads.
const promoteWithin = 10 * time.Second

// Recover continues a range whose quorum is gone for good, under generation gen+1, from the survivor with the greatest
// (term, index) (I4). It does so only if all replicas were on drives of this process and the lost ones number less
// than a commit's quorum: then that survivor has every commit. The other survivors become voters again behind it; they
// keep their ids. record is called before anything is changed, and again when the voters are known.
//
// After a crash in between, Reconcile finds the directory's row ahead of the replicas and adopts it; ReplaceReplica with
// no old replica then makes voters of those that are still Joining.
// Errors: ErrNotRecoverable; record's; ErrUnavailable.
func (n *Node) Recover(ctx context.Context, id ids.Range, gen uint64, record Record) error {
	survivors, err := n.fenceAndAdopt(ctx, id, gen, record)
	if err != nil {
		return err
	}
	final := make([]placement.Replica, 0, len(survivors))
	for _, s := range survivors {
		if s.Joining && n.promote(ctx, id, s.ID) == nil {
			s.Joining = false
		}
		final = append(final, s)
	}
	return record(ctx, gen+1, final)
}

// fenceAndAdopt is the part of Recover during which no replica of the range may be made or started.
func (n *Node) fenceAndAdopt(ctx context.Context, id ids.Range, gen uint64, record Record) ([]placement.Replica, error) {
	n.reconciling.Lock()
	defer n.reconciling.Unlock()
	m := n.view()
	row := rangeOf(m, id)
	if row == nil || row.Generation != gen || !sameNode(m, row) || n.rangeStatus(row, nil).Quorum || !n.recoverable(row) {
		return nil, fmt.Errorf("%w: range %d, generation %d", ErrNotRecoverable, id, gen)
	}
	best, _ := n.longest(row)
	var survivors []placement.Replica
	for _, named := range row.Replicas {
		if r := n.running(row, named); r != nil && !named.Joining {
			named.Joining = named.ID != best.ID()
			survivors = append(survivors, named)
		}
	}
	n.opt.Logger.Warn("range lost its quorum and goes on with its survivors", "range", uint64(id),
		"generation", gen+1, "from", uint64(best.ID()), "survivors", len(survivors), "of", len(row.Replicas))
	if err := record(ctx, gen+1, survivors); err != nil {
		return nil, err
	}
	next := &placement.Range{ID: id, Generation: gen + 1, Replicas: survivors}
	voters, learners := members(next)
	for _, s := range survivors {
		if err := n.host(s.Drive).Adopt(ctx, id, gen+1, voters, learners); err != nil {
			return nil, err
		}
	}
	return survivors, best.Campaign(ctx)
}

func (n *Node) running(row *placement.Range, named placement.Replica) *replica.Replica {
	if h := n.host(named.Drive); h != nil {
		if r := h.Replica(row.ID); r != nil && r.ID() == named.ID && r.Running() {
			return r
		}
	}
	return nil
}

// recoverable reports whether the voters that do not run number less than a commit's quorum, in the configuration that
// the survivor with the longest log has.
func (n *Node) recoverable(row *placement.Range) bool {
	best, _ := n.longest(row)
	if best == nil {
		return false
	}
	s := best.Status()
	if s.Joint || len(s.Voters) == 0 {
		return false
	}
	alive := map[ids.Replica]bool{}
	for _, named := range row.Replicas {
		alive[named.ID] = n.running(row, named) != nil
	}
	lost := 0
	for _, v := range s.Voters {
		if !alive[v] {
			lost++
		}
	}
	return lost < len(s.Voters)/2+1
}

// promote makes a learner that survived a voter again.
func (n *Node) promote(ctx context.Context, id ids.Range, learner ids.Replica) error {
	ctx, cancel := context.WithTimeout(ctx, promoteWithin)
	defer cancel()
	if err := n.awaitCaughtUp(ctx, id, learner); err != nil {
		return err
	}
	return n.change(ctx, id, func(s replica.Status) bool {
		for _, v := range s.Voters {
			if v == learner {
				return true
			}
		}
		return false
	}, memberChange(remotepb.MemberChange_PROMOTE, learner))
}
