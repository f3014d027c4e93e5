package member

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/sherd-io/sherd/internal/ids"
)

var errNotServing = errors.New("member: the embedded etcd has no quorum now")

// Reconcile makes want the drives that have members, and returns when it is so, or with the last error when ctx ends: the
// supervisor goes on trying then. A drive of want that is not usable now keeps the member that it has.
// Safe to call again and together.
func (s *Supervisor) Reconcile(ctx context.Context, want []Host) error {
	s.mu.Lock()
	s.want = s.want[:0:0]
	for _, h := range want {
		s.adopt(h)
		s.want = append(s.want, h.Drive)
	}
	s.asked++
	asked := s.asked
	s.mu.Unlock()
	s.wake()
	err := s.await(ctx, func() bool { return s.settledFor >= asked })
	if err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		return errors.Join(err, s.settleErr)
	}
	return nil
}

// adopt takes a host in; one that was at the same path is gone. s.mu is held.
func (s *Supervisor) adopt(h Host) {
	for id, old := range s.hosts {
		if old.Path == h.Path && id != h.Drive {
			delete(s.hosts, id)
		}
	}
	s.hosts[h.Drive] = h
}

// keepMembers looks after the members until Close.
func (s *Supervisor) keepMembers() {
	tick := time.NewTicker(s.opt.CheckEvery)
	defer tick.Stop()
	for {
		s.mu.Lock()
		asked := s.asked
		s.mu.Unlock()
		s.check()
		s.startAgain()
		s.look(s.ctx)
		err := s.settle(s.ctx)
		s.rest()
		s.mu.Lock()
		if err == nil {
			s.settledFor = asked
		} else if s.ctx.Err() == nil && (s.settleErr == nil || s.settleErr.Error() != err.Error()) {
			s.opt.Logger.Warn("etcd members are not where they should be yet", "error", err)
		}
		s.settleErr = err
		s.notify()
		s.mu.Unlock()
		select {
		case <-s.ctx.Done():
			return
		case <-tick.C:
		case <-s.reconcile:
		}
	}
}

// settle makes one change after another until the members are where they should be.
func (s *Supervisor) settle(ctx context.Context) error {
	s.mu.Lock()
	s.learned = s.learned && s.opt.Dial == nil // another node's member may have come or gone
	s.mu.Unlock()
	for {
		if err := s.ensureQuorum(); err != nil {
			return err
		}
		s.mu.Lock()
		alone := s.truth.Alone
		s.mu.Unlock()
		if alone {
			if err := s.finishAlone(ctx); err != nil {
				return err
			}
		}
		vacant := s.vacant()
		s.mu.Lock()
		step := s.nextStep(vacant)
		serving := s.spread() || len(s.truth.Peers) == 0 || s.quorate(s.ready)
		s.mu.Unlock()
		if step == nil {
			return nil
		}
		if !serving {
			return errNotServing
		}
		ctx, cancel := context.WithTimeout(ctx, s.opt.RequestTimeout)
		err := step(ctx)
		cancel()
		if err != nil {
			return err
		}
	}
}

// nextStep chooses what to do next; nil if all is as it should be. vacant can take a member. s.mu is held.
func (s *Supervisor) nextStep(vacant map[Host]bool) func(context.Context) error {
	if !s.learned {
		return s.learn
	}
	var own []peer
	for _, p := range s.truth.Peers {
		if s.own(p) {
			own = append(own, p)
		}
	}
	for _, p := range own {
		switch loss, lost := s.lost[p.Name]; {
		case p.Node != s.opt.Node:
			return func(ctx context.Context) error { return s.rename(ctx, p) }
		case p.State == peerLeaving:
			return func(ctx context.Context) error { return s.remove(ctx, p) }
		case lost && (loss.kind == lossGone || !slices.Contains(s.want, p.Drive)) && s.spare(p):
			return func(ctx context.Context) error { return s.leave(ctx, p) }
		case !lost && p.State == peerJoining:
			return func(ctx context.Context) error { return s.promote(ctx, p.Name) }
		}
	}
	blocked := false
	for _, id := range s.want {
		if s.hosting(id) {
			continue
		}
		if h, ok := s.hosts[id]; ok && vacant[h] {
			return func(ctx context.Context) error { return s.add(ctx, h) }
		}
		blocked = true
	}
	for _, p := range own {
		if !blocked && !slices.Contains(s.want, p.Drive) && s.spare(p) {
			return func(ctx context.Context) error { return s.leave(ctx, p) }
		}
	}
	return nil
}

// vacant are the drives that should have a member, have none, and can take one now. A drive that hangs cannot, and is not
// asked again before it has answered.
func (s *Supervisor) vacant() map[Host]bool {
	vacant := make(map[Host]bool) // of s.mu: what answers late writes to it late
	var g sync.WaitGroup
	s.mu.Lock()
	for _, id := range s.want {
		h, ok := s.hosts[id]
		if !ok || s.hosting(id) || s.asking[h] || time.Now().Before(s.retry[id].at) {
			continue
		}
		s.asking[h] = true
		g.Go(func() {
			err := s.opt.Usable(h)
			s.mu.Lock()
			defer s.mu.Unlock()
			delete(s.asking, h)
			vacant[h] = err == nil
		})
	}
	s.mu.Unlock()
	waitAtMost(&g, s.opt.AskTimeout)
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(vacant)
}

