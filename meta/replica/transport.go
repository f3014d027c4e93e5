package replica

import (
	"context"
	"errors"
	"sync"

	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/sherd-io/sherd/internal/ids"
)

// Envelope is one Raft message on its way. Replicas in one process share what Msg points to: nobody changes it.
type Envelope struct {
	Range      ids.Range
	Generation uint64 // of the sender; a receiver of another refuses it (I4)
	From, To   ids.Replica
	Msg        *pb.Message
	// Round is when the heartbeat was sent, on the leader's own monotonic clock, in ns. The answer to a heartbeat
	// gives it back: the lease counts from there (I8).
	Round int64
	// Wall, in ms since 1970, is the sender's wall clock in an answer to a heartbeat or a candidate, and in a heartbeat the
	// median of the voters' clocks; 0: not told (I18).
	Wall int64
	// Lazy: nothing waits for this message. A receiver may leave it until it wakes for another reason.
	Lazy bool
}

// Transport takes messages to other replicas. It may lose, double, delay and reorder them.
type Transport interface {
	// Send must not block.
	Send(Envelope)
	// Snapshot begins to send the rows of a range. Errors: ErrNoReplica if the receiver is not known or not reachable.
	Snapshot(ctx context.Context, h SnapshotHeader) (SnapshotSink, error)
}

// SnapshotHeader says what follows.
type SnapshotHeader struct {
	Envelope          // with MsgSnap
	Start, End []byte // the range's span
}

// SnapshotSink takes the rows of one snapshot, in key order. One goroutine uses it.
type SnapshotSink interface {
	// Write takes rows as appendRow encodes them; b is borrowed.
	Write(ctx context.Context, b []byte) error
	// Commit ends the rows and hands the snapshot to the receiver's Raft.
	Commit(ctx context.Context) error
	// Abort drops what was sent. After Commit it does nothing.
	Abort()
}

// ErrNoReplica reports that a replica is not where it was looked for.
var ErrNoReplica = errors.New("replica: no such replica here")

// Mesh joins the hosts of one process by direct calls. It is safe for concurrent use.
type Mesh struct {
	mu    sync.RWMutex
	hosts map[address]*Host
}

type address struct {
	rng ids.Range
	id  ids.Replica
}

// NewMesh returns a mesh without hosts; a Host joins by its Options.
func NewMesh() *Mesh { return &Mesh{hosts: map[address]*Host{}} }

// Send implements Transport.
func (m *Mesh) Send(e Envelope) { m.Deliver(e) }

// Deliver is Send, and reports whether the receiver is here.
func (m *Mesh) Deliver(e Envelope) bool {
	h := m.find(e.Range, e.To)
	if h != nil {
		h.Receive(e)
	}
	return h != nil
}

// Snapshot implements Transport.
func (m *Mesh) Snapshot(_ context.Context, s SnapshotHeader) (SnapshotSink, error) {
	h := m.find(s.Range, s.To)
	if h == nil {
		return nil, ErrNoReplica
	}
	return h.receiveSnapshot(s)
}

func (m *Mesh) find(rng ids.Range, id ids.Replica) *Host {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.hosts[address{rng, id}]
}

func (m *Mesh) add(rng ids.Range, id ids.Replica, h *Host) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hosts[address{rng, id}] = h
}

func (m *Mesh) remove(rng ids.Range, id ids.Replica, h *Host) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.hosts[address{rng, id}] == h {
		delete(m.hosts, address{rng, id})
	}
}
