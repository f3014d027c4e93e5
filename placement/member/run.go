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
		full := e.Event == eventFailed && s.full(e.Member)
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
			s.failed(e.Member, e.Error, full)
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

// failed counts a failure. A member that fails time after time is lost: kept out, and replaced; but a full drive is no reason
// to give its state up. s.mu is held.
func (s *Supervisor) failed(name, reason string, full bool) {
	s.unready(name)
	delete(s.starting, name)
	s.failures[name]++
	s.opt.Logger.Warn("etcd member failed", "member", name, "error", reason, "times", s.failures[name])
	if s.truth.peer(name) == nil {
		return
	}
	if s.failures[name] < s.opt.FailuresMax || s.lost[name] != (loss{}) {
		return
	}
	s.lost[name] = gone("it fails: " + reason)
	if full {
		delete(s.failures, name)
		s.lost[name] = loss{lossFull, "no space: " + reason, time.Now().Add(fullWait)}
	}
	s.wake()
}

// full reports whether a member's drive has no space for it. One that hangs is not known to be full.
func (s *Supervisor) full(name string) bool {
	s.mu.Lock()
	p := s.truth.peer(name)
	if p == nil {
		s.mu.Unlock()
		return false
	}
	h := s.hosts[p.Drive]
	s.mu.Unlock()
	var st syscall.Statfs_t
	err := s.answer(func() error { return syscall.Statfs(h.Path, &st) })
	return err == nil && uint64(st.Bavail)*uint64(st.Bsize) < fullBytes
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
	full := starting != "" && s.full(starting)
	s.mu.Lock()
	defer s.mu.Unlock()
	if starting != "" && s.ctx.Err() == nil {
		s.failed(starting, errors.Join(errors.New("the process ended while it started"), p.err).Error(), full)
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
