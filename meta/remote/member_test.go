package remote

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/internal/poll"
	"github.com/sherd-io/sherd/meta"
	"github.com/sherd-io/sherd/meta/keys"
	"github.com/sherd-io/sherd/meta/remote/remotepb"
	"github.com/sherd-io/sherd/meta/replica"
	"github.com/sherd-io/sherd/placement"
)

// order writes a new replica of range 1 on d into the directory, in place of old.
func (c *cluster) order(d *testDrive, old ids.Replica) (next placement.Replica) {
	c.edit(1, func(r *placement.Range) {
		next = placement.Replica{ID: r.NextReplica, Drive: d.id, Joining: true, Replaces: old}
		r.NextReplica++
		r.Replicas = append(r.Replicas, next)
	})
	return next
}

// joined writes that next is a voter and old is gone.
func (c *cluster) joined(next, old ids.Replica) {
	c.edit(1, func(r *placement.Range) {
		r.Replicas = slices.DeleteFunc(r.Replicas, func(p placement.Replica) bool { return p.ID == old })
		for i := range r.Replicas {
			if r.Replicas[i].ID == next {
				r.Replicas[i].Joining = false
			}
		}
	})
}

// The node that has the new replica drives the join, wherever the leader is; the rows come by snapshot. The replica that
// leaves may be the leader.
func TestReplaceReplicaOverNodes(t *testing.T) {
	c := newCluster(t, clusterConfig{nodes: 4, drives: 1, replicas: 3})
	newcomer := c.nodes[3]
	for i := range 30 {
		newcomer.put(fmt.Sprintf("k%02d", i), strings.Repeat("x", 2000))
	}
	lead := c.leader(1)
	old := placement.Replica{}
	for _, r := range c.current().Ranges[0].Replicas {
		if r.Drive == lead.drives[0].id {
			old = r
		}
	}
	next := c.order(newcomer.drives[0], old.ID)
	check(t, newcomer.records.ReplaceReplica(c.ctx(), 1, old.ID, next))
	c.joined(next.ID, old.ID)
	for _, n := range c.nodes {
		n.want("k29", strings.Repeat("x", 2000))
	}
	lead.put("after", "it")
	poll.True(t, poll.Within, "the old replica's end", func() bool { return c.leader(1) != lead })
	s, err := newcomer.records.Survey(c.ctx())
	check(t, err)
	if !s[0].Quorum || len(s[0].Replicas) != 3 || s[0].Leader.IsZero() {
		t.Fatalf("%+v", s[0])
	}
}

// A snapshot that is cut off leaves nothing at the receiver, and is sent again.
func TestSnapshotCutInTheMiddleLeavesNothing(t *testing.T) {
	c := newCluster(t, clusterConfig{nodes: 4, drives: 1, replicas: 3})
	newcomer := c.nodes[3]
	for i := range 300 {
		newcomer.put(fmt.Sprintf("k%03d", i), strings.Repeat(fmt.Sprint(i%10), 8000))
	}
	lead := c.leader(1)
	// What comes from the leader stands still after the head and some rows, and is then cut.
	c.links.holdAfter(lead.name, newcomer.name, 600<<10)
	next := c.order(newcomer.drives[0], 0)
	joined := make(chan error, 1)
	go func() { joined <- newcomer.records.ReplaceReplica(c.ctx(), 1, 0, next) }()
	poll.True(t, poll.Within, "a snapshot under way", func() bool { return c.links.isHeld(lead.name, newcomer.name) })
	poll.True(t, poll.Within, "staged rows", func() bool { return len(staged(t, newcomer)) > 0 })
	for _, n := range c.others(newcomer) {
		c.links.cut(n.name, newcomer.name)
	}
	c.links.letGo(lead.name, newcomer.name)
	poll.True(t, poll.Within, "that nothing is left", func() bool { return len(staged(t, newcomer)) == 0 })
	for _, n := range c.others(newcomer) {
		c.links.join(n.name, newcomer.name)
	}
	check(t, <-joined)
	c.joined(next.ID, 0)
	newcomer.want("k299", strings.Repeat("9", 8000))
}

func staged(t *testing.T, n *testNode) []string {
	d := n.drives[0]
	names, err := d.fs.List(d.dir + "/incoming")
	check(t, err)
	return names
}

// Messages of other ranges go on while a snapshot stands still.
func TestSlowSnapshotHoldsUpNobody(t *testing.T) {
	slow := make(chan struct{})
	c := newCluster(t, clusterConfig{nodes: 4, drives: 1, replicas: 3, ranges: [][]byte{routeOf("m")}})
	newcomer := c.nodes[3]
	for i := range 300 {
		newcomer.put(fmt.Sprintf("k%03d", i), strings.Repeat("x", 8000))
	}
	newcomer.drives[0].fs = &slowFS{FS: newcomer.drives[0].fs, until: slow}
	newcomer.stop()
	newcomer.restart()
	next := c.order(newcomer.drives[0], 0)
	ctx, cancel := context.WithCancel(c.ctx())
	joined := make(chan error, 1)
	go func() { joined <- newcomer.records.ReplaceReplica(ctx, 1, 0, next) }()
	poll.True(t, poll.Within, "a snapshot under way", func() bool { return newcomer.drives[0].fs.(*slowFS).waits.Load() > 0 })
	for i := range 20 {
		newcomer.put(fmt.Sprintf("z%02d", i), "1")
		newcomer.put(fmt.Sprintf("a%02d", i), "1")
	}
	close(slow)
	check(t, <-joined)
	cancel()
}

