package member

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// own reports whether a member is this node's. s.mu is held.
func (s *Supervisor) own(p peer) bool {
	return p.Node == s.opt.Node || s.renamed && p.Node == s.former
}

// spread reports whether another node has a member. s.mu is held.
func (s *Supervisor) spread() bool {
	return slices.ContainsFunc(s.truth.Peers, func(p peer) bool { return !s.own(p) })
}

// alone reports whether this node has all members, and has any.
func (s *Supervisor) alone() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.truth.Peers) > 0 && !s.spread()
}

// learn asks etcd who its members are, and has the records say the same: members of this node that etcd does not know are
// never started again (I9); those of other nodes are taken over as they are. It removes from etcd what has this node's name
// and is not in its records: left over from a change that was cut short, or from drives that were emptied since.
func (s *Supervisor) learn(ctx context.Context) error {
	members, err := s.list(ctx)
	if err != nil {
		return err
	}
	left, err := s.take(ctx, members)
	if err != nil {
		return err
	}
	if s.opt.Named != nil && !s.opt.Named() {
		left = nil // the next look removes them
	}
	for _, m := range left {
		s.opt.Logger.Warn("removing an etcd member of this node that its drives' records do not name", "member", m.Name)
		if err := s.removeID(ctx, m.id); err != nil {
			return err
		}
	}
	s.mu.Lock()
	s.learned = true
	s.mu.Unlock()
	return nil
}

// take compares etcd's list with the records, and returns the members of this node that these do not name.
func (s *Supervisor) take(ctx context.Context, members []seen) (left []seen, err error) {
	s.mu.Lock()
	next, was := s.truth.clone(), s.truth
	next.Peers = next.Peers[:0:0]
	var removed []peer
	for _, p := range was.Peers {
		listed := slices.ContainsFunc(members, func(m seen) bool { return m.Name == p.Name })
		switch {
		case s.own(p) && listed:
			next.Peers = append(next.Peers, p)
		case s.own(p):
			removed = append(removed, p)
		}
	}
	for _, m := range members {
		known := was.peer(m.Name)
		switch {
		case known != nil && s.own(*known):
		case s.own(m.peer):
			left = append(left, m)
		default:
			if known != nil && m.Drive.IsZero() {
				m.Drive = known.Drive
			}
			next.Peers = append(next.Peers, m.peer)
		}
	}
	same := slices.Equal(next.Peers, was.Peers) && !s.unwritten
	home := s.spread() && !slices.ContainsFunc(next.Peers, func(p peer) bool { return !s.own(p) })
	s.mu.Unlock()
	if same {
		return left, nil
	}
	if home {
		if err := s.barrier(ctx); err != nil {
			return nil, err
		}
	}
	if err := s.change(func(r *record) { r.Peers = next.Peers }); err != nil {
		return nil, err
	}
	for _, p := range removed {
		s.forget(p)
	}
	return left, s.openWays()
}

// barrier has the members that there are now commit something: then they also have all that was committed while there were
// others, and a survivor of them can go on alone.
func (s *Supervisor) barrier(ctx context.Context) error {
	lease, err := s.client.Grant(ctx, 60)
	if err != nil {
		return fmt.Errorf("committing with the members of this node: %w", err)
	}
	_, err = s.client.Revoke(ctx, lease.ID)
	return err
}

// forget stops a member that etcd does not know any more and puts its directory away.
func (s *Supervisor) forget(p peer) {
	s.opt.Logger.Warn("etcd member was removed from the cluster: it is not started again", "member", p.Name, "drive", p.Drive)
	s.stopMember(p.Name)
	s.mu.Lock()
	delete(s.lost, p.Name)
	delete(s.failures, p.Name)
	h, ok := s.hosts[p.Drive]
	s.mu.Unlock()
	if !ok || s.answer(func() error { return s.opt.Usable(h) }) != nil {
		return
	}
	if err := putAway(h.Path, p.Name); err != nil { // the record keeps it from being started
		s.opt.Logger.Warn("directory of a removed etcd member stays", "path", dataDir(h.Path, p.Name), "error", err)
	}
}

// consult asks the members of other nodes who is a member, before any of this node's is started (I9). Where none can say
// so with a quorum behind it, perhaps because they wait for this node's, it goes on: then the members' own logs are what
// keeps removed ones from having a say.
func (s *Supervisor) consult(ctx context.Context) error {
	s.mu.Lock()
	var others []target
	for _, p := range s.truth.Peers {
		if !s.own(p) && p.Node != "" {
			others = append(others, target{p.Name, p.Node})
		}
	}
	forming := s.truth.Forming
	s.mu.Unlock()
	if forming || s.opt.Dial == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.opt.AskTimeout)
	defer cancel()
	answers := make(chan []seen, len(others))
	var asked sync.WaitGroup
	for _, t := range others {
		asked.Go(func() { answers <- s.ask(ctx, t) })
	}
	defer asked.Wait()
	defer cancel() // one answer will do
	for range others {
		if members := <-answers; members != nil {
			_, err := s.take(ctx, members)
			return err
		}
	}
	return nil
}

