package replica

import (
	"context"

	"go.etcd.io/raft/v3"

	"github.com/sherd-io/sherd/internal/hlc"
	"github.com/sherd-io/sherd/internal/ids"
)

// Range is the range that r is a replica of.
func (r *Replica) Range() ids.Range { return r.rng }

// ID is r's id.
func (r *Replica) ID() ids.Replica { return r.id }

// Host is where r runs.
func (r *Replica) Host() *Host { return r.host }

// Serving reports whether r leads and may take commands.
func (r *Replica) Serving() bool { return r.pub.serving.Load() }

// Leader is who leads r's range, as far as r knows; 0: nobody.
func (r *Replica) Leader() ids.Replica { return ids.Replica(r.pub.leader.Load()) }

// Term is r's newest.
func (r *Replica) Term() uint64 { return r.pub.term.Load() }

// Generation is what r's range has, as r knows it (I4).
func (r *Replica) Generation() uint64 { return r.pub.gen.Load() }

// Status is what r knows of its range.
type Status struct {
	Generation, Term, Commit, Applied uint64
	LastIndex, LastTerm               uint64
	Stamp                             hlc.Stamp   // of the newest command applied
	Leader                            ids.Replica // 0: not known
	Serving                           bool
	Voters, Learners                  []ids.Replica
	Joint                             bool
	Match                             map[ids.Replica]uint64 // as leader, at the last tick: how far each has the log
	Stopped                           error
}

// Status is a snapshot for people and for membership changes.
func (r *Replica) Status() Status {
	s := Status{
		Generation: r.pub.gen.Load(), Term: r.pub.term.Load(),
		Commit: r.pub.commit.Load(), Applied: r.pub.applied.Load(),
		Stamp:  hlc.Stamp(r.pub.stamp.Load()),
		Leader: ids.Replica(r.pub.leader.Load()), Serving: r.pub.serving.Load(),
	}
	if last := r.pub.last.Load(); last != nil {
		s.LastIndex, s.LastTerm = last.index, last.term
	}
	r.pub.mu.Lock()
	defer r.pub.mu.Unlock()
	s.Match, s.Stopped = r.pub.match, r.pub.stopped
	if c := r.pub.conf; c != nil {
		s.Voters, s.Learners = replicaIDs(c.state.GetVoters()), replicaIDs(c.state.GetLearners())
		s.Joint = len(c.state.GetVotersOutgoing()) > 0
	}
	return s
}

func replicaIDs(set []uint64) []ids.Replica {
	all := make([]ids.Replica, len(set))
	for i, id := range set {
		all[i] = ids.Replica(id)
	}
	return all
}

// Changed is closed when the status may be another.
func (r *Replica) Changed() <-chan struct{} {
	r.pub.mu.Lock()
	defer r.pub.mu.Unlock()
	return r.pub.changed
}

func (r *Replica) announce() {
	r.pub.mu.Lock()
	defer r.pub.mu.Unlock()
	close(r.pub.changed)
	r.pub.changed = make(chan struct{})
}

// Await waits until ok holds for r's status.
func (r *Replica) Await(ctx context.Context, ok func(Status) bool) error {
	for {
		changed := r.Changed()
		s := r.Status()
		if ok(s) {
			return nil
		}
		if s.Stopped != nil {
			return s.Stopped
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Depose tells those who wait for r, as leader, that another replica leads: they need not wait for a drive that hangs.
// It changes nothing else.
func (r *Replica) Depose() {
	r.pub.mu.Lock()
	defer r.pub.mu.Unlock()
	close(r.pub.deposed)
	r.pub.deposed = make(chan struct{})
}

func (r *Replica) deposed() <-chan struct{} {
	r.pub.mu.Lock()
	defer r.pub.mu.Unlock()
	return r.pub.deposed
}

func (r *Replica) publishLast() {
	last := r.store.lastID()
	r.pub.last.Store(&last)
}

// publishApplied tells readers that wait.
func (r *Replica) publishApplied() {
	r.pub.applied.Store(r.at.index)
	r.pub.stamp.Store(uint64(r.machine.Last()))
	r.pub.mu.Lock()
	defer r.pub.mu.Unlock()
	if len(r.pub.waits) == 0 {
		return
	}
	keep := r.pub.waits[:0]
	for _, w := range r.pub.waits {
		if w.index <= r.at.index {
			close(w.done)
		} else {
			keep = append(keep, w)
		}
	}
	clear(r.pub.waits[len(keep):])
	r.pub.waits = keep
}

func (r *Replica) publishMatch() {
	match := map[ids.Replica]uint64{}
	r.rn.WithProgress(func(id uint64, _ raft.ProgressType, pr progress) {
		match[ids.Replica(id)] = pr.Match
	})
	r.pub.mu.Lock()
	r.pub.match = match
	close(r.pub.changed)
	r.pub.changed = make(chan struct{})
	r.pub.mu.Unlock()
}
