package member

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/sherd-io/sherd/internal/ids"
)

// loss is why a member does not run. The zero loss is none.
type loss struct {
	kind   lossKind
	reason string
	until  time.Time // of lossFull: when it is tried again
}

type lossKind uint8

const (
	lossNone lossKind = iota
	lossAway          // its drive cannot be used now; it may come back as it was
	lossGone          // its state is gone or cannot be trusted: it is replaced
	lossFull          // its drive has no space
)

func gone(reason string) loss { return loss{kind: lossGone, reason: reason} }
func away(reason string) loss { return loss{kind: lossAway, reason: reason} }

// check looks at each member's directory. A member without its directory is stopped at once, though it could go on
// writing to files that have no name any more: what it would acknowledge is not stored. Drives that hang are skipped.
func (s *Supervisor) check() {
	s.mu.Lock()
	var g sync.WaitGroup
	for _, p := range s.truth.Peers {
		if !s.own(p) || p.State == peerLeaving || s.inspecting[p.Name] || s.lost[p.Name].kind == lossGone || time.Now().Before(s.lost[p.Name].until) {
			continue
		}
		s.inspecting[p.Name] = true
		h, ok := s.hosts[p.Drive]
		generation, forming := s.truth.Generation, s.truth.Forming
		g.Go(func() { s.checked(p, s.inspect(h, ok, p, generation, forming)) })
	}
	s.mu.Unlock()
	waitAtMost(&g, s.opt.CheckEvery)
}

// startAgain starts the members that failed to start while the child lived on.
func (s *Supervisor) startAgain() {
	s.mu.Lock()
	var names []string
	for _, p := range s.truth.Peers {
		if s.own(p) && s.failures[p.Name] > 0 && s.lost[p.Name] == (loss{}) && !s.started[p.Name] && !s.starting[p.Name] && !s.adding[p.Name] && p.State != peerLeaving {
			names = append(names, p.Name)
		}
	}
	s.mu.Unlock()
	for _, n := range names {
		s.startMember(n)
	}
}

// checked takes the result in. The drive is looked at again when the child has been told: what is found later is told later.
func (s *Supervisor) checked(p peer, l loss) {
	defer func() {
		s.mu.Lock()
		delete(s.inspecting, p.Name)
		s.mu.Unlock()
	}()
	s.mu.Lock()
	was := s.lost[p.Name]
	if l == (loss{}) && was == (loss{}) || was.kind == lossGone || s.truth.peer(p.Name) == nil {
		s.mu.Unlock()
		return
	}
	if l == (loss{}) {
		delete(s.lost, p.Name)
		s.notify()
		s.mu.Unlock()
		s.opt.Logger.Info("etcd member is back", "member", p.Name)
		s.startMember(p.Name)
		return
	}
	s.lost[p.Name] = l
	if l.kind == lossGone {
		// What took its files may be taking the whole directory: a new member would bring that back.
		s.retry[p.Drive] = attempt{time.Now().Add(2 * s.opt.CheckEvery), s.retry[p.Drive].wait}
	}
	s.mu.Unlock()
	if was == (loss{}) {
		s.opt.Logger.Warn("etcd member lost", "member", p.Name, "drive", p.Drive, "reason", l.reason)
		s.stopMember(p.Name)
		s.wake()
	}
}

// inspect tells whether a member can run from its directory.
func (s *Supervisor) inspect(h Host, ok bool, p peer, generation uint64, forming bool) loss {
	if !ok {
		return away("its drive is not there")
	}
	if err := s.opt.Usable(h); err != nil {
		return away(err.Error())
	}
	r, err := readRecord(h, s.opt.Cluster)
	switch {
	case err != nil:
		if errors.Is(err, errNoRecord) || errors.Is(err, errBadRecord) || errors.Is(err, errOtherDrive) {
			return gone(err.Error())
		}
		return away(err.Error())
	case r.Name != p.Name || r.Node != s.opt.Node && !s.renamed || r.Generation != generation:
		return gone("its directory belongs to a former member")
	case !hasData(h.Path, p.Name) && !forming:
		return gone("its data is gone")
	}
	return loss{}
}

// change makes the next truth and writes it down.
func (s *Supervisor) change(edit func(*record)) error {
	s.mu.Lock()
	next := s.truth.clone()
	edit(next)
	next.Serial++
	s.truth = next
	s.notify()
	s.mu.Unlock()
	err := s.writeTruth()
	s.mu.Lock()
	s.unwritten = err != nil
	s.mu.Unlock()
	return err
}

// writeTruth writes the newest record to all drives that are usable. A drive that cannot take it loses its member; an
// error means that fewer members than a quorum have it. A drive that hangs is not waited for.
func (s *Supervisor) writeTruth() error {
	s.mu.Lock()
	truth := s.truth.clone()
	hosts := s.sortedHosts()
	s.mu.Unlock()
	var g, mu = sync.WaitGroup{}, sync.Mutex{}
	failed := make(map[ids.Drive]error, len(hosts))
	for _, h := range hosts {
		failed[h.Drive] = errHangs
	}
	for _, h := range hosts {
		g.Go(func() {
			err := s.writeTo(h, truth)
			mu.Lock()
			failed[h.Drive] = err
			mu.Unlock()
		})
	}
	waitAtMost(&g, s.opt.RequestTimeout)
	mu.Lock()
	defer mu.Unlock()
	return s.written(truth, failed)
}

func (s *Supervisor) writeTo(h Host, truth *record) error {
	if err := s.opt.Usable(h); err != nil {
		return err
	}
	r := truth.clone()
	r.Drive = h.Drive
	for _, p := range r.Peers {
		if p.Drive == h.Drive && p.State != peerLeaving {
			r.Name = p.Name
		}
	}
	return writeRecord(h, r)
}

func (s *Supervisor) written(truth *record, failed map[ids.Drive]error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs error
	own, have := 0, 0 // members
	for _, p := range truth.Peers {
		err, tried := failed[p.Drive]
		switch {
		case !s.own(p) || p.State == peerLeaving:
			continue
		case tried && err == nil:
			have++
		case tried:
			if s.lost[p.Name] == (loss{}) {
				s.lost[p.Name] = away(err.Error())
			}
			errs = errors.Join(errs, err)
		}
		own++
	}
	few := have <= own/2 && !s.opt.Sole && !s.spread()
	if own > 0 && (have == 0 || few) {
		return errors.Join(fmt.Errorf("member: too few drives take %s", recordFile), errs) // a drive that is not there has no error
	}
	return nil
}

func (s *Supervisor) sortedHosts() []Host {
	hosts := make([]Host, 0, len(s.hosts))
	for _, h := range s.hosts {
		hosts = append(hosts, h)
	}
	slices.SortFunc(hosts, func(a, b Host) int { return slices.Compare(a.Drive[:], b.Drive[:]) })
	return hosts
}

var errHangs = errors.New("the drive hangs")

// answer asks a drive, and gives up on one that hangs. s.mu is not held: all would hang with the drive.
func (s *Supervisor) answer(ask func() error) error {
	answer := make(chan error, 1)
	go func() { answer <- ask() }()
	t := time.NewTimer(s.opt.AskTimeout)
	defer t.Stop()
	select {
	case err := <-answer:
		return err
	case <-t.C:
		return errHangs
	}
}

func waitAtMost(g *sync.WaitGroup, d time.Duration) {
	done := make(chan struct{})
	go func() {
		g.Wait()
		close(done)
	}()
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-done:
	case <-t.C:
	}
}