// hosting reports whether a drive has a member, lost ones included. s.mu is held.
func (s *Supervisor) hosting(id ids.Drive) bool {
	return slices.ContainsFunc(s.truth.Peers, func(p peer) bool { return p.Drive == id && s.own(p) })
}

// spare reports whether the others are a quorum, before and after p is removed. One without a vote makes no difference where
// etcd says who has one. s.mu is held.
func (s *Supervisor) spare(p peer) bool {
	others := slices.DeleteFunc(s.serving(), func(n string) bool { return n == p.Name })
	return len(others) > 0 && s.quorate(others)
}

// rename has etcd know a member under this node's name, then its record, then, with the last one, all records.
func (s *Supervisor) rename(ctx context.Context, p peer) error {
	members, err := s.list(ctx)
	if err != nil {
		return err
	}
	to := address{p.Name, s.opt.Node}
	for _, m := range members {
		if m.Name == p.Name && m.Node != to.node {
			if _, err := s.client.MemberUpdate(ctx, m.id, []string{peerURL(to)}); err != nil {
				return fmt.Errorf("renaming: %w", err)
			}
		}
	}
	return s.change(func(r *record) {
		r.peer(p.Name).Node = to.node
		if !slices.ContainsFunc(r.Peers, func(q peer) bool { return q.Node == s.former }) {
			r.Node, s.renamed = to.node, false
		}
	})
}

// leave begins the removal of a member: from here on it is never started again (I9), but until etcd has removed it where
// other nodes have members too.
func (s *Supervisor) leave(_ context.Context, p peer) error {
	s.opt.Logger.Info("etcd member leaves", "member", p.Name, "drive", p.Drive)
	if s.alone() {
		s.stopMember(p.Name)
	}
	return s.change(func(r *record) { r.peer(p.Name).State = peerLeaving })
}

// remove ends it.
func (s *Supervisor) remove(ctx context.Context, p peer) error {
	members, err := s.list(ctx)
	if err != nil {
		return err
	}
	for _, m := range members {
		if m.Name == p.Name {
			if err := s.removeID(ctx, m.id); err != nil {
				return err
			}
		}
	}
	s.stopMember(p.Name)
	err = s.change(func(r *record) {
		r.Peers = slices.DeleteFunc(r.Peers, func(q peer) bool { return q.Name == p.Name })
	})
	s.mu.Lock()
	delete(s.lost, p.Name)
	delete(s.failures, p.Name)
	h, ok := s.hosts[p.Drive]
	s.mu.Unlock()
	if ok && s.answer(func() error { return s.opt.Usable(h) }) == nil {
		removeStale(h.Path, "") // add does it again
	}
	return err
}

// add makes a member on a drive: recorded, then known to etcd, then started, in this order (I9). What goes wrong on the
// way makes it a lost one, which is removed; the drive is tried again later.
func (s *Supervisor) add(ctx context.Context, h Host) (err error) {
	name := NewName()
	s.opt.Logger.Info("etcd member is added", "member", name, "path", h.Path)
	defer func() { s.tried(h.Drive, name, err) }()
	if err := removeStale(h.Path, ""); err != nil {
		return err
	}
	s.setAdding(name, true)
	defer s.setAdding(name, false)
	p := peer{Name: name, Node: s.opt.Node, Drive: h.Drive, State: peerJoining}
	if err = s.change(func(r *record) { r.Peers = append(r.Peers, p) }); err != nil {
		return err
	}
	got, err := s.client.MemberAddAsLearner(ctx, []string{peerURL(p.address())})
	if err != nil {
		return fmt.Errorf("adding: %w", err)
	}
	if err := s.startJoining(ctx, name, allSeen(got.Members)); err != nil {
		return fmt.Errorf("starting: %w", err)
	}
	return s.promote(ctx, name)
}

// startJoining starts a new member, which wants to be told of just those members that etcd has: again, if other nodes
// added one meanwhile.
func (s *Supervisor) startJoining(ctx context.Context, name string, members []seen) (err error) {
	for try := 1; ; try++ {
		s.mu.Lock()
		delete(s.failures, name)
		delete(s.adding, name) // a child that is started from here on starts it by itself
		sp, p := s.spec(name), s.proc
		s.mu.Unlock()
		sp.Peers = sp.Peers[:0:0]
		for _, m := range members {
			sp.Peers = append(sp.Peers, m.address().String())
		}
		p.command(command{Start: &sp})
		err = s.await(ctx, func() bool {
			return s.started[name] || s.lost[name].kind == lossGone || s.failures[name] > 0
		})
		if err != nil {
			return err
		}
		s.mu.Lock()
		again := s.failures[name] > 0 && s.lost[name] == (loss{}) && s.spread()
		s.mu.Unlock()
		if !again || try == joinTries {
			return nil // promote finds out, if it did not start
		}
		if members, err = s.list(ctx); err != nil {
			return err
		}
	}
}

