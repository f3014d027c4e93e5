package remote

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/internal/poll"
	"github.com/sherd-io/sherd/internal/register"
	"github.com/sherd-io/sherd/meta"
	"github.com/sherd-io/sherd/meta/metapb"
	"github.com/sherd-io/sherd/placement"
)

var soak = flag.Bool("soak", false, "full counts")

// Clients at all nodes, with connections that are cut, held one way or both, and healed at random.
func TestLinearizableOverNodesWithFaults(t *testing.T) {
	n, faults := uint64(2), 6
	if *soak {
		n, faults = 50, 20
	}
	for seed := range n {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel() // they wait for the most part
			c, load, end := startRegisters(t, seed)
			for range faults {
				load(50)
				c.fault()
			}
			c.links.healAll()
			load(150)
			end()
		})
	}
}

// The same while ranges split (I1, I20): whoever leads one makes the split that is ordered, and the map has it some time after.
func TestI20_LinearizableOverNodesThatSplit(t *testing.T) {
	n := uint64(1)
	if *soak {
		n = 50
	}
	for seed := range n {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel() // they wait for the most part
			c, load, end := startRegisters(t, seed)
			for _, split := range []struct {
				id ids.Range
				at string
			}{{1, "key-4"}, {2, "key-6"}, {1, "key-1"}, {3, "key-7"}} {
				load(50)
				c.orderSplit(split.id, split.at)
				c.fault()
				load(50)
				c.links.healAll()
				c.makeSplit(split.id)
				c.fault()
				load(50) // the map does not have it yet
				c.recordSplit(split.id)
			}
			c.links.healAll()
			load(150)
			end()
		})
	}
}

// startRegisters has clients at all nodes use a few keys. load waits until so many more of their operations have ended; end ends them, and
// checks what they saw.
func startRegisters(t *testing.T, seed uint64) (c *cluster, load func(more int), end func()) {
	c = newCluster(t, clusterConfig{
		nodes: 3, drives: 1, gateways: 1, seed: seed,
		opt:   meta.Options{CommandTimeout: 3 * time.Second, AttemptTimeout: 500 * time.Millisecond, LogBytes: 1 << 20},
		peers: Options{RetryAfter: 50 * time.Millisecond, PingEvery: 50 * time.Millisecond, SilenceMax: 300 * time.Millisecond},
	})
	h := register.NewHistory()
	ctx, cancel := context.WithCancel(context.Background())
	var clients sync.WaitGroup
	for i := range 12 {
		clients.Go(func() { h.Client(ctx, i, seed, c.nodes[i%len(c.nodes)].perform) })
	}
	load = func(more int) {
		want := h.Len() + more
		poll.True(t, poll.Within, "operations", func() bool { return h.Len() >= want })
	}
	return c, load, func() {
		cancel()
		clients.Wait()
		h.Check(t, 0)
	}
}

// orderSplit writes into a range's row that it is to split before key, as the planner does.
func (c *cluster) orderSplit(id ids.Range, key string) {
	child := ids.Range(0)
	for _, r := range c.current().Ranges {
		child = max(child, r.ID+1)
	}
	c.edit(id, func(r *placement.Range) {
		r.Begun = true
		r.Splitting = &placement.Splitting{At: routeOf(key), Child: child, Generation: r.Generation, Replicas: r.Replicas}
	})
}

// makeSplit has whoever leads a range carry out what is ordered, until it is made.
func (c *cluster) makeSplit(id ids.Range) {
	c.t.Helper()
	poll.Nil(c.t, poll.Within, "a split", func() (err error) {
		for _, n := range c.nodes {
			if err = n.records.Split(c.ctx(), id); err == nil {
				return nil
			}
		}
		return err
	})
}

// recordSplit puts both rows into the map in place of the one, as the planner does.
func (c *cluster) recordSplit(id ids.Range) {
	c.replace(id, func(r *placement.Range) []*placement.Range {
		parent, child := r.Divided()
		return []*placement.Range{parent, child}
	})
}

// perform does one operation.
func (n *testNode) perform(in register.Op) (out register.Out) {
	ctx, records := context.Background(), n.records
	var err error
	switch in.Kind {
	case register.Get:
		var body []byte
		_, body, err = records.Get(ctx, bucket, in.Key, meta.GetOptions{Inline: true})
		out.Body = string(body)
	case register.Delete:
		_, err = records.DeleteVersions(ctx, 0, &metapb.DeleteVersions{Bucket: uint64(bucket), Keys: []string{in.Key}})
	default:
		sum := md5.Sum([]byte(in.Body))
		p := putOf(in.Key, in.Body)
		p.Version.Md5 = sum[:]
		switch in.Kind {
		case register.PutIfAbsent:
			p.Condition = &metapb.Condition{IfNoneMatch: "*"}
		case register.PutIfMatch:
			was := md5.Sum([]byte(in.Expect))
			p.Condition = &metapb.Condition{IfMatch: hex.EncodeToString(was[:])}
		}
		_, err = records.PutVersion(ctx, 0, p)
	}
	switch {
	case err == nil, errors.Is(err, meta.ErrNoSuchKey) && in.Kind == register.Get:
	case errors.Is(err, meta.ErrPrecondition), errors.Is(err, meta.ErrNoSuchKey):
		out.Refused = true
	case errors.Is(err, meta.ErrUnavailable):
		out.Unknown = true
	default:
		panic(fmt.Sprintf("%+v: %v", in, err))
	}
	return out
}

// fault does one random harm, or mends all.
func (c *cluster) fault() {
	a, b := c.rng.IntN(len(c.nodes)), c.rng.IntN(len(c.nodes))
	if a == b {
		c.links.healAll()
		return
	}
	from, to := c.nodes[a].name, c.nodes[b].name
	switch c.rng.IntN(4) {
	case 0:
		c.links.cut(from, to)
	case 1:
		c.links.hold(from, to)
	case 2:
		c.links.hold(from, to)
		c.links.hold(to, from)
	case 3: // one node against all, as when its cable is pulled
		for _, n := range c.nodes {
			if n.name != from {
				c.links.cut(from, n.name)
			}
		}
	}
}
