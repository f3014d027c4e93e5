package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta"
	"github.com/sherd-io/sherd/placement"
	"github.com/sherd-io/sherd/placement/plan"
	"github.com/sherd-io/sherd/placement/store"
)

const (
	joinWithin  = 2 * time.Minute // for one replica to catch up; the planner tries again
	joinsAtOnce = 4
)

// replicaLost notes that a replica will not vote again though its drive is there.
func (p *planner) replicaLost(rng ids.Range, r placement.Replica) {
	p.mu.Lock()
	p.lost[rangeReplica{rng, r.ID}] = true
	p.mu.Unlock()
	p.wake()
}

// markBegun has the directory say which ranges have begun: those with a leader. From then on a range whose replicas are all
// lost is not made anew, empty (I10).
func (p *planner) markBegun(ctx context.Context) error {
	leads := map[ids.Range]bool{}
	for _, s := range p.n.records.Status() {
		leads[s.ID] = !s.Leader.IsZero()
	}
	var changes []plan.Change
	for _, r := range p.n.store.Map().Ranges {
		if leads[r.ID] && !r.Begun {
			next := *r
			next.Begun = true
			changes = append(changes, plan.Change{Range: &next, Why: "it has begun"})
		}
	}
	return notConflict(p.n.store.ApplyAll(ctx, changes))
}

// moveReplicas brings the replicas of ranges to where they should be. Its steps are saved in the directory: a new
// replica is written there as joining before it is made, and the one it replaces is taken out once the new one votes.
func (p *planner) moveReplicas(ctx context.Context, lead *store.Lead) error {
	m := p.n.store.Map()
	changes := dropUseless(m)
	if len(changes) == 0 && floor(m) >= levelPools {
		changes = plan.CallOffs(m, p.away)
	}
	if len(changes) == 0 {
		changes = plan.ReplicaMoves(m)
	}
	if len(changes) == 0 && floor(m) >= levelPools {
		changes = plan.ReplicaLeaves(m)
	}
	p.dropReplicas(ctx, lead)
	return notConflict(lead.ApplyAll(ctx, changes))
}

// away reports a drive that has been down for longer than it takes to open it again.
func (p *planner) away(d *placement.Drive) bool {
	return d.State == placement.DriveDown && p.downFor(d) >= p.n.cfg.StrandedGrace
}

// notConflict is err but for what the next look mends: somebody else changed the row.
func notConflict(err error) error {
	if errors.Is(err, store.ErrConflict) {
		return nil
	}
	return err
}

// startJoins has the replicas join that the directory orders on drives here, each in its own time: one that cannot now, because its range
// has no quorum, holds up neither the others nor the planner, who may have to mend just that.
func (p *planner) startJoins(ctx context.Context) {
	p.mu.Lock()
	defer p.mu.Unlock()
	ordered := map[rangeReplica]bool{}
	for _, r := range p.n.store.Map().Ranges {
		for _, rep := range r.Replicas {
			key := rangeReplica{r.ID, rep.ID}
			if !rep.Joining || rep.Leaving || p.n.bays.drive(rep.Drive) == nil {
				continue // it goes on when the drive is back
			}
			ordered[key] = true
			if p.joining[key] != nil || len(p.joining) >= joinsAtOnce {
				continue
			}
			within, cancel := context.WithTimeout(ctx, joinWithin)
			p.joining[key] = cancel
			p.joins.Go(func() { p.joinOne(within, key, rep) })
		}
	}
	for key, cancel := range p.joining {
		if !ordered[key] {
			cancel()
		}
	}
}

func (p *planner) joinOne(ctx context.Context, key rangeReplica, rep placement.Replica) {
	err := p.join(ctx, key.rng, rep)
	if err != nil && ctx.Err() == nil && !errors.Is(err, store.ErrConflict) {
		p.n.log.Warn("a replica joins later", "err", err)
	}
	p.mu.Lock()
	p.joining[key]()
	delete(p.joining, key)
	p.mu.Unlock()
	if err == nil {
		p.wake() // there may be more to do
	}
}

