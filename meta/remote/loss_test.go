package remote

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/internal/poll"
	"github.com/sherd-io/sherd/meta"
	"github.com/sherd-io/sherd/placement"
)

// losses are the ranges without a majority, as n sees it.
func (n *testNode) losses() []meta.Loss {
	n.c.t.Helper()
	all, err := n.records.Losses(n.c.ctx())
	check(n.c.t, err)
	return all
}

// refused checks that a range takes nothing.
func (n *testNode) refused(key string) {
	n.c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if _, err := n.records.PutVersion(ctx, 0, putOf(key, "x")); !errors.Is(err, meta.ErrUnavailable) {
		n.c.t.Fatalf("put without a majority: %v", err)
	}
}

// setAlive says which nodes show signs of life; the drives of others are down.
func (c *cluster) setAlive(names ...string) {
	c.edit(1, func(*placement.Range) {})
	c.mu.Lock()
	defer c.mu.Unlock()
	m := *c.m
	m.Alive = map[string]bool{}
	for _, name := range names {
		m.Alive[name] = true
	}
	m.Drives = maps.Clone(m.Drives)
	for id, d := range m.Drives {
		next := *d
		if next.State = placement.DriveUp; !m.Alive[d.Node] {
			next.State = placement.DriveDown
		}
		m.Drives[id] = &next
	}
	c.m = &m
}

// carryOn writes the row with the survivors alone, and has those that join become voters, as their nodes' planners do.
func (c *cluster) carryOn(l *meta.Loss) {
	c.t.Helper()
	next := l.Continued()
	if next == nil {
		c.t.Fatalf("not to be continued: %+v", l)
	}
	c.edit(l.Row.ID, func(r *placement.Range) { *r = *next })
	for _, rep := range next.Replicas {
		if rep.Joining {
			n := c.node(c.current().Drives[rep.Drive].Node)
			check(c.t, n.records.ReplaceReplica(c.ctx(), l.Row.ID, 0, rep))
			c.joined(rep.ID, 0)
		}
	}
}

// Three of five replicas are gone. Nothing is served, and nothing decided while a node that lives says nothing; then the range goes
// on from the survivor that has most, under the next generation. What comes back after all is destroyed and never merged.
func TestI4_RecoverByAPerson(t *testing.T) {
	c := newCluster(t, clusterConfig{nodes: 4, drives: 2, replicas: 5})
	one, two, ahead, behind := c.nodes[0], c.nodes[1], c.nodes[2], c.nodes[3]
	one.put("a", "1")
	if l := one.losses(); len(l) > 0 {
		t.Fatalf("nothing is lost: %+v", l)
	}
	for _, n := range c.others(behind) {
		c.links.cut(n.name, behind.name)
	}
	ahead.put("b", "2")
	poll.True(t, poll.Within, "that the survivor has it", func() bool {
		st := ahead.records.Status()[0]
		return !st.Leader.IsZero() && slices.ContainsFunc(st.Replicas, func(r meta.ReplicaStatus) bool {
			return r.Drive == ahead.drives[0].id && r.Lag == 0
		})
	})
	one.stop()
	two.stop()
	poll.True(t, poll.Within, "a leader's end", func() bool { // it would bring the other up to date
		return !ahead.records.Leads(1) && !behind.records.Leads(1)
	})
	for _, n := range c.others(behind) {
		c.links.join(n.name, behind.name)
	}
	ahead.refused("c")

	if l := behind.losses(); len(l) != 1 || len(l[0].Silent) != 2 || l[0].Continued() != nil {
		t.Fatalf("before they are known to be down: %+v", l)
	}
	c.setAlive("n1", "n3", "n4")
	if l := behind.losses(); len(l) != 1 || !slices.Equal(l[0].Silent, []string{"n1"}) || l[0].Continued() != nil {
		t.Fatalf("while a node that lives says nothing: %+v", l)
	}
	c.setAlive("n3", "n4")
	all := behind.losses()
	if len(all) != 1 || len(all[0].Survivors) != 2 || len(all[0].Lost) != 3 || all[0].Whole {
		t.Fatalf("%+v", all)
	}
	if best := all[0].Survivors[0]; best.Drive != ahead.drives[0].id || best.Index <= all[0].Survivors[1].Index || best.Last == 0 {
		t.Fatalf("not the one that is ahead: %+v", all[0].Survivors)
	}
	c.carryOn(&all[0])
	ahead.want("a", "1")
	behind.want("b", "2")
	behind.put("c", "3")

	one.restart()
	two.restart()
	poll.True(t, poll.Within, "the end of the old replicas", func() bool {
		return !one.records.Holds(one.drives[0].id, 1) && !one.records.Holds(one.drives[1].id, 1) && !two.records.Holds(two.drives[0].id, 1)
	})
	one.want("c", "3")
	two.want("b", "2")
	if l := two.losses(); len(l) > 0 {
		t.Fatalf("still lost: %+v", l)
	}
}

