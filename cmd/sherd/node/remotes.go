package node

import (
	"context"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sherd-io/sherd/disk/remote"
	"github.com/sherd-io/sherd/erasure"
	"github.com/sherd-io/sherd/erasure/heal"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/internal/nodeport"
	"github.com/sherd-io/sherd/placement"
)

// remotes are the drives of other nodes: a client for each node that has any, by the map.
type remotes struct {
	n    *Node
	byID atomic.Pointer[map[ids.Drive]heal.Drive]

	mu      sync.Mutex
	clients map[string]*remote.Client
}

func newRemotes(n *Node) *remotes {
	r := &remotes{n: n, clients: map[string]*remote.Client{}}
	r.byID.Store(&map[ids.Drive]heal.Drive{})
	return r
}

// drive is the drive with that id, of this node or another; nil: it is not in service here, or not in the map. It costs no lock.
func (n *Node) drive(id ids.Drive) heal.Drive {
	if d := n.bays.drive(id); d != nil {
		return erasure.Local(d)
	}
	if d, ok := (*n.remotes.byID.Load())[id]; ok {
		return d
	}
	return nil
}

// follow keeps the clients what the map says until ctx ends.
func (r *remotes) follow(ctx context.Context) {
	defer r.close()
	for {
		m := r.n.store.Map()
		r.update(m)
		if _, err := r.n.store.Wait(ctx, drivesMoved(m)); err != nil {
			return
		}
	}
}

// drivesMoved accepts a map in which drives, or nodes, are others than in m.
func drivesMoved(m *placement.Map) func(*placement.Map) bool {
	return func(now *placement.Map) bool {
		return !maps.EqualFunc(now.Drives, m.Drives, func(a, b *placement.Drive) bool { return a.Node == b.Node && a.State == b.State }) ||
			nodesChanged(m)(now)
	}
}

// nodesChanged accepts a map whose nodes are others than m's.
func nodesChanged(m *placement.Map) func(*placement.Map) bool {
	return func(now *placement.Map) bool {
		return !maps.EqualFunc(now.Nodes, m.Nodes, func(a, b *placement.Node) bool { return *a == *b })
	}
}

func (r *remotes) update(m *placement.Map) {
	r.mu.Lock()
	defer r.mu.Unlock()
	byID, wanted := map[ids.Drive]heal.Drive{}, map[string]bool{}
	for id, d := range m.Drives {
		if d.Node == r.n.cfg.Name || d.State == placement.DriveOut || m.Nodes[d.Node] == nil || r.n.peers == nil {
			continue
		}
		wanted[d.Node] = true
		byID[id] = erasure.Remote(r.client(d.Node).Drive(id))
	}
	r.byID.Store(&byID)
	for node, c := range r.clients {
		if !wanted[node] {
			delete(r.clients, node)
			r.n.loops.Go(c.Close)
		}
	}
}

// client is the one for a node's drives; r.mu is held.
func (r *remotes) client(node string) *remote.Client {
	c := r.clients[node]
	if c == nil {
		c = remote.NewClient(remote.Options{
			Dial:    func(ctx context.Context) (net.Conn, error) { return r.n.peers.port.Dial(ctx, node, nodeport.Drive) },
			Cluster: r.n.cluster, Buffers: r.n.buffers, Logger: r.n.log.With("node", node),
		})
		r.clients[node] = c
	}
	return c
}

// reached lists the nodes whose drives answer this one.
func (r *remotes) reached() (names []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, c := range r.clients {
		if _, err := c.Reachable(); err == nil {
			names = append(names, name)
		}
	}
	return names
}

// answering are the nodes that show no sign of life in the map, and whose drives still answer some node (I19).
func (n *Node) answering(ctx context.Context) map[string]bool {
	m, all := n.store.Map(), map[string]bool{}
	if n.peers == nil || len(m.Alive) == len(m.Nodes) {
		return all
	}
	for _, name := range n.remotes.reached() {
		all[name] = true
	}
	others := slices.DeleteFunc(slices.Collect(maps.Keys(m.Alive)), func(name string) bool { return name == n.cfg.Name })
	reached, err := callAll[[]string](ctx, n.peers, others, "GET", "/reached", nil)
	if err != nil {
		n.log.Debug("not all nodes say whom they reach", "err", err)
	}
	for _, names := range reached {
		for _, name := range names {
			all[name] = true
		}
	}
	return all
}

// remotesWithin is how long a node that starts waits for the drives of others, and remotesEvery how often it looks.
const (
	remotesWithin = 3 * time.Second
	remotesEvery  = 50 * time.Millisecond
)

// awaitRemotes waits until every node that lives was reached, but not for long: drives that were not heard of yet would be left out of
// the first writes, which would have to be repaired.
func (n *Node) awaitRemotes(ctx, _ context.Context) error {
	within, cancel := context.WithTimeout(ctx, remotesWithin)
	defer cancel()
	for !n.reachesAll() && within.Err() == nil {
		pause(within, remotesEvery)
	}
	return ctx.Err()
}

// reachesAll reports whether the drives of all nodes that live answer.
func (n *Node) reachesAll() bool {
	m, reached := n.store.Map(), n.remotes.reached()
	for _, d := range m.Drives {
		if d.Node != n.cfg.Name && d.State != placement.DriveOut && m.Alive[d.Node] && !slices.Contains(reached, d.Node) {
			return false
		}
	}
	return true
}

func (r *remotes) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	var wg sync.WaitGroup
	for _, c := range r.clients {
		wg.Go(c.Close)
	}
	wg.Wait()
	r.clients = map[string]*remote.Client{}
	r.byID.Store(&map[ids.Drive]heal.Drive{})
}
