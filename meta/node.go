package meta

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sherd-io/sherd/internal/hlc"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta/replica"
	"github.com/sherd-io/sherd/placement"
)

// Options configures a Node. A zero field means the default given here.
type Options struct {
	Map func() *placement.Map // the newest map known; needed
	// Next waits for a map with a greater revision. nil: the owner calls Reconcile when the map has changed.
	Next func(ctx context.Context, after int64) (*placement.Map, error)
	// Sync returns when Map has every change that was finished before the call. nil: Map is always the newest.
	Sync  func(ctx context.Context) error
	Clock *hlc.Clock
	// Staging names a directory for snapshots that come in to a drive, on the file system of its rows: the Node's own.
	// Without it no replica can be caught up by a snapshot.
	Staging func(ids.Drive) (fs vfs.FS, dir string)
	// Low reports whether a drive is under its reserve. While a majority of a range's drives are, it takes no data.
	Low func(ids.Drive) bool
	// Level is the feature level that every node of the cluster has: what commands write that older versions do not know, they
	// write from it on. nil: 0, which every version knows.
	Level func() int
	// Keep reports whether the directory may be older than the replicas (Rebuild): then none is destroyed on its word. nil: never.
	Keep func() bool
	// OnLost is told, once for each, of replicas that the directory names on a drive that does not hold them.
	OnLost func(ids.Range, placement.Replica)
	// OnFailed is told of a drive whose replicas stopped because its log or rows failed.
	OnFailed func(ids.Drive, error)

	CommandTimeout time.Duration                         // 10s: for one command with all its retries
	AttemptTimeout time.Duration                         // 3s: for one try
	Tick           time.Duration                         // 100ms: Raft's heartbeat; an election takes 10 to 20
	LogBytes       int64                                 // 64 MiB: of a drive's Raft log
	Transport      func(*replica.Mesh) replica.Transport // the mesh itself, and with Peers also those
	SplitBytes     int64                                 // 256 MiB of rows: a larger range is to split; negative: never
	SplitRate      int                                   // 3000 commands a second, sustained: a busier one is to split; negative: never
	Logger         *slog.Logger

	Self string // this node's name in the map; needed with Peers
	// Peers reaches the other nodes of the map; nil for one that cannot be reached at all. Without it all replicas are
	// taken to be here.
	Peers func(node string) Peer
}

