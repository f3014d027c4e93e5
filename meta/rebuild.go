package meta

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta/remote/remotepb"
	"github.com/sherd-io/sherd/placement"
)

// After a restore of the control state the directory may be older than the ranges: it lacks those that were split off since, and
// names replicas that were replaced since. The replicas know better: each has its range's span, generation and configuration as of
// what it has applied (I9, I20). Until the directory says the same as they, no replica is destroyed on its word (Options.Keep).

// Rebuilt is a row of the directory, and what is to stand in its place: the row of the same range first, then those of ranges that
// were split off. A row that was not there before has no margin in NextReplica: whoever writes it adds one (I10).
type Rebuilt struct {
	Was *placement.Range
	Now []*placement.Range
}

// Rebuild asks all nodes, and compares the directory with what their replicas say. doubts are the ranges of which that cannot be
// told yet, for people; with neither changes nor doubts the directory is right. Errors: ctx's.
func (n *Node) Rebuild(ctx context.Context) (changes []Rebuilt, doubts []string, err error) {
	m := n.opt.Map()
	said := map[string]*remotepb.Response{}
	if n.opt.Peers != nil {
		said = n.survey(ctx, m)
	}
	said[n.opt.Self] = n.surveyHere()
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	var all []*remotepb.ReplicaStatus
	for _, resp := range said {
		all = append(all, resp.GetReplicas()...)
	}
	changes, doubts = rebuild(m, all)
	return changes, doubts, nil
}

// testimony is what the replicas of one range say.
type testimony struct {
	id  ids.Range
	all []*remotepb.ReplicaStatus // of the greatest generation, with rows of their own
	// best is the leader; without one (led is false) the one that has applied most.
	best *remotepb.ReplicaStatus
	led  bool
}

// hear sorts what replicas say by range.
func hear(all []*remotepb.ReplicaStatus) map[ids.Range]*testimony {
	heard := map[ids.Range]*testimony{}
	for _, r := range all {
		if r.GetApplied() == 0 { // it has no rows yet: a learner, or the child of a split that is not applied
			continue
		}
		id := ids.Range(r.GetRange())
		t := heard[id]
		if t == nil || r.GetGeneration() > t.best.GetGeneration() {
			heard[id] = &testimony{id: id, all: []*remotepb.ReplicaStatus{r}, best: r, led: r.GetServing()}
			continue
		}
		if r.GetGeneration() < t.best.GetGeneration() {
			continue
		}
		t.all = append(t.all, r)
		if r.GetServing() && !t.led || r.GetServing() == t.led && r.GetApplied() > t.best.GetApplied() {
			t.best, t.led = r, r.GetServing()
		}
	}
	return heard
}

// rebuild compares rows with what replicas say.
func rebuild(m *placement.Map, all []*remotepb.ReplicaStatus) (changes []Rebuilt, doubts []string) {
	heard := hear(all)
	known := map[ids.Range]bool{}
	for _, row := range m.Ranges {
		known[row.ID] = true
	}
	for _, row := range m.Ranges {
		now, doubt := rebuildRow(row, heard, known)
		if doubt != "" {
			doubts = append(doubts, fmt.Sprintf("range %d: %s", row.ID, doubt))
		}
		if len(now) > 1 || len(now) == 1 && !sameRow(row, now[0]) {
			changes = append(changes, Rebuilt{row, now})
		}
	}
	return changes, doubts
}

// rebuildRow is what is to stand in the place of one row; nil if that cannot be told. doubt says what is still to come.
func rebuildRow(row *placement.Range, heard map[ids.Range]*testimony, known map[ids.Range]bool) (now []*placement.Range, doubt string) {
	switch own := heard[row.ID]; {
	case own == nil:
		return nil, "none of its replicas answers"
	case own.best.GetGeneration() < row.Generation: // it was recovered, by a person or by itself
		return nil, "its replicas do not have the directory's generation yet"
	}
	parts := []*testimony{heard[row.ID]}
	for id, t := range heard {
		if !known[id] && inside(row, t.best.GetStart()) {
			parts = append(parts, t)
		}
	}
	slices.SortFunc(parts, func(a, b *testimony) int {
		return cmp.Or(bytes.Compare(a.best.GetStart(), b.best.GetStart()), cmp.Compare(a.id, b.id))
	})
	if parts[0].id != row.ID || !bytes.Equal(parts[0].best.GetStart(), row.Start) {
		return nil, "its replicas begin elsewhere"
	}
	for i, t := range parts {
		end := row.End
		if i+1 < len(parts) { // what begins there was split off, though this replica may not know it yet
			end = parts[i+1].best.GetStart()
		}
		if own := t.best.GetEnd(); i > 0 && bytes.Equal(t.best.GetStart(), parts[i-1].best.GetStart()) || endsBefore(own, end) {
			return nil, fmt.Sprintf("what follows range %d there is not known", t.id)
		}
		next, wait := t.row(row)
		if wait != "" {
			doubt = wait
		}
		next.End = end
		now = append(now, next)
	}
	now[0].Splitting = row.Splitting
	if s := row.Splitting; s != nil && slices.ContainsFunc(now, func(r *placement.Range) bool { return r.ID == s.Child }) {
		now[0].Splitting = nil // it is made
	}
	return now, doubt
}

