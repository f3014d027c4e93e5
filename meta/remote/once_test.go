package remote

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sherd-io/sherd/meta"
	"github.com/sherd-io/sherd/meta/metapb"
	"github.com/sherd-io/sherd/meta/remote/remotepb"
)

// meddler is a peer whose calls a test sees, and may answer otherwise.
type meddler struct {
	meta.Peer
	call func(next meta.Peer, ctx context.Context, req *remotepb.Request) (*remotepb.Response, error)
}

func (m meddler) Call(ctx context.Context, req *remotepb.Request) (*remotepb.Response, error) {
	return m.call(m.Peer, ctx, req)
}

// A DELETE is applied and its answer lost; another's PUT gets its answer; the retry of the DELETE must not act again.
func TestI1_RetriedForwardedCommandActsOnce(t *testing.T) {
	var once sync.Once
	var c *cluster
	lost := func(next meta.Peer, ctx context.Context, req *remotepb.Request) (*remotepb.Response, error) {
		resp, err := next.Call(ctx, req)
		if req.GetDo().GetCommand().GetDelete() == nil || err != nil || resp.GetCode() != remotepb.Code_OK {
			return resp, err
		}
		once.Do(func() {
			c.nodes[0].put("k", "of another")
			resp, err = nil, fmt.Errorf("%w: the answer was lost", meta.ErrUnreachable)
		})
		return resp, err
	}
	c = newCluster(t, clusterConfig{nodes: 3, drives: 1, gateways: 1, wrap: func(from *testNode, _ string, p meta.Peer) meta.Peer {
		if from.name != "n4" {
			return p
		}
		return meddler{p, lost}
	}})
	gateway := c.nodes[3]
	gateway.put("k", "first")
	_, err := gateway.records.DeleteVersions(c.ctx(), 0, &metapb.DeleteVersions{Bucket: uint64(bucket), Keys: []string{"k"}})
	check(t, err)
	once.Do(func() { t.Fatal("no answer was lost") })
	gateway.want("k", "of another")
}

// Every forwarded command is delivered twice, at once.
func TestI1_DoubledForwardedCommandActsOnce(t *testing.T) {
	double := func(next meta.Peer, ctx context.Context, req *remotepb.Request) (*remotepb.Response, error) {
		if do := req.GetDo(); do != nil {
			cmd := do.GetCommand()
			again := &remotepb.Request{Range: req.Range, Generation: req.Generation, Op: &remotepb.Request_Do{Do: &remotepb.Do{
				Command: &metapb.Command{Request: cmd.Request, Rules: cmd.Rules, Op: cmd.Op},
			}}}
			go func() { _, _ = next.Call(ctx, again) }()
		}
		return next.Call(ctx, req)
	}
	c := newCluster(t, clusterConfig{nodes: 3, drives: 1, gateways: 1, wrap: func(_ *testNode, _ string, p meta.Peer) meta.Peer {
		return meddler{p, double}
	}})
	for i := range 40 {
		p := putOf(fmt.Sprint(i), "x")
		p.Condition = &metapb.Condition{IfNoneMatch: "*"} // the second to act would be refused
		_, err := c.nodes[i%4].records.PutVersion(c.ctx(), 0, p)
		check(t, err)
	}
	counters, err := c.nodes[3].records.Counters(c.ctx(), bucket)
	check(t, err)
	if counters.Objects != 40 || counters.Versions != 40 {
		t.Fatalf("%v", counters)
	}
}

// A node that is asked and does not lead refuses and says who does: it passes nothing on.
func TestForwardedCallIsNeverPassedOn(t *testing.T) {
	var calls [4]atomic.Int64
	c := newCluster(t, clusterConfig{nodes: 3, drives: 1, gateways: 1, wrap: func(from *testNode, _ string, p meta.Peer) meta.Peer {
		return meddler{p, func(next meta.Peer, ctx context.Context, req *remotepb.Request) (*remotepb.Response, error) {
			if req.GetSurvey() == nil {
				calls[from.name[1]-'1'].Add(1)
			}
			return next.Call(ctx, req)
		}}
	}})
	gateway := c.nodes[3]
	gateway.put("k", "v")
	lead := c.leader(1)
	for i := range calls {
		calls[i].Store(0)
	}
	for _, n := range c.others(lead) {
		if n == gateway {
			continue
		}
		resp, err := gateway.peers.Peer(n.name).Call(c.ctx(), &remotepb.Request{
			Range: 1, Generation: 1, Op: &remotepb.Request_Get{Get: &remotepb.Get{Bucket: uint64(bucket), Key: "k"}},
		})
		check(t, err)
		if resp.GetCode() != remotepb.Code_NOT_LEADER || resp.GetLeader() != uint64(c.replicaOn(lead)) {
			t.Errorf("%s: %v", n.name, resp)
		}
	}
	for i := range calls {
		if n := calls[i].Load(); n > 0 {
			t.Errorf("n%d sent %d calls", i+1, n)
		}
	}
	resp, err := gateway.peers.Peer(lead.name).Call(c.ctx(), &remotepb.Request{
		Range: 1, Generation: 7, Op: &remotepb.Request_Get{Get: &remotepb.Get{Bucket: uint64(bucket), Key: "k"}},
	})
	check(t, err)
	if resp.GetCode() != remotepb.Code_STALE {
		t.Errorf("another generation: %v", resp)
	}
	if resp, err = gateway.peers.Peer(lead.name).Call(c.ctx(), &remotepb.Request{Range: 1, Generation: 1}); err != nil || resp.GetCode() != remotepb.Code_BAD_REQUEST {
		t.Errorf("a request of an unknown kind: %v, %v", resp, err)
	}
}