// dropReplicas has replicas leave that the directory orders to: Raft forgets one before the directory does, and what ends in between is done
// again. It goes on beside the planner: a range without a quorum holds up nothing else.
func (p *planner) dropReplicas(ctx context.Context, lead *store.Lead) {
	drops := plan.Drops(p.n.store.Map())
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(drops) == 0 || p.dropping {
		return
	}
	p.dropping = true
	p.joins.Go(func() {
		for _, d := range drops {
			within, cancel := context.WithTimeout(ctx, joinWithin)
			if err := p.drop(within, lead, d); err != nil && ctx.Err() == nil {
				p.n.log.Warn("a replica leaves later", "range", d.Range, "replica", d.Replica, "err", err)
			}
			cancel()
		}
		p.mu.Lock()
		p.dropping = false
		p.mu.Unlock()
		p.wake()
	})
}

func (p *planner) drop(ctx context.Context, lead *store.Lead, d plan.Drop) error {
	joined, err := p.takeOut(ctx, d)
	if err != nil {
		return err
	}
	outcome := plan.Dropped
	if joined {
		outcome = func(m *placement.Map, d plan.Drop) (plan.Change, bool) {
			return plan.ReplicaJoined(m, d.Range, d.Replica)
		}
	}
	c, ok := outcome(p.n.store.Map(), d)
	if !ok {
		return nil
	}
	if err := lead.Apply(ctx, c); err != nil {
		return notConflict(err)
	}
	p.n.log.Info("replica left", "range", d.Range, "replica", d.Replica, "stays after all", joined)
	return nil
}

// takeOut has Raft forget a replica, but for one that was to join and has.
func (p *planner) takeOut(ctx context.Context, d plan.Drop) (joined bool, err error) {
	if d.Joining {
		return p.n.records.CallOff(ctx, d.Range, d.Replica)
	}
	return false, p.n.records.DropReplica(ctx, d.Range, d.Replica)
}

// dropUseless takes replicas out of the directory that were to join on a drive that is out by now, or in place of one that
// is not there any more.
func dropUseless(m *placement.Map) (changes []plan.Change) {
	for _, r := range m.Ranges {
		useless := func(rep placement.Replica) bool {
			d := m.Drives[rep.Drive]
			replaced := rep.Replaces != 0 && !slices.ContainsFunc(r.Replicas, func(a placement.Replica) bool { return a.ID == rep.Replaces })
			return rep.Joining && (d == nil || d.State == placement.DriveOut || replaced)
		}
		if slices.ContainsFunc(r.Replicas, useless) {
			next := *r
			next.Replicas = slices.DeleteFunc(slices.Clone(r.Replicas), useless)
			changes = append(changes, plan.Change{Range: &next, Why: "a joining replica is of no use"})
		}
	}
	return changes
}

// replaceLost orders new replicas on the same drives for those that lost their log or rows, one a range, and those that lost them while they
// joined not to join (I10).
func (p *planner) replaceLost(ctx context.Context) error {
	m := p.n.store.Map()
	changes := p.lostReplicas(m)
	if floor(m) >= levelPools {
		changes = append(changes, plan.LostJoins(m, p.isLost)...)
	}
	return notConflict(p.n.store.ApplyAll(ctx, changes))
}

func (p *planner) isLost(rng ids.Range, r ids.Replica) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lost[rangeReplica{rng, r}]
}

