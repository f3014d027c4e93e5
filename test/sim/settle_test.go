package sim

import (
	"fmt"

	"github.com/sherd-io/sherd/internal/adminapi"
)

// settle waits until nothing is left to mend, by what every node says.
func (c *cluster) settle(cl *client) {
	for _, s := range c.nodes {
		c.await(s.machine.name+" at full strength", func() error {
			st, err := admin[adminapi.Status](cl, s.machine.name, "GET", "status", nil)
			if err != nil {
				return err
			}
			return unsettled(&st)
		})
	}
	c.log.say("at full strength")
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