// Nodes that begin together make the first replicas of a range whichever comes first; one that comes late is waited for.
func TestI10_FirstReplicasWaitForAllNodes(t *testing.T) {
	var surveys atomic.Int64
	c := newCluster(t, clusterConfig{nodes: 3, drives: 2, cold: true, wrap: func(_ *testNode, _ string, p meta.Peer) meta.Peer {
		return meddler{p, func(next meta.Peer, ctx context.Context, req *remotepb.Request) (*remotepb.Response, error) {
			if req.GetSurvey() != nil {
				surveys.Add(1)
			}
			return next.Call(ctx, req)
		}}
	}})
	c.nodes[0].start()
	c.nodes[1].start()
	poll.True(t, poll.Within, "that they look around", func() bool { return surveys.Load() > 12 })
	for _, n := range c.nodes[:2] {
		for _, d := range n.drives {
			if n.records.Holds(d.id, 1) {
				t.Fatal("a replica was made though a drive was not seen")
			}
		}
	}
	c.nodes[2].start()
	c.nodes[0].put("a", "1")
	c.nodes[2].want("a", "1")
}

// A first replica that its drive lost, though the directory does not have the range begun, is not made again: it could
// have voted.
func TestI10_LostFirstReplicaIsNotMadeAgain(t *testing.T) {
	c := newCluster(t, clusterConfig{nodes: 3, drives: 1})
	c.nodes[0].put("a", "1")
	lead := c.leader(1)
	victim := c.others(lead)[0]
	victim.stop()
	d := victim.drives[0]
	d.mem = vfs.NewMem() // emptied, under its old identity
	d.fs = d.mem
	check(t, d.fs.MkdirAll(d.dir+"/log", 0o755))
	check(t, d.fs.MkdirAll(d.dir+"/rows", 0o755))
	d.open(true)
	victim.start()
	poll.True(t, poll.Within, "the loss to be reported", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.lost) == 1 && c.lost[0].Drive == d.id
	})
	if victim.records.Holds(d.id, 1) {
		t.Fatal("the lost replica was made again under its id")
	}
	victim.put("b", "2")
	victim.want("a", "1")
}

// A snapshot without its last part, or of which a part is not what was sent, leaves nothing.
func TestSnapshotIsChecked(t *testing.T) {
	c := newCluster(t, clusterConfig{nodes: 2, drives: 1})
	c.nodes[0].put("a", "1")
	lead := c.leader(1)
	to := c.others(lead)[0]
	l, err := lead.peers.Peer(to.name).(*peer).connected(c.ctx())
	check(t, err)
	from, at := c.replicaOn(lead), c.replicaOn(to)
	head, err := headMessage(replica.SnapshotHeader{Envelope: replica.Envelope{
		Range: 1, Generation: 1, From: from, To: at,
		Msg: &pb.Message{
			Type: pb.MsgSnap.Enum(), From: new(uint64(from)), To: new(uint64(at)), Term: new(uint64(9)),
			Snapshot: &pb.Snapshot{Metadata: &pb.SnapshotMetadata{
				Index: new(uint64(9)), Term: new(uint64(9)), ConfState: &pb.ConfState{Voters: []uint64{uint64(from), uint64(at)}},
			}},
		},
	}})
	check(t, err)
	rows := appendRow(keys.AppendTable(nil, keys.Versions, bucket, "k"), []byte("v"))
	for name, parts := range map[string][]*remotepb.SnapshotPart{
		"no end":        {{Head: head}, {Rows: rows, Sum: partSum(rows, 0)}},
		"other bytes":   {{Head: head}, {Rows: rows, Sum: partSum(rows, 0) + 1}, {End: true, Parts: 1}},
		"other order":   {{Head: head}, {Rows: rows, Sum: partSum(rows, 1)}, {End: true, Parts: 1}},
		"a part is not": {{Head: head}, {Rows: rows, Sum: partSum(rows, 0)}, {End: true, Parts: 2}},
		"no head":       {{Rows: rows}},
		"no rows":       {{Head: head}, {Rows: []byte{200}, Sum: partSum([]byte{200}, 0)}, {End: true, Parts: 1}},
	} {
		stream, err := remotepb.NewRecordsClient(l.conn).Snapshot(c.ctx())
		check(t, err)
		for _, p := range parts {
			_ = stream.Send(p) // what comes of it is said at the end
		}
		if _, err := stream.CloseAndRecv(); err == nil {
			t.Errorf("%s: taken", name)
		}
		if left := staged(t, to); len(left) > 0 {
			t.Errorf("%s: %q left", name, left)
		}
	}
	lead.want("a", "1")
	to.put("a", "2")
}

func appendRow(key, value []byte) []byte {
	b := append([]byte{byte(len(key))}, key...)
	return append(append(b, byte(len(value))), value...)
}

// replicaOn is range 1's replica on a node.
func (c *cluster) replicaOn(n *testNode) ids.Replica {
	for _, r := range c.current().Ranges[0].Replicas {
		if c.current().Drives[r.Drive].Node == n.name {
			return r.ID
		}
	}
	return 0
}