// Two of four replicas have every commit, for three must agree to one; of a range with nothing left nothing can be made.
func TestI4_WhatSurvives(t *testing.T) {
	c := newCluster(t, clusterConfig{nodes: 4, drives: 1, replicas: 4})
	c.nodes[0].put("a", "1")
	c.nodes[2].stop()
	c.nodes[3].stop()
	c.setAlive("n1", "n2")
	var all []meta.Loss
	poll.True(t, poll.Within, "the loss to show", func() bool { // not while one leads that has not noticed yet
		all = c.nodes[0].losses()
		return len(all) > 0
	})
	if len(all) != 1 || !all[0].Whole || len(all[0].Survivors) != 2 {
		t.Fatalf("two of four: %+v", all)
	}
	at := c.nodes[1].drives[0]
	c.nodes[1].records.RemoveDrive(at.id, errors.New("pulled out"))
	if l := c.nodes[0].losses(); len(l) != 1 || !slices.Equal(l[0].Silent, []string{"n2"}) || l[0].Continued() != nil {
		t.Fatalf("while a drive is gone of which the map says nothing yet: %+v", l)
	}
	c.nodes[1].stop()
	c.nodes[1].restart()
	poll.True(t, poll.Within, "both to be there again", func() bool {
		all = c.nodes[0].losses()
		return len(all) == 1 && len(all[0].Survivors) == 2
	})
	gone := all[0]
	gone.Survivors = nil
	if gone.Continued() != nil {
		t.Fatal("continued with nothing left")
	}
	c.carryOn(&all[0])
	c.nodes[1].want("a", "1")
	c.nodes[1].put("b", "2")
	var left []ids.Replica
	for _, r := range c.current().Ranges[0].Replicas {
		left = append(left, r.ID)
	}
	if c.current().Ranges[0].Generation != 2 || len(left) != 2 {
		t.Fatalf("generation %d, replicas %v", c.current().Ranges[0].Generation, left)
	}
}

// While the directory may be older than the replicas, one that it does not name stays, and takes no part; then it is destroyed.
func TestI9_NothingIsDestroyedOnAnOldWord(t *testing.T) {
	var right atomic.Bool
	c := newCluster(t, clusterConfig{nodes: 3, drives: 1, opt: meta.Options{Keep: func() bool { return !right.Load() }}})
	c.nodes[0].put("a", "1")
	third := c.nodes[2]
	c.edit(1, func(r *placement.Range) { // as a copy may have it: the third's place was another's
		r.Replicas[2].ID, r.NextReplica = 9, 100
	})
	check(t, third.records.Reconcile(c.ctx()))
	if !third.records.Holds(third.drives[0].id, 1) {
		t.Fatal("destroyed on an old directory's word")
	}
	c.nodes[1].want("a", "1")
	right.Store(true)
	check(t, third.records.Reconcile(c.ctx()))
	if third.records.Holds(third.drives[0].id, 1) {
		t.Fatal("kept though the directory is right")
	}
}
