package remote

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/sherd-io/sherd/internal/hlc"
	"github.com/sherd-io/sherd/internal/poll"
	"github.com/sherd-io/sherd/meta"
	"github.com/sherd-io/sherd/meta/replica"
)

// heralds counts the heartbeats that told a node the median of the clocks.
type heralds struct {
	meta.Peer
	count *atomic.Int64
}

func (h heralds) Send(e replica.Envelope) {
	h.Peer.Send(e)
	if e.Msg.GetType() == pb.MsgHeartbeat && e.Wall != 0 {
		h.count.Add(1)
	}
}

// tellingCluster has a first node whose clock is ahead; told waits until it knows.
func tellingCluster(t *testing.T) (c *cluster, told func()) {
	count := new(atomic.Int64)
	c = newCluster(t, clusterConfig{
		nodes: 3, drives: 1, skew: map[int]time.Duration{0: time.Minute},
		wrap: func(_ *testNode, to string, p meta.Peer) meta.Peer {
			if to != "n1" {
				return p
			}
			return heralds{p, count}
		},
	})
	return c, func() {
		since := count.Load()
		poll.True(t, poll.Within, "heartbeats that tell the time", func() bool { return count.Load() > since+2 })
	}
}

// stamp is what a key's version was given.
func (n *testNode) stamp(key string) time.Time {
	n.c.t.Helper()
	v, _, err := n.records.Get(n.c.ctx(), bucket, key, meta.GetOptions{})
	check(n.c.t, err)
	return hlc.Stamp(v.Ts).Time()
}

// A leader whose clock jumps ahead hands over, and its stamps do not spread.
func TestI18_LeaderWhoseClockIsAheadResigns(t *testing.T) {
	c := newCluster(t, clusterConfig{nodes: 3, drives: 1, gateways: 1})
	gateway := c.nodes[3]
	gateway.put("a", "1")
	lead := c.leader(1)
	lead.skew.Store(int64(time.Hour))
	poll.True(t, poll.Within, "another leader", func() bool { return !lead.records.Leads(1) && c.leader(1) != lead })
	gateway.put("b", "2")
	lead.put("c", "3")
	for _, key := range []string{"b", "c"} {
		if ahead := time.Until(gateway.stamp(key)); ahead > 10*time.Second {
			t.Errorf("%s is stamped %v ahead", key, ahead)
		}
	}
	for _, n := range c.nodes {
		if ahead := time.Until(n.clock.Now().Time()); n != lead && ahead > 10*time.Second {
			t.Errorf("%s: the clock was taken %v ahead", n.name, ahead)
		}
	}
}

// A replica whose clock is ahead serves nothing, whoever else goes; when its clock is right again it may.
func TestI18_ReplicaWhoseClockIsAheadDoesNotServe(t *testing.T) {
	c, told := tellingCluster(t)
	ahead := c.nodes[0]
	for i := range 3 {
		c.nodes[1].put(fmt.Sprint(i), "1")
		told()
		lead := c.leader(1)
		if lead == ahead {
			t.Fatal("a replica leads whose clock is ahead")
		}
		lead.stop() // of the two that are left the one with the right clock must lead, though it may lack the last entries
		right := c.others(lead)[1]
		right.put(fmt.Sprint(i, "b"), "1")
		if c.leader(1) == ahead {
			t.Fatal("a replica leads whose clock is ahead")
		}
		if before := time.Until(right.stamp(fmt.Sprint(i, "b"))); before > 10*time.Second {
			t.Errorf("stamped %v ahead", before)
		}
		lead.restart()
		lead.want(fmt.Sprint(i), "1")
	}
	ahead.skew.Store(0)
	lead := c.leader(1)
	for _, n := range c.nodes[1:] {
		n.stop()
	}
	for _, n := range c.nodes[1:] {
		if n != lead {
			n.restart()
		}
	}
	ahead.put("z", "1") // either of the two may lead
}

// A replica with the wrong clock that alone has the newest entries hands them over, and does not end the range.
func TestI18_LogOfAReplicaWhoseClockIsAheadIsNotLost(t *testing.T) {
	c, told := tellingCluster(t)
	c.nodes[1].put("a", "1")
	told()
	lead := c.leader(1)
	behind := c.others(lead)[1]
	behind.stop()
	lead.put("b", "2") // acknowledged by the leader and the one whose clock is ahead
	lead.stop()
	behind.restart()
	behind.put("c", "3")
	behind.want("b", "2")
	if c.leader(1) != behind {
		t.Error("a replica leads whose clock is ahead")
	}
}

// Clocks that differ by less go on, and two replicas cannot tell who is wrong.
func TestI18_ClocksThatDifferALittleDoNotMatter(t *testing.T) {
	const slow = 500 * time.Millisecond // an election takes ten: on a busy machine, too, clocks alone could make the leader resign
	for name, cfg := range map[string]clusterConfig{
		"9s of three": {nodes: 3, drives: 1, tick: slow, skew: map[int]time.Duration{0: 9 * time.Second, 1: -500 * time.Millisecond}},
		"1m of two":   {nodes: 2, drives: 1, tick: slow, skew: map[int]time.Duration{0: time.Minute}},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, cfg)
			lead := c.leader(1)
			for i := range 10 {
				c.nodes[i%cfg.nodes].put(fmt.Sprint(i), "1")
			}
			if c.leader(1) != lead {
				t.Error("the leader resigned")
			}
		})
	}
}
