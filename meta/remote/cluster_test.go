package remote

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/sherd-io/sherd/meta"
)

func TestPutGetListThroughAnyNode(t *testing.T) {
	c := newCluster(t, clusterConfig{nodes: 3, drives: 1, gateways: 1})
	for i := range 40 {
		c.nodes[i%4].put(fmt.Sprintf("k%02d", i), fmt.Sprint(i))
	}
	for i := range 40 {
		for _, n := range c.nodes {
			n.want(fmt.Sprintf("k%02d", i), fmt.Sprint(i))
		}
	}
	for _, n := range c.nodes {
		if _, _, err := n.records.Get(c.ctx(), bucket, "absent", meta.GetOptions{}); !errors.Is(err, meta.ErrNoSuchKey) {
			t.Errorf("%s: get of an absent key: %v", n.name, err)
		}
		page, err := n.records.List(c.ctx(), meta.ListRequest{Bucket: bucket, Max: 100}, []byte("x"))
		check(t, err)
		if page.Count != 40 || page.Truncated || page.Entries[0] != 'x' {
			t.Errorf("%s: %d entries", n.name, page.Count)
		}
		counters, err := n.records.Counters(c.ctx(), bucket)
		check(t, err)
		if counters.Objects != 40 {
			t.Errorf("%s: %v", n.name, counters)
		}
	}
}

// A leader's node dies: the others go on within an election time-out and the time that a dead connection takes to notice.
func TestGoesOnWhenTheLeadersNodeDies(t *testing.T) {
	for _, death := range []string{"stopped", "cut", "silent"} {
		t.Run(death, func(t *testing.T) {
			c := newCluster(t, clusterConfig{
				nodes: 3, drives: 1, gateways: 1, tick: 100 * time.Millisecond,
				// A try that is not given up when its node is gone would use up the command's time.
				opt: meta.Options{AttemptTimeout: time.Minute, CommandTimeout: time.Minute},
			})
			gateway := c.nodes[3]
			gateway.put("a", "1")
			lead := c.leader(1)
			begin := time.Now()
			switch death {
			case "stopped":
				lead.stop()
			case "cut":
				for _, n := range c.others(lead) {
					c.links.cut(lead.name, n.name)
				}
			case "silent":
				for _, n := range c.others(lead) {
					c.links.hold(lead.name, n.name)
					c.links.hold(n.name, lead.name)
				}
			}
			gateway.put("b", "2")
			t.Logf("wrote again after %v", time.Since(begin))
			if c.leader(1) == lead && death == "stopped" {
				t.Fatal("the dead leads")
			}
			for _, n := range c.others(lead) {
				n.want("a", "1")
				n.want("b", "2")
				t.Logf("%s read after %v", n.name, time.Since(begin))
			}
		})
	}
}

// A node that hears nobody but is heard, or the other way round, ends neither reads nor writes of the others.
func TestOneWayPartition(t *testing.T) {
	for _, deaf := range []bool{false, true} {
		t.Run(fmt.Sprintf("deaf=%v", deaf), func(t *testing.T) {
			c := newCluster(t, clusterConfig{nodes: 3, drives: 1, gateways: 1})
			c.nodes[3].put("a", "1")
			lead := c.leader(1)
			for _, n := range c.others(lead) {
				if deaf {
					c.links.hold(n.name, lead.name)
				} else {
					c.links.hold(lead.name, n.name)
				}
			}
			for i := range 5 {
				c.nodes[3].put(fmt.Sprint("b", i), "2")
			}
			for _, n := range c.others(lead) {
				n.want("a", "1")
				n.want("b4", "2")
			}
			for _, n := range c.others(lead) {
				c.links.letGo(n.name, lead.name)
				c.links.letGo(lead.name, n.name)
			}
			lead.want("b4", "2")
			lead.put("c", "3")
			c.nodes[3].want("c", "3")
		})
	}
}