const joinTries = 5

// promote makes a joining member a voter, as soon as it has caught up.
func (s *Supervisor) promote(ctx context.Context, name string) error {
	for {
		members, err := s.list(ctx)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(members, func(m seen) bool { return m.Name == name })
		switch {
		case i < 0:
			s.mu.Lock()
			s.lost[name] = gone("etcd does not know it")
			s.mu.Unlock()
			return fmt.Errorf("member: etcd does not know %s", name)
		case members[i].State == peerVoter:
			return s.change(func(r *record) { r.peer(name).State = peerVoter })
		}
		err = s.within(ctx, func(ctx context.Context) error {
			_, err := s.client.MemberPromote(ctx, members[i].id)
			return err
		})
		switch {
		case err == nil:
		case errors.Is(err, rpctypes.ErrMemberLearnerNotReady), errors.Is(err, rpctypes.ErrGRPCLearnerNotReady),
			errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil: // lost with a leader, perhaps
			s.sleep(50 * time.Millisecond)
		default:
			return fmt.Errorf("promoting: %w", err)
		}
	}
}

// attempt is when a drive may be tried again.
type attempt struct {
	at   time.Time
	wait time.Duration
}

const (
	retryWaitMin = 2 * time.Second
	retryWaitMax = 5 * time.Minute
)

// tried notes how an addition went.
func (s *Supervisor) tried(id ids.Drive, name string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		delete(s.retry, id)
		return
	}
	if s.truth.peer(name) != nil {
		s.lost[name] = gone(err.Error())
	}
	wait := min(max(2*s.retry[id].wait, retryWaitMin), retryWaitMax)
	s.retry[id] = attempt{time.Now().Add(wait), wait}
}

// list asks a quorum for its members.
func (s *Supervisor) list(ctx context.Context) (members []seen, err error) {
	err = s.within(ctx, func(ctx context.Context) (err error) {
		members, err = listFrom(ctx, s.client)
		return err
	})
	return members, err
}

// within has a question asked for at most AskTimeout. A member that has not answered then is not the one that is asked next.
func (s *Supervisor) within(ctx context.Context, ask func(context.Context) error) error {
	asking, cancel := context.WithTimeout(ctx, s.opt.AskTimeout)
	defer cancel()
	err := ask(asking)
	if (asking.Err() != nil || isLearners(err)) && ctx.Err() == nil {
		s.inside.redial()
	}
	return err
}

// isLearners reports whether err is the answer of a member without a vote, to what only those with one do: one that was dialled for another
// may have become one, after a going on alone.
func isLearners(err error) bool {
	return errors.Is(err, rpctypes.ErrGRPCNotSupportedForLearner) || errors.Is(err, rpctypes.Error(rpctypes.ErrGRPCNotSupportedForLearner))
}

func listFrom(ctx context.Context, c *clientv3.Client) (members []seen, err error) {
	got, err := c.MemberList(ctx)
	if err != nil {
		return nil, fmt.Errorf("listing etcd members: %w", err)
	}
	return allSeen(got.Members), nil
}

// removeID removes a member from etcd. It can be asked for again.
func (s *Supervisor) removeID(ctx context.Context, id uint64) error {
	err := s.within(ctx, func(ctx context.Context) error {
		_, err := s.client.MemberRemove(ctx, id)
		return err
	})
	if err != nil && !errors.Is(err, rpctypes.ErrMemberNotFound) {
		return fmt.Errorf("removing an etcd member: %w", err)
	}
	return nil
}

// startMember starts a member in the running child; a child that starts later starts it anyway.
func (s *Supervisor) startMember(name string) {
	s.mu.Lock()
	s.starting[name] = true
	sp := s.spec(name)
	s.mu.Unlock()
	s.send(command{Start: &sp})
}

// stopMember stops a member in the running child, and ends its clients' connections: etcd would wait seconds for watches to
// end by themselves, which would hear nothing meanwhile, and then no start would come through.
func (s *Supervisor) stopMember(name string) {
	s.mu.Lock()
	s.unready(name)
	delete(s.starting, name)
	s.notify()
	s.mu.Unlock()
	s.send(command{Stop: name})
	for _, d := range []*dialer{s.inside, s.clients} {
		d.hangUp(func(to target) bool { return to.name == name })
	}
	s.tunnels.drop(func(c tunnelClass) bool { return c.in && c.kind == KindClient && c.member == name })
}

// send tells the child, if it runs.
func (s *Supervisor) send(c command) {
	s.mu.Lock()
	p := s.proc
	s.mu.Unlock()
	p.command(c)
}

// setAdding keeps a member that etcd does not know yet from being started.
func (s *Supervisor) setAdding(name string, on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.adding, name)
	if on {
		s.adding[name] = true
	}
}
