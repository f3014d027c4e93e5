package member

import (
	"context"
	"math"
	"slices"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// verify compares the content of the members that serve, on all nodes, by its hash at one revision: a flipped bit in a
// member's database can be a wrong value without being an error. This node's that differ from the majority are lost, as
// other nodes find theirs out; those that agree are dialled. One that is removed while it is asked for its hash can
// end its process, as etcd reads a database that it has closed: that is started again. Without a majority, as with two
// members, nobody can tell: it is said, and both go on.
func (s *Supervisor) verify(ctx context.Context) {
	s.mu.Lock()
	var all []target
	for _, n := range s.serving() {
		all = append(all, target{n, s.truth.peer(n).Node})
	}
	expected := s.expected()
	s.mu.Unlock()
	clients := make(map[string]*clientv3.Client, len(all))
	for _, t := range all {
		c, err := s.clientOf(t)
		if err != nil {
			continue
		}
		defer c.Close()
		clients[t.name] = c
	}
	hashes := s.hashAll(ctx, clients)
	if len(hashes) > 0 {
		s.judge(hashes, expected)
	}
}

// expected is how many members serve or may do so soon: this node's own that still read their data, for those of another node that do not serve may
// be away for good. s.mu is held.
func (s *Supervisor) expected() int {
	n := len(s.serving())
	for _, name := range s.startable() {
		if !slices.Contains(s.ready, name) {
			n++
		}
	}
	return n
}

// nothing is a key that is not there, to be asked for: unlike etcd's Status, which ends the process of a member that was
// just removed ("failed to find local ID in cluster members"), that fails where it cannot be answered.
const nothing = "x"

// content is what a member's database hashes to. Hashes are comparable only from one compaction.
type content struct {
	hash    uint32
	compact int64
}

// hashAll hashes each member's content at the newest revision that all have. Members that do not answer are left out.
func (s *Supervisor) hashAll(ctx context.Context, clients map[string]*clientv3.Client) map[string]content {
	var mu sync.Mutex
	revisions := make(map[string]int64, len(clients))
	s.askAll(ctx, clients, func(ctx context.Context, name string, c *clientv3.Client) {
		if got, err := c.Get(ctx, nothing, clientv3.WithSerializable()); err == nil {
			mu.Lock()
			revisions[name] = got.Header.Revision
			mu.Unlock()
		}
	})
	revision := int64(math.MaxInt64)
	for name := range clients {
		if r, ok := revisions[name]; ok {
			revision = min(revision, r)
		} else {
			delete(clients, name)
		}
	}
	hashes := make(map[string]content, len(clients))
	s.askAll(ctx, clients, func(ctx context.Context, name string, c *clientv3.Client) {
		if got, err := c.HashKV(ctx, endpoint, revision); err == nil {
			mu.Lock()
			hashes[name] = content{got.Hash, got.CompactRevision}
			mu.Unlock()
		}
	})
	return hashes
}

// askAll asks all members at a time, and waits no longer than for one.
func (s *Supervisor) askAll(ctx context.Context, clients map[string]*clientv3.Client, ask func(context.Context, string, *clientv3.Client)) {
	ctx, cancel := context.WithTimeout(ctx, s.opt.AskTimeout)
	defer cancel()
	var g sync.WaitGroup
	for name, c := range clients {
		g.Go(func() { ask(ctx, name, c) })
	}
	g.Wait()
}

// judge takes the result in. Of the members that serve or may do so soon not all need have answered: where those that did
// differ, and have no majority, the word of the others is waited for, or that they are lost; until then nobody is trusted
// who was not.
func (s *Supervisor) judge(hashes map[string]content, expected int) {
	votes := make(map[content]int)
	var best content
	for _, h := range hashes {
		votes[h]++
		if votes[h] > votes[best] {
			best = h
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	majority := votes[best] > len(s.truth.Peers)/2
	if !majority && len(votes) > 1 && len(hashes) < expected {
		return
	}
	if !majority && len(votes) > 1 {
		s.opt.Logger.Error("members of the embedded etcd differ, and none has a majority behind it", "members", len(hashes))
	}
	s.trusted = s.trusted[:0:0]
	for n, h := range hashes {
		switch {
		case h == best || !majority:
			s.trusted = append(s.trusted, n)
		case h.compact == best.compact && s.lost[n] == (loss{}):
			p := s.truth.peer(n)
			if p == nil || !s.own(*p) {
				continue
			}
			s.lost[n] = gone("its content differs from the others'")
			s.opt.Logger.Error("etcd member is damaged: it is replaced", "member", n, "drive", p.Drive)
		}
	}
	slices.Sort(s.trusted)
	s.notify()
}

// verifyDue reports whether members serve that were not compared yet, or it was long ago. s.mu is held.
func (s *Supervisor) verifyDue() bool {
	if time.Since(s.verified) > s.opt.VerifyEvery {
		return true
	}
	return slices.ContainsFunc(s.ready, func(n string) bool { return !slices.Contains(s.trusted, n) && s.lost[n] == (loss{}) })
}

// look compares the members where that is due, and stops those that are lost by it.
func (s *Supervisor) look(ctx context.Context) {
	s.mu.Lock()
	due := s.verifyDue() && s.quorate(s.serving())
	s.mu.Unlock()
	if !due {
		return
	}
	s.verify(ctx)
	s.relieve(ctx)
	s.mu.Lock()
	s.verified = time.Now()
	var stop []string
	for n, l := range s.lost {
		if l.kind == lossGone && slices.Contains(s.ready, n) {
			stop = append(stop, n)
		}
	}
	s.mu.Unlock()
	for _, n := range stop {
		s.stopMember(n)
	}
}

// relieve ends the state in which etcd takes no writes because a database had outgrown its quota: what is left of it
// after a compaction is small.
func (s *Supervisor) relieve(ctx context.Context) {
	var alarms *clientv3.AlarmResponse
	err := s.within(ctx, func(ctx context.Context) (err error) {
		alarms, err = s.client.AlarmList(ctx)
		return err
	})
	if err != nil || len(alarms.Alarms) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, s.opt.RequestTimeout)
	defer cancel()
	s.opt.Logger.Warn("the embedded etcd has run out of its space and is compacted", "alarms", len(alarms.Alarms))
	if got, err := s.client.Get(ctx, nothing); err == nil {
		s.client.Compact(ctx, got.Header.Revision) // compacted already: fine
	}
	s.mu.Lock()
	names := slices.Clone(s.ready)
	s.mu.Unlock()
	for _, n := range names {
		if c, err := s.clientOf(target{n, s.opt.Node}); err == nil {
			c.Defragment(ctx, endpoint)
			c.Close()
		}
	}
	for _, a := range alarms.Alarms {
		if a.Alarm == etcdserverpb.AlarmType_NOSPACE {
			s.client.AlarmDisarm(ctx, (*clientv3.AlarmMember)(a))
		}
	}
}
