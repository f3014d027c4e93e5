package meta

import (
	"context"
	"errors"

	"github.com/sherd-io/sherd/meta/remote/remotepb"
	"github.com/sherd-io/sherd/meta/replica"
)

// Peer is another node's part of the object records, as this node reaches it. It is safe for concurrent use.
type Peer interface {
	// Transport takes Raft messages and snapshots to the replicas on that node's drives.
	replica.Transport
	// Call has the node answer what it can answer by itself. It sets req's id and time.
	//
	// Memory: req is encoded before Call waits, and not used after; the answer is the caller's.
	// Errors: ErrUnreachable, or ctx's: req may have arrived, and may be done, or not.
	Call(ctx context.Context, req *remotepb.Request) (*remotepb.Response, error)
}

// ErrUnreachable reports a node that does not answer.
var ErrUnreachable = errors.New("meta: node does not answer")

// router is the Transport of a Node with peers: the mesh for replicas here, and for the others the peer on whose drive
// the directory has the replica. What is nowhere is dropped.
type router struct{ n *Node }

// Send implements replica.Transport.
func (t router) Send(e replica.Envelope) {
	if t.n.mesh.Deliver(e) {
		return
	}
	if p := t.peer(e); p != nil {
		p.Send(e)
	}
}

// Snapshot implements replica.Transport.
func (t router) Snapshot(ctx context.Context, h replica.SnapshotHeader) (replica.SnapshotSink, error) {
	if p := t.peer(h.Envelope); p != nil {
		return p.Snapshot(ctx, h)
	}
	return t.n.mesh.Snapshot(ctx, h)
}

func (t router) peer(e replica.Envelope) Peer {
	d := t.n.directory()
	node := d.node(d.rows[e.Range], e.To)
	if node == "" || node == t.n.opt.Self {
		return nil
	}
	return t.n.opt.Peers(node)
}

// Receive takes a Raft message from another node. It does not block; a message for nobody here is dropped.
func (n *Node) Receive(e replica.Envelope) { n.mesh.Send(e) }

// ReceiveSnapshot takes a snapshot from another node. Errors: replica.ErrNoReplica, replica.ErrSnapshot.
func (n *Node) ReceiveSnapshot(ctx context.Context, h replica.SnapshotHeader) (replica.SnapshotSink, error) {
	return n.mesh.Snapshot(ctx, h)
}