// ask asks one member for the list, on one connection; nil if it has no answer.
func (s *Supervisor) ask(ctx context.Context, t target) []seen {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var dialled atomic.Bool
	c, err := s.newClient(func(dialling context.Context, _ string) (net.Conn, error) {
		if dialled.Swap(true) {
			cancel()
			return nil, errors.New("member: refused")
		}
		conn, err := s.connect(dialling, t)
		if err != nil {
			cancel()
		}
		return conn, err
	})
	if err != nil {
		return nil
	}
	defer c.Close()
	members, err := listFrom(ctx, c)
	if err != nil {
		return nil
	}
	return members
}

// awaitServing waits until etcd serves, however long the other nodes take: they may all be starting.
// Errors: ErrNoQuorum with ctx's, when that ends.
func (s *Supervisor) awaitServing(ctx context.Context) error {
	if s.alone() {
		return s.awaitQuorum(ctx)
	}
	for waiting := false; ; waiting = true {
		err := s.hear(ctx)
		switch {
		case err == nil:
			return nil
		case s.ctx.Err() != nil:
			return ErrClosed
		case ctx.Err() != nil:
			return fmt.Errorf("%w: waiting for those of other nodes: %w: %w", ErrNoQuorum, ctx.Err(), err)
		case !waiting:
			s.opt.Logger.Info("waiting for etcd members of other nodes", "members", s.others(), "error", err)
		}
		s.pause(ctx, 100*time.Millisecond)
	}
}

// hear has a quorum say who the members are. What a founder writes down is not changed before its members have started.
func (s *Supervisor) hear(ctx context.Context) error {
	s.mu.Lock()
	forming := s.truth.Forming
	s.mu.Unlock()
	if !forming {
		return s.learn(ctx)
	}
	_, err := s.list(ctx)
	return err
}

// others are the members of other nodes, for people.
func (s *Supervisor) others() (all []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.truth.Peers {
		if !s.own(p) {
			all = append(all, p.address().String())
		}
	}
	return append(all, s.opt.Seeds...)
}

// keepProbing asks the members of other nodes whether they serve, until Close.
func (s *Supervisor) keepProbing() {
	clients := make(map[target]*clientv3.Client)
	defer func() {
		for _, c := range clients {
			c.Close()
		}
	}()
	for s.ctx.Err() == nil {
		s.probe(clients)
		s.pause(s.ctx, s.opt.ProbeEvery)
	}
}

// probe asks each once. clients are kept from one time to the next.
func (s *Supervisor) probe(clients map[target]*clientv3.Client) {
	s.mu.Lock()
	var others []target
	for _, p := range s.truth.Peers {
		if !s.own(p) && p.Node != "" {
			others = append(others, target{p.Name, p.Node})
		}
	}
	s.mu.Unlock()
	for t, c := range clients {
		if !slices.Contains(others, t) {
			c.Close()
			delete(clients, t)
			s.probed(t, false)
		}
	}
	var g sync.WaitGroup
	for _, t := range others {
		if clients[t] == nil {
			c, err := s.clientOf(t)
			if err != nil {
				continue
			}
			clients[t] = c
		}
		c := clients[t]
		g.Go(func() {
			ctx, cancel := context.WithTimeout(s.ctx, s.opt.AskTimeout)
			defer cancel()
			_, err := c.Get(ctx, nothing) // it has a quorum behind it
			s.probed(t, err == nil)
		})
	}
	g.Wait()
}

// probed notes whether a member serves.
func (s *Supervisor) probed(t target, serves bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.remote[t.name] == serves {
		return
	}
	delete(s.remote, t.name)
	if serves {
		s.remote[t.name] = true
	}
	s.notify()
}

// Remove has etcd forget a member of another node that is gone for good, by its name. If that node comes back it does not
// start it again. A name that is not there is no error. Only the elected planner should call it.
// Errors: that the others are no quorum, that the member is this node's (Reconcile removes those), etcd's.
func (s *Supervisor) Remove(ctx context.Context, name string) error {
	members, err := s.list(ctx)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(members, func(m seen) bool { return m.Name == name })
	if i < 0 {
		return nil
	}
	s.mu.Lock()
	own, spare := s.own(members[i].peer), s.spare(members[i].peer)
	s.mu.Unlock()
	switch {
	case own:
		return fmt.Errorf("member: %s is on this node", name)
	case !spare && members[i].State != peerJoining:
		return fmt.Errorf("%w to go on without %s", ErrNoQuorum, name)
	}
	s.opt.Logger.Info("etcd member of another node is removed", "member", name, "node", members[i].Node)
	defer s.wake()
	return s.removeID(ctx, members[i].id)
}