func (o *Options) validate() error {
	if o.Map == nil {
		return errors.New("meta: Options.Map is needed")
	}
	if o.Peers != nil && o.Self == "" {
		return errors.New("meta: Options.Peers needs Self")
	}
	if o.Clock == nil {
		o.Clock = hlc.New(nil)
	}
	if o.Sync == nil {
		o.Sync = func(context.Context) error { return nil }
	}
	if o.Low == nil {
		o.Low = func(ids.Drive) bool { return false }
	}
	if o.Level == nil {
		o.Level = func() int { return 0 }
	}
	if o.Keep == nil {
		o.Keep = func() bool { return false }
	}
	if o.OnLost == nil {
		o.OnLost = func(ids.Range, placement.Replica) {}
	}
	if o.OnFailed == nil {
		o.OnFailed = func(ids.Drive, error) {}
	}
	if o.CommandTimeout == 0 {
		o.CommandTimeout = 10 * time.Second
	}
	if o.AttemptTimeout == 0 {
		o.AttemptTimeout = 3 * time.Second
	}
	if o.SplitBytes == 0 {
		o.SplitBytes = 256 << 20
	}
	if o.SplitRate == 0 {
		o.SplitRate = 3000
	}
	if o.Tick == 0 {
		o.Tick = 100 * time.Millisecond
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

// Node is one process's part of the object records. It is safe for concurrent use.
type Node struct {
	opt     Options
	mesh    *replica.Mesh
	batches *replica.Batches
	ctx     context.Context // ends with Close; for work that no caller waits for
	cancel  context.CancelFunc
	wg      sync.WaitGroup
	waits   chan struct{} // capacity 1: a range waits for other nodes to begin
	rows    atomic.Pointer[directory]
	splits  atomic.Pointer[madeSplits]
	loads   loadMarks
	ran     replicaSet // took part in this process before

	// reconciling is held while replicas are made, started and ended.
	reconciling sync.Mutex
	lost        map[rangeReplica]bool
	moving      map[rangeReplica]bool // being made by ReplaceReplica
	made        map[rangeReplica]bool // in this process, as one of its range's first

	mu     sync.RWMutex
	hosts  map[ids.Drive]*replica.Host
	ranges map[ids.Range]*leadership
	closed bool
}

type rangeReplica struct {
	rng ids.Range
	id  ids.Replica
}

// leadership is who leads a range, as far as this process knows.
type leadership struct {
	leader  *replica.Replica
	node    string        // another node that answered as its leader
	changed chan struct{} // closed at the next change
}

// New returns a Node without drives.
func New(opt Options) (*Node, error) {
	if err := opt.validate(); err != nil {
		return nil, err
	}
	n := &Node{
		opt: opt, waits: make(chan struct{}, 1), mesh: replica.NewMesh(), batches: replica.NewBatches(),
		lost: map[rangeReplica]bool{}, moving: map[rangeReplica]bool{}, made: map[rangeReplica]bool{},
		hosts: map[ids.Drive]*replica.Host{}, ranges: map[ids.Range]*leadership{},
	}
	n.loads.all = map[ids.Range]loadMark{}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	if opt.Next != nil {
		n.wg.Add(1)
		go n.follow()
	}
	return n, nil
}

// Log is what a Node needs of a drive's log: replica.SegmentLog makes one of disk/segment's.
type Log = replica.Log

// AddDrive opens the replicas on a drive, and makes those that the directory orders there. The drive must stay open
// until RemoveDrive or Close has returned, or, if it hangs, for ever.
//
// Errors: replica.ErrLost if log and rows do not fit together: the drive's replicas are lost (I10). Or the drive's.
func (n *Node) AddDrive(id ids.Drive, log Log, rows *pebble.DB) error {
	opt := replica.Options{
		Drive: id, Log: log, Rows: rows, Mesh: n.mesh, Batches: n.batches, Clock: n.opt.Clock,
		Tick: n.opt.Tick, LogBytes: n.opt.LogBytes, Logger: n.opt.Logger,
		OnLeader: n.onLeader, OnChild: n.onChild, OnFailed: n.onFailed,
	}
	switch {
	case n.opt.Transport != nil:
		opt.Transport = n.opt.Transport(n.mesh)
	case n.opt.Peers != nil:
		opt.Transport = router{n}
	}
	if n.opt.Staging != nil {
		opt.FS, opt.Staging = n.opt.Staging(id)
	}
	h, err := replica.Open(opt)
	if err != nil {
		return fmt.Errorf("meta: drive %v: %w", id, err)
	}
	n.mu.Lock()
	if n.closed || n.hosts[id] != nil {
		n.mu.Unlock()
		h.Close()
		return fmt.Errorf("meta: drive %v is here already, or the node is closed", id)
	}
	n.hosts[id] = h
	n.mu.Unlock()
	return n.Reconcile(n.ctx)
}

// removeWithin is how long RemoveDrive waits for calls to a failed drive.
const removeWithin = 2 * time.Second

// RemoveDrive ends the replicas on a drive and waits for calls under way there; with err the drive is taken as failed,
// and it waits for seconds only. Leaders there are succeeded at once by replicas here. Without a drive of that id it
// does nothing.
func (n *Node) RemoveDrive(id ids.Drive, err error) {
	n.mu.Lock()
	h := n.hosts[id]
	delete(n.hosts, id)
	n.mu.Unlock()
	if h == nil {
		return
	}
	h.Abandon()
	n.succeed(h)
	ended := make(chan struct{})
	go func() { // outlives the call only if the drive hangs
		defer close(ended)
		h.Close()
	}()
	if err == nil {
		<-ended
		return
	}
	select {
	case <-ended:
	case <-time.After(removeWithin):
		n.opt.Logger.Warn("calls to a failed drive hang", "drive", id)
	}
}

// Close ends all replicas. It is idempotent and waits.
func (n *Node) Close() {
	n.cancel()
	n.wg.Wait()
	n.reconciling.Lock()
	defer n.reconciling.Unlock()
	n.mu.Lock()
	n.closed = true
	hosts := n.hosts
	n.hosts = map[ids.Drive]*replica.Host{}
	n.mu.Unlock()
	for _, h := range hosts {
		h.Abandon()
	}
	for _, h := range hosts {
		h.Close()
	}
}

// host returns the host of a drive, or nil.
func (n *Node) host(id ids.Drive) *replica.Host {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.hosts[id]
}

// Serves reports whether AddDrive took a drive on: the rest comes by itself then.
func (n *Node) Serves(id ids.Drive) bool { return n.host(id) != nil }

func (n *Node) allHosts() []*replica.Host {
	n.mu.RLock()
	defer n.mu.RUnlock()
	all := make([]*replica.Host, 0, len(n.hosts))
	for _, h := range n.hosts {
		all = append(all, h)
	}
	return all
}

// onLeader keeps track of leaders. It runs on a host's goroutine.
func (n *Node) onLeader(r *replica.Replica, leads bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	l := n.leadership(r.Range())
	switch {
	case leads:
		if l.leader != nil && l.leader != r {
			l.leader.Depose()
		}
		l.leader, l.node = r, ""
		n.opt.Logger.Info("range has a leader", "range", uint64(r.Range()), "replica", uint64(r.ID()), "drive", r.Host().Drive())
	case l.leader == r:
		l.leader = nil
	default:
		return
	}
	l.announce()
}

// leadership returns the range's record; n.mu is held for writing.
func (n *Node) leadership(rng ids.Range) *leadership {
	l := n.ranges[rng]
	if l == nil {
		l = &leadership{changed: make(chan struct{})}
		n.ranges[rng] = l
	}
	return l
}

// leader waits for a leader of the range that is not the one that just refused.
func (n *Node) leader(ctx context.Context, rng ids.Range, not *replica.Replica) (*replica.Replica, error) {
	for {
		n.mu.RLock()
		l := n.ranges[rng]
		if l != nil && l.leader != nil && (l.leader != not || l.leader.Serving()) {
			r := l.leader
			n.mu.RUnlock()
			return r, nil
		}
		n.mu.RUnlock()
		if l == nil {
			n.mu.Lock()
			l = n.leadership(rng)
			n.mu.Unlock()
		}
		n.mu.RLock()
		changed, r := l.changed, l.leader
		n.mu.RUnlock()
		if r != nil && r != not {
			return r, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-n.ctx.Done():
			return nil, n.ctx.Err()
		}
	}
}

// onFailed follows a host that ended by itself.
func (n *Node) onFailed(h *replica.Host, err error) {
	n.RemoveDrive(h.Drive(), err)
	n.opt.OnFailed(h.Drive(), err)
}
