package meta

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta/remote/remotepb"
	"github.com/sherd-io/sherd/meta/replica"
	"github.com/sherd-io/sherd/placement"
)

// A search looks for who leads a range, try by try: here, then where it is said to be, then at each node that has a
// replica. One goroutine uses it.
type search struct {
	n       *Node
	refused *replica.Replica // led here, and did not when it was asked
	hint    string           // a node that leads, by the answer of another
	passed  []string         // nodes that were asked since the search last waited, and were of no help
	pauses  int
}

// target is one place to ask: a replica here, or a node.
type target struct {
	lead *replica.Replica
	node string
}

const (
	pauseLeast = 20 * time.Millisecond // between two rounds over all nodes of a range: doubled each time, up to
	pauseMost  = 250 * time.Millisecond
)

// next returns who is to be asked next. Once all were, it waits for a time, or until something is known.
func (s *search) next(ctx context.Context, row *placement.Range) (target, error) {
	for {
		if s.n.allHere(row) {
			lead, err := s.n.leader(ctx, row.ID, s.refused)
			return target{lead: lead}, err
		}
		lead, changed := s.n.leaderOrChange(row.ID, s.refused)
		if lead != nil {
			return target{lead: lead}, nil
		}
		if node := s.candidate(row); node != "" {
			return target{node: node}, nil
		}
		if err := s.pause(ctx, changed); err != nil {
			return target{}, err
		}
	}
}

// candidate is the likeliest node that was not asked in this round; "" if all were.
func (s *search) candidate(row *placement.Range) string {
	n, d := s.n, s.n.directory()
	fresh := func(node string) bool { return node != "" && node != n.opt.Self && !slices.Contains(s.passed, node) }
	for _, node := range [...]string{s.hint, d.node(row, n.raftLeader(row)), n.ledBy(row.ID)} {
		if fresh(node) {
			return node
		}
	}
	for i := range row.Replicas {
		if node := d.node(row, row.Replicas[i].ID); fresh(node) {
			return node
		}
	}
	return ""
}

// pause ends a round.
func (s *search) pause(ctx context.Context, changed <-chan struct{}) error {
	most := min(pauseLeast<<min(s.pauses, 8), pauseMost)
	timer := time.NewTimer(most/2 + rand.N(most/2)) // so that those who wait do not ask all at once
	defer timer.Stop()
	s.pauses++
	s.passed, s.hint, s.refused = s.passed[:0], "", nil
	select {
	case <-changed:
	case <-timer.C:
	case <-ctx.Done():
		return ctx.Err()
	case <-s.n.ctx.Done():
		return s.n.ctx.Err()
	}
	return nil
}

// found notes that t leads.
func (s *search) found(t target, rng ids.Range) {
	if t.node != "" {
		s.n.noteLedBy(rng, t.node)
	}
}

// missed notes that t does not lead, or does not answer. hint is the replica that leads, as far as t knows.
func (s *search) missed(t target, row *placement.Range, hint ids.Replica) {
	if t.lead != nil {
		s.refused = t.lead
		return
	}
	s.n.forgetLedBy(row.ID, t.node)
	s.passed = append(s.passed, t.node)
	s.hint = s.n.directory().node(row, hint)
}

// stale waits for a newer map, for a time: t has another generation of the range.
func (s *search) stale(ctx context.Context, t target) {
	s.passed = append(s.passed, t.node)
	if s.n.opt.Next == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, pauseMost)
	defer cancel()
	if _, err := s.n.opt.Next(ctx, s.n.opt.Map().Revision); err == nil {
		s.passed = s.passed[:0]
	}
}

// allHere reports whether all replicas of a range are of this process.
func (n *Node) allHere(row *placement.Range) bool {
	if n.opt.Peers == nil {
		return true
	}
	m := n.opt.Map()
	for i := range row.Replicas {
		if d := m.Drives[row.Replicas[i].Drive]; d != nil && d.Node != n.opt.Self {
			return false
		}
	}
	return true
}

// raftLeader is who leads a range as the replicas here know; 0: they do not.
func (n *Node) raftLeader(row *placement.Range) ids.Replica {
	var best ids.Replica
	term := uint64(0)
	for i := range row.Replicas {
		named := &row.Replicas[i]
		h := n.host(named.Drive)
		if h == nil {
			continue
		}
		if r := h.Replica(row.ID); r != nil && r.Running() && r.Leader() != 0 && r.Term() >= term {
			best, term = r.Leader(), r.Term()
		}
	}
	return best
}

// leaderOrChange returns the leader here, or a channel that is closed when there may be one.
func (n *Node) leaderOrChange(rng ids.Range, not *replica.Replica) (*replica.Replica, <-chan struct{}) {
	n.mu.RLock()
	if l := n.ranges[rng]; l != nil {
		defer n.mu.RUnlock()
		if l.leader != not {
			return l.leader, l.changed
		}
		return nil, l.changed // it is asked again after a pause, if it leads then
	}
	n.mu.RUnlock()
	n.mu.Lock()
	defer n.mu.Unlock()
	l := n.leadership(rng)
	return l.leader, l.changed
}

// ledBy is the node that answered last as a range's leader.
func (n *Node) ledBy(rng ids.Range) string {
	n.mu.RLock()
	defer n.mu.RUnlock()
	if l := n.ranges[rng]; l != nil {
		return l.node
	}
	return ""
}

func (n *Node) noteLedBy(rng ids.Range, node string) {
	if n.ledBy(rng) == node {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	l := n.leadership(rng)
	l.node = node
	l.announce() // others may wait for just this
}

func (n *Node) forgetLedBy(rng ids.Range, node string) {
	if n.ledBy(rng) != node {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if l := n.leadership(rng); l.node == node {
		l.node = ""
	}
}

func (l *leadership) announce() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// answerError is what a peer's answer means; nil if the request was done.
func answerError(r *remotepb.Response) error {
	var is error
	switch r.GetCode() {
	case remotepb.Code_OK:
		return nil
	case remotepb.Code_NOT_LEADER:
		return replica.ErrNotLeader
	case remotepb.Code_STALE:
		return errStaleRange
	case remotepb.Code_SPLIT:
		return errSplit
	case remotepb.Code_NO_SUCH_KEY:
		return ErrNoSuchKey
	case remotepb.Code_NO_SUCH_VERSION:
		return ErrNoSuchVersion
	case remotepb.Code_NO_SUCH_UPLOAD:
		return ErrNoSuchUpload
	case remotepb.Code_FULL:
		return ErrFull
	case remotepb.Code_BUSY:
		is = replica.ErrBusy
	case remotepb.Code_UNKNOWN:
		is = replica.ErrUnknown
	case remotepb.Code_FAILED:
		is = errFailed
	default:
		is = ErrBadCommand
	}
	return &answered{is, r.GetDetail()}
}

// answered is an error of another node.
type answered struct {
	is     error
	detail string
}

func (e *answered) Error() string { return e.is.Error() + ": " + e.detail }
func (e *answered) Unwrap() error { return e.is }

// Leads reports whether a range is led by a replica here.
func (n *Node) Leads(rng ids.Range) bool {
	lead, _ := n.leaderNow(rng, nil)
	return lead != nil && lead.Serving()
}
