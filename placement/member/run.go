package member

import (
	"context"
	"errors"
	"slices"
	"syscall"
	"time"
)

// keepRunning starts the child, again and again, until Close.
func (s *Supervisor) keepRunning() {
	wait := restartWaitMin
	for s.ctx.Err() == nil {
		started := time.Now()
		err := s.runOnce()
		if s.ctx.Err() != nil {
			return
		}
		if time.Since(started) > time.Minute {
			wait = restartWaitMin
		}
		if s.idle() {
			continue
		}
		s.opt.Logger.Warn("the etcd process ended; it is started again", "error", err, "after", wait)
		s.sleep(wait)
		wait = min(2*wait, restartWaitMax)
	}
}

func (s *Supervisor) sleep(d time.Duration) { s.pause(s.ctx, d) }

// pause waits for d, or until ctx ends or the supervisor is closed.
func (s *Supervisor) pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-s.ctx.Done():
	case <-t.C:
	}
}

// runOnce runs the child until it ends.
func (s *Supervisor) runOnce() error {
	if err := s.await(s.ctx, s.runnable); err != nil {
		return err
	}
	p, err := spawn(&s.opt, s.dir)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.proc = p
	s.starts++
	specs := s.specs()
	s.mu.Unlock()
	for i := range specs {
		p.command(command{Start: &specs[i]})
	}
	stop := make(chan struct{})
	go func() {
		select {
		case <-s.ctx.Done():
			p.stop(3 * time.Second)
		case <-stop:
		}
	}()
	starting := s.follow(p)
	close(stop)
	<-p.exited
	s.ended(p, starting)
	return p.err
}

// runnable reports whether the child is to run: with members, and enough of them where other nodes have none. s.mu is held.
func (s *Supervisor) runnable() bool {
	names := s.startable()
	return !s.recovering && len(names) > 0 && (s.spread() || s.quorate(names))
}

// idle reports whether this node has no members.
func (s *Supervisor) idle() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !slices.ContainsFunc(s.truth.Peers, s.own)
}

// rest ends a child that has nothing to do.
func (s *Supervisor) rest() {
	if !s.idle() {
		return
	}
	s.mu.Lock()
	p := s.proc
	s.mu.Unlock()
	if p != nil {
		p.stop(time.Second)
	}
}

// follow takes the child's events until it ends, and returns which member was starting then.
func (s *Supervisor) follow(p *process) (starting string) {
	for e := range p.events {
		s.opt.Logger.Debug("etcd member's event", "event", e.Event, "member", e.Member)
		s.mu.Lock()
		switch e.Event {
		case eventStarting:
			starting = e.Member
		case eventStarted:
			starting = ""
			delete(s.starting, e.Member)
			s.started[e.Member] = true
		case eventReady:
			delete(s.failures, e.Member)
			if !slices.Contains(s.ready, e.Member) {
				s.ready = append(s.ready, e.Member)
			}
			s.client.ActiveConnection().ResetConnectBackoff() // who has waited for it waits no longer
		case eventFailed:
			s.failed(e.Member, e.Error)
			if starting == e.Member {
				starting = ""
			}
		case eventStopped: // what was told after that, to start again, is in starting
			s.unready(e.Member)
		}
		s.notify()
		s.mu.Unlock()
	}
	return starting
}

// failed counts a failure. A member that fails time after time is lost: kept out, and replaced. s.mu is held.
func (s *Supervisor) failed(name, reason string) {
	s.unready(name)
	delete(s.starting, name)
	s.failures[name]++
	s.opt.Logger.Warn("etcd member failed", "member", name, "error", reason, "times", s.failures[name])
	if s.truth.peer(name) == nil {
		return
	}
	if s.failures[name] >= s.opt.FailuresMax && s.lost[name] == (loss{}) {
		s.lost[name] = s.failure(name, reason)
		s.wake()
	}
}

// failure judges a member that fails time after time: a drive without space is no reason to give its state up. s.mu is held.
func (s *Supervisor) failure(name, reason string) loss {
	h := s.hosts[s.truth.peer(name).Drive]
	var st syscall.Statfs_t
	if syscall.Statfs(h.Path, &st) == nil && uint64(st.Bavail)*uint64(st.Bsize) < fullBytes {
		delete(s.failures, name)
		return loss{lossFull, "no space: " + reason, time.Now().Add(fullWait)}
	}
	return gone("it fails: " + reason)
}

const (
	fullBytes = 4 * walSegmentBytes // less than this is no space for a member
	fullWait  = 15 * time.Second
)

// unready takes a member out of those that serve. s.mu is held.
func (s *Supervisor) unready(name string) {
	delete(s.started, name)
	s.trusted = slices.DeleteFunc(s.trusted, func(n string) bool { return n == name })
	s.ready = slices.DeleteFunc(s.ready, func(n string) bool { return n == name })
}

// ended notes the end of the child.
func (s *Supervisor) ended(p *process, starting string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if starting != "" && s.ctx.Err() == nil {
		s.failed(starting, errors.Join(errors.New("the process ended while it started"), p.err).Error())
	}
	s.ready, s.trusted, s.proc = nil, nil, nil
	clear(s.started)
	clear(s.starting)
	s.notify()
}

// specs says how each member is to be started now. s.mu is held.
func (s *Supervisor) specs() (all []spec) {
	for _, name := range s.startable() {
		if !s.adding[name] {
			all = append(all, s.spec(name))
		}
	}
	return all
}

func (s *Supervisor) spec(name string) spec {
	p := s.truth.peer(name)
	h := s.hosts[p.Drive]
	sp := spec{
		Name: name, Node: s.opt.Node, Drive: p.Drive, Dir: dataDir(h.Path, name),
		Token: s.truth.Token, Peers: s.truth.addresses(), Mode: modeRun,
	}
	switch {
	case s.truth.Alone:
		sp.Mode = modeAlone
	case s.truth.Forming && !hasData(h.Path, name):
		sp.Mode = modeForm
	}
	return sp
}

// wake makes the membership loop look now.
func (s *Supervisor) wake() {
	select {
	case s.reconcile <- struct{}{}:
	default:
	}
}
