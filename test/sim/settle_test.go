package sim

import (
	"fmt"
	"time"

	"github.com/sherd-io/sherd/internal/adminapi"
)

// judge counts everything after the last healing: what must never happen has not (DESIGN §10).
func (c *cluster) judge(cl *client, l *load) {
	c.settle(cl)
	if !c.rotten {
		c.count(cl, false) // nothing is found missing only when somebody looks
	}
	c.readAll(cl, l)
	time.Sleep(collectAfter + 5*time.Second) // what nobody committed is garbage by now (I6)
	c.scrub(cl)
	c.settle(cl)
	c.count(cl, true)
	c.readAll(cl, l)
	l.report()
	if err := l.h.check(); err != nil {
		c.t.Error(err)
	}
}

// settle waits until nothing is left to mend, by what every node says.
func (c *cluster) settle(cl *client) {
	for _, s := range c.nodes {
		c.await(s.machine.name+" at full strength", func() error {
			c.renew()
			st, err := admin[adminapi.Status](cl, s.machine.name, "GET", "status", nil)
			if err != nil {
				return err
			}
			return unsettled(&st)
		})
	}
	c.log.say("at full strength")
}

// scrub has every node read all that it has.
func (c *cluster) scrub(cl *client) {
	name := c.nodes[0].machine.name
	begin := time.Now()
	c.await("a scrub's begin", func() error {
		_, err := admin[any](cl, name, "POST", "scrub/start", nil)
		return err
	})
	c.await("a scrub's end", func() error {
		st, err := admin[adminapi.Status](cl, name, "GET", "status", nil)
		if err != nil {
			return err
		}
		for _, n := range st.Nodes {
			if n.Scrub.Finished.Before(begin) {
				return fmt.Errorf("%s is %s: %s", n.Name, n.Scrub.State, n.Scrub.Reason)
			}
		}
		return nil
	})
	c.log.say("scrubbed")
}

// unearth has every rotten chunk found and made anew: what nobody has found yet is as lost as a drive, but no drive's state says so.
func (c *cluster) unearth(cl *client) {
	if !c.rotten {
		return
	}
	c.scrub(cl)
	c.await("new chunks for rotten ones", func() error {
		tr, err := c.inspect(c.store.Map())
		if err != nil {
			return err
		}
		return tr.whole()
	})
	c.rotten = false
}

// count compares what the nodes say with what the drives hold; all: that nothing else is there, too. Counting once more does not help where
// the ledger is wrong: it was said to be exact.
func (c *cluster) count(cl *client, all bool) {
	c.await("drives that hold what they should", func() error {
		st, err := admin[adminapi.Status](cl, c.nodes[0].machine.name, "GET", "status", nil)
		if err != nil {
			return err
		}
		tr, err := c.inspect(c.store.Map())
		if err != nil {
			return err
		}
		if err := tr.evenReplicas(); err != nil {
			return err
		}
		if err := tr.leftOver(); all && err != nil {
			return err
		}
		if err := tr.whole(); err != nil {
			return err
		}
		if said := st.Ledger.Short; len(said) == 0 || said[0] != int64(len(tr.blobs)) {
			return fmt.Errorf("the ledger says %v blobs, and there are %d", said, len(tr.blobs))
		}
		c.log.say("%d blobs at full strength, %d ranges", len(tr.blobs), len(tr.copies))
		return nil
	})
}

// unsettled says what is still to be done.
func unsettled(st *adminapi.Status) error {
	for _, d := range st.Drives {
		if d.State != "up" || d.Queued > 0 {
			return fmt.Errorf("drive %s on %s is %s, %d repairs wait for it", d.Path, d.Node, d.State, d.Queued)
		}
	}
	for _, r := range st.Ranges {
		if r.Leader == "" || !r.Quorum {
			return fmt.Errorf("range %d has no leader", r.ID)
		}
		for _, rep := range r.Replicas {
			if rep.State != "leader" && rep.State != "follower" {
				return fmt.Errorf("range %d has a %s", r.ID, rep.State)
			}
		}
	}
	for lacks, n := range st.Ledger.Short {
		if lacks > 0 && n > 0 {
			return fmt.Errorf("%d blobs lack %d shards", n, lacks)
		}
	}
	if !st.Ledger.Exact {
		return fmt.Errorf("the ledger is being counted")
	}
	return nil
}