// inside reports whether a place is in a range's span, and not its beginning.
func inside(row *placement.Range, place []byte) bool {
	return bytes.Compare(place, row.Start) > 0 && (len(row.End) == 0 || bytes.Compare(place, row.End) < 0)
}

// endsBefore compares ends, of which the empty one is past all.
func endsBefore(a, b []byte) bool {
	return len(a) > 0 && (len(b) == 0 || bytes.Compare(a, b) < 0)
}

// row is the range's row by what its replicas say. was is the row that had its span: of the range itself, or of the one that it was
// split from, whose replicas the child's were. By a leader's word it has the voters of its configuration, and those that were joining.
// Without one it has all replicas that there are, so that they can choose one, and wait says so.
func (t *testimony) row(was *placement.Range) (next *placement.Range, wait string) {
	next = &placement.Range{ID: t.id, Start: t.best.GetStart(), Generation: t.best.GetGeneration(), NextReplica: 1, Begun: true}
	if was.ID == t.id {
		next.NextReplica, next.Revision, next.Begun = was.NextReplica, was.Revision, was.Begun || t.led
	}
	drives := map[ids.Replica]placement.Replica{}
	for _, rep := range was.Replicas {
		drives[rep.ID] = placement.Replica{ID: rep.ID, Drive: rep.Drive, Joining: was.ID == t.id && rep.Joining}
	}
	for _, r := range t.all {
		if len(r.GetDrive()) == len(ids.Drive{}) {
			id := ids.Replica(r.GetReplica())
			drives[id] = placement.Replica{ID: id, Drive: ids.Drive(r.GetDrive()), Joining: drives[id].Joining}
		}
	}
	wanted := replicaIDs(t.best.GetVoters())
	for _, id := range replicaIDs(t.best.GetLearners()) {
		if drives[id].Joining {
			wanted = append(wanted, id)
		}
	}
	if !t.led {
		wait = "it has no leader"
		for _, r := range t.all {
			wanted = append(wanted, ids.Replica(r.GetReplica()))
		}
		if was.ID == t.id && was.Generation == next.Generation {
			for _, rep := range was.Replicas {
				wanted = append(wanted, rep.ID)
			}
		}
	}
	slices.Sort(wanted)
	for _, id := range slices.Compact(wanted) {
		rep, ok := drives[id]
		if !ok { // on no drive: if that stays so, the planner has another one take its place
			rep.ID = id
			wait = fmt.Sprintf("nobody says where its replica %d is", id)
		}
		rep.Joining = rep.Joining && !slices.Contains(t.best.GetVoters(), uint64(id))
		next.Replicas = append(next.Replicas, rep)
		next.NextReplica = max(next.NextReplica, id+1)
	}
	if t.best.GetJoint() {
		wait = "its replicas are changing"
	}
	return next, wait
}

// sameRow reports whether two rows of a range say the same, in whatever order.
func sameRow(a, b *placement.Range) bool {
	byID := func(x, y placement.Replica) int { return cmp.Compare(x.ID, y.ID) }
	same := func(x, y placement.Replica) bool {
		return x.ID == y.ID && x.Drive == y.Drive && x.Joining == y.Joining
	}
	return a.Generation == b.Generation && bytes.Equal(a.Start, b.Start) && bytes.Equal(a.End, b.End) && a.Begun == b.Begun &&
		(a.Splitting == nil) == (b.Splitting == nil) &&
		slices.EqualFunc(slices.SortedFunc(slices.Values(a.Replicas), byID), slices.SortedFunc(slices.Values(b.Replicas), byID), same)
}