func (p *planner) lostReplicas(m *placement.Map) (changes []plan.Change) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range m.Ranges {
		if !r.Settled() {
			continue // one at a time
		}
		for _, rep := range r.Replicas {
			if !p.lost[rangeReplica{r.ID, rep.ID}] || p.n.bays.drive(rep.Drive) == nil {
				continue
			}
			next := *r
			next.Replicas = append(slices.Clone(r.Replicas),
				placement.Replica{ID: r.NextReplica, Drive: rep.Drive, Joining: true, Replaces: rep.ID})
			next.NextReplica++
			changes = append(changes, plan.Change{Range: &next, Why: "a replica lost its state"})
			break
		}
	}
	return changes
}

// join makes a replica that the directory orders a voter, and records that it is one.
func (p *planner) join(ctx context.Context, rng ids.Range, rep placement.Replica) error {
	if err := p.n.records.ReplaceReplica(ctx, rng, rep.Replaces, rep); err != nil {
		return fmt.Errorf("range %d: replica %d joins: %w", rng, rep.ID, err)
	}
	c, ok := plan.ReplicaJoined(p.n.store.Map(), rng, rep.ID)
	if !ok {
		return nil
	}
	if err := p.n.store.Apply(ctx, c); err != nil {
		return err
	}
	p.n.log.Info("replica joined", "range", rng, "replica", rep.ID, "drive", rep.Drive, "instead of", rep.Replaces)
	return nil
}

// recoverRanges takes ranges on that lost their quorum for good, where I4 allows it without a person.
func (p *planner) recoverRanges(ctx context.Context) error {
	now := time.Now()
	stranded := p.n.records.Stranded()
	p.mu.Lock()
	for id := range p.stranded {
		if !slices.Contains(stranded, id) {
			delete(p.stranded, id)
		}
	}
	var due []ids.Range
	for _, id := range stranded {
		switch since, known := p.stranded[id]; {
		case !known:
			p.stranded[id] = now
			time.AfterFunc(p.n.cfg.StrandedGrace, p.wake)
		case now.Sub(since) >= p.n.cfg.StrandedGrace:
			due = append(due, id)
		}
	}
	p.mu.Unlock()
	var errs []error
	for _, id := range due {
		if err := p.recoverRange(ctx, id); err != nil && !errors.Is(err, meta.ErrNotRecoverable) {
			errs = append(errs, fmt.Errorf("recovering range %d: %w", id, err))
		}
	}
	return errors.Join(errs...)
}

func (p *planner) recoverRange(ctx context.Context, id ids.Range) error {
	row := rangeOf(p.n.store.Map(), id)
	if row == nil {
		return nil
	}
	return p.n.records.Recover(ctx, id, row.Generation, func(ctx context.Context, gen uint64, replicas []placement.Replica) error {
		row := rangeOf(p.n.store.Map(), id)
		if row == nil {
			return fmt.Errorf("range %d is gone from the directory", id)
		}
		next := *row
		next.Generation, next.Replicas = gen, replicas
		return p.n.store.Apply(ctx, plan.Change{Range: &next, Why: "goes on without its quorum (I4)"})
	})
}

// compareDirectory mends the directory where it says other than the replicas, after a restore from a copy that was older than they.
// Its writes are guarded by the rows' revisions.
func (p *planner) compareDirectory(ctx context.Context) error {
	changes, doubts, err := p.n.records.Rebuild(ctx)
	if err != nil {
		return err
	}
	for _, c := range changes {
		p.n.log.Warn("the directory is older than the replicas, and is mended", "range", uint64(c.Was.ID), "ranges", len(c.Now))
		if err := p.n.store.RebuildRange(ctx, c.Was, c.Now); err != nil {
			return notConflict(err)
		}
	}
	if len(changes) > 0 || len(doubts) > 0 {
		return nil // the next look goes on
	}
	p.n.log.Info("the directory says the same as the replicas")
	return p.n.store.DirectoryRight(ctx)
}

func rangeOf(m *placement.Map, id ids.Range) *placement.Range {
	i := slices.IndexFunc(m.Ranges, func(r *placement.Range) bool { return r.ID == id })
	if i < 0 {
		return nil
	}
	return m.Ranges[i]
}
