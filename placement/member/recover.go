package member

import (
	"context"
	"fmt"
	"time"
)

// ensureQuorum returns nil when enough members can run. If they cannot, but what is left is sure to hold every commit, it
// makes the best survivor the only member (see the package's last rule), to be started as such.
// Errors: ErrNoQuorum.
func (s *Supervisor) ensureQuorum() error {
	s.mu.Lock()
	quorate, allowed := s.quorate(s.startable()), s.mayGoAlone()
	elsewhere := s.spread() || len(s.truth.Peers) == 0
	s.mu.Unlock()
	switch {
	case quorate || elsewhere: // other nodes have a say
		return nil
	case !allowed:
		return s.noQuorum()
	}
	s.setRecovering(true)
	defer s.setRecovering(false)
	survivor, err := s.chooseSurvivor()
	if err != nil {
		return err
	}
	return s.goAlone(survivor)
}

func (s *Supervisor) noQuorum() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return fmt.Errorf("%w: %d of %d", ErrNoQuorum, len(s.startable()), len(s.truth.Peers))
}

// mayGoAlone is the rule: all members are ours to fence, and the lost ones are fewer than it takes to commit, whether or
// not those that were joining had a vote. Members that merely wait for space are not lost. s.mu is held.
func (s *Supervisor) mayGoAlone() bool {
	if !s.opt.Sole || s.spread() || len(s.startable()) == 0 {
		return false
	}
	voters, all, lostVoters, lostAll := 0, 0, 0, 0
	for _, p := range s.truth.Peers {
		l := s.lost[p.Name]
		if l.kind == lossFull {
			return false
		}
		gone := l != (loss{}) || p.State == peerLeaving
		all++
		if gone {
			lostAll++
		}
		if p.State != peerJoining {
			voters++
			if gone {
				lostVoters++
			}
		}
	}
	return lostVoters < voters/2+1 && lostAll < all/2+1
}

// setRecovering keeps the child from being started, and stops the one that runs: nobody may vote meanwhile.
func (s *Supervisor) setRecovering(on bool) {
	s.mu.Lock()
	s.recovering = on
	p := s.proc
	s.notify()
	s.mu.Unlock()
	if on && p != nil {
		p.stop(time.Second)
		s.await(s.ctx, func() bool { return s.proc != p })
	}
}

// chooseSurvivor finds the member whose log ends last. A log that cannot be read is one more lost.
func (s *Supervisor) chooseSurvivor() (string, error) {
	s.mu.Lock()
	names := s.startable()
	dirs := make(map[string]string, len(names))
	for _, n := range names {
		dirs[n] = s.spec(n).Dir
	}
	s.mu.Unlock()
	best, bestEnd := "", logPosition{}
	for _, n := range names {
		end, err := logEnd(dirs[n])
		if err != nil {
			s.opt.Logger.Warn("etcd member's log cannot be read", "member", n, "error", err)
			s.mu.Lock()
			s.lost[n] = gone(err.Error())
			allowed := s.mayGoAlone()
			s.mu.Unlock()
			if !allowed {
				return "", s.noQuorum()
			}
			continue
		}
		if best == "" || bestEnd.before(end) {
			best, bestEnd = n, end
		}
	}
	return best, nil
}

// goAlone writes down that the survivor is the only member from now on, under a new generation.
func (s *Supervisor) goAlone(survivor string) error {
	s.mu.Lock()
	p := *s.truth.peer(survivor)
	others := len(s.truth.Peers) - 1
	s.mu.Unlock()
	p.State = peerVoter
	s.opt.Logger.Warn("too few etcd members are left for a quorum, but one has every commit: it goes on alone",
		"member", survivor, "drive", p.Drive, "others", others)
	err := s.change(func(r *record) {
		r.Generation++
		r.Peers, r.Alone, r.Forming = []peer{p}, true, false
	})
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.lost)
	clear(s.failures)
	s.learned = false
	return nil
}

// finishAlone waits for the survivor to serve, and ends the state in which it forgets all others when it starts.
func (s *Supervisor) finishAlone(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.opt.RequestTimeout)
	defer cancel()
	if err := s.awaitQuorum(ctx); err != nil {
		return err
	}
	return s.settleStart(ctx)
}
