package replica

import (
	"slices"
	"sync"
	"testing"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/internal/poll"
)

// seldomElected is for a test in which nobody campaigns by itself, however slow the machine is: an election time-out is minutes.
func seldomElected() Options { return Options{Tick: 20 * time.Millisecond, ElectionTicks: 10_000} }

// seen is what r's host sees in its own goroutine once it has acted upon all that was sent to it before.
func (c *cluster) seen(r *Replica) (leads, serves bool, term uint64, leaseUntil int64) {
	c.t.Helper()
	look := func() error {
		leads, serves, term, leaseUntil = r.leading, r.serving, r.term, r.pub.leaseUntil.Load()
		return nil
	}
	for range 2 { // the first may come before what is taken together with it
		check(c.t, r.host.do(c.ctx(), look))
	}
	return leads, serves, term, leaseUntil
}

// TestI8_LeaseCountsFromTheAsking: a heartbeat's answer may have been long on its way. A lease that counted from its arrival would go on when
// who answered may vote for another.
func TestI8_LeaseCountsFromTheAsking(t *testing.T) {
	c := newCluster(t, 3, 1, seldomElected())
	c.begin()
	lead := c.leader()
	var mu sync.Mutex
	var held []Envelope // the first answer after the filter was set
	var sent int64      // when the newest heartbeat was
	c.net.set(func(e Envelope) bool {
		mu.Lock()
		defer mu.Unlock()
		switch e.Msg.GetType() {
		case pb.MsgHeartbeat:
			sent = max(sent, e.Round)
		case pb.MsgHeartbeatResp:
			if len(held) == 0 {
				held = append(held, e)
			}
			return true
		}
		return false
	})
	poll.True(t, poll.Within, "an answer that is late", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(held) > 0 && sent > held[0].Round+int64(5*c.opt.Tick)
	})
	c.mesh.Send(held[0])
	leads, _, _, until := c.seen(lead)
	if most := held[0].Round + int64(0.8*float64(lead.host.opt.election())); !leads || until > most {
		t.Errorf("leads: %v, lease until %d, and the heartbeat was sent at %d: it may last until %d", leads, until, held[0].Round, most)
	}
}

// TestI8_NoLeaseBeforeTheFirstEntry: a new leader does not know yet what was committed before it.
func TestI8_NoLeaseBeforeTheFirstEntry(t *testing.T) {
	c := newCluster(t, 3, 1, seldomElected())
	answers := make(chan ids.Replica, 1<<10)
	c.net.set(func(e Envelope) bool {
		if e.Msg.GetType() == pb.MsgHeartbeatResp && len(answers) < cap(answers) {
			answers <- e.From
		}
		return e.Msg.GetType() == pb.MsgAppResp
	})
	c.begin()
	for range 10 {
		select {
		case <-answers:
		case <-c.ctx().Done():
			t.Fatal("nobody leads")
		}
	}
	r := c.drives[0].host.Replica(testRange)
	if leads, serves, _, until := c.seen(r); !leads || serves || until != 0 {
		t.Errorf("with nothing committed: leads %v, serves %v, lease until %d", leads, serves, until)
	}
	c.net.set(nil)
	c.leader()
}

// TestI8_NoVoteSoonAfterARestart: who was restarted may have confirmed a leader's lease right before. Only who cannot have gives a vote.
func TestI8_NoVoteSoonAfterARestart(t *testing.T) {
	for _, grace := range []bool{true, false} {
		c := newCluster(t, 3, 1, seldomElected())
		c.begin()
		_, _, term, _ := c.seen(c.leader())
		const restarted = 2 // drive; its replica is the next number
		c.net.set(func(e Envelope) bool { return e.From == restarted+1 || e.To == restarted+1 })
		c.crash(restarted, grace)
		c.mesh.Send(Envelope{Range: testRange, Generation: 1, From: 2, To: restarted + 1, Msg: &pb.Message{
			Type: pb.MsgVote.Enum(), From: new(uint64(2)), To: new(uint64(restarted + 1)),
			Term: new(term + 1), LogTerm: new(term), Index: new(uint64(1 << 20)),
		}})
		_, _, now, _ := c.seen(c.drives[restarted].host.Replica(testRange))
		if votes := now == term+1; votes == grace {
			t.Errorf("grace %v: at term %d after a candidate of term %d asked", grace, now, term+1)
		}
	}
}

// TestI4_OtherGenerationsAreNotHeard: what a recovery left behind has no say, whatever its term.
func TestI4_OtherGenerationsAreNotHeard(t *testing.T) {
	c := newCluster(t, 3, 1, seldomElected())
	c.begin()
	lead := c.leader()
	_, _, term, _ := c.seen(lead)
	others := slices.DeleteFunc([]ids.Replica{1, 2, 3}, func(id ids.Replica) bool { return id == lead.id })
	for _, gen := range []uint64{0, 2} {
		c.mesh.Send(Envelope{Range: testRange, Generation: gen, From: others[0], To: lead.id, Msg: &pb.Message{
			Type: pb.MsgHeartbeat.Enum(), From: new(uint64(others[0])), To: new(uint64(lead.id)), Term: new(term + 10),
		}})
		if leads, _, now, _ := c.seen(lead); !leads || now != term {
			t.Errorf("generation %d: leads %v, term %d, was %d", gen, leads, now, term)
		}
	}
}
