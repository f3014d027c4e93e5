package remote

import (
	"fmt"
	"testing"
	"time"

	"github.com/sherd-io/sherd/internal/hlc"
	"github.com/sherd-io/sherd/internal/poll"
	"github.com/sherd-io/sherd/meta"
)

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

// A replica whose clock is ahead never leads, whoever else goes; when its clock is right again it may.
func TestI18_ReplicaWhoseClockIsAheadDoesNotLead(t *testing.T) {
	c := newCluster(t, clusterConfig{nodes: 3, drives: 1, skew: map[int]time.Duration{0: time.Minute}})
	ahead := c.nodes[0]
	for i := range 4 {
		c.nodes[1].put(fmt.Sprint(i), "1")
		lead := c.leader(1)
		if lead == ahead {
			t.Fatal("a replica leads whose clock is ahead")
		}
		lead.stop()
		other := c.others(lead)
		if i%2 == 0 { // of the two that are left the one with the right clock must lead
			other[1].put(fmt.Sprint(i, "b"), "1")
			if c.leader(1) == ahead {
				t.Fatal("a replica leads whose clock is ahead")
			}
		}
		lead.restart()
		lead.want(fmt.Sprint(i), "1")
	}
	ahead.skew.Store(0)
	lead := c.leader(1)
	for _, n := range c.others(ahead) {
		n.stop()
	}
	for _, n := range c.nodes[1:] {
		if n != lead {
			n.restart()
		}
	}
	ahead.put("z", "1") // either of the two may lead
}

// Clocks that differ by less go on, and two replicas cannot tell who is wrong.
func TestI18_ClocksThatDifferALittleDoNotMatter(t *testing.T) {
	for name, cfg := range map[string]clusterConfig{
		"9s of three": {nodes: 3, drives: 1, skew: map[int]time.Duration{0: 9 * time.Second, 1: -500 * time.Millisecond}},
		"1m of two":   {nodes: 2, drives: 1, skew: map[int]time.Duration{0: time.Minute}},
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
