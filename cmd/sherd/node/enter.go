package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/sherd-io/sherd/cmd/sherd/node/cluster"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/internal/nodeport"
	"github.com/sherd-io/sherd/internal/trust"
	"github.com/sherd-io/sherd/placement"
	"github.com/sherd-io/sherd/placement/member"
	"github.com/sherd-io/sherd/placement/plan"
	"github.com/sherd-io/sherd/placement/store"
)

// enter has the map say that this node is there, and where. A newcomer's blank drives become drives of the cluster.
func (n *Node) enter(ctx, loops context.Context) error {
	if err := n.keepName(); err != nil {
		return err
	}
	if err := n.announce(ctx); err != nil {
		return err
	}
	n.remotes.update(n.store.Map())
	n.loops.Go(func() { n.remotes.follow(loops) })
	if n.peers == nil {
		return nil
	}
	n.loops.Go(func() { n.peers.expelRemoved(loops) })
	if n.newcomer && !n.known() { // else what is blank is somebody's who was here: its watcher decides
		if err := n.settle(ctx); err != nil {
			return err
		}
	}
	if err := n.savePapers(); err != nil {
		return err
	}
	n.loops.Go(func() { n.keepPapers(loops) })
	n.loops.Go(func() { n.watchNewer(loops) })
	return nil
}

// settle makes a newcomer's blank drives drives of the cluster.
func (n *Node) settle(ctx context.Context) error {
	if err := n.format(n.unused); err != nil {
		return err
	}
	for _, b := range n.unused { // the cluster has a history, if these drives have none
		if err := mark(n.cfg.FS, b.path); err != nil {
			return err
		}
	}
	return n.openAll(ctx, n.unused)
}

// known reports whether the map has drives of this node.
func (n *Node) known() bool {
	for _, d := range n.store.Map().Drives {
		if d.Node == n.cfg.Name && d.State != placement.DriveOut {
			return true
		}
	}
	return false
}

// nameFreed is how long a node waits for a name or an address whose last owner may be dead.
const nameFreed = 15 * time.Second

// announce takes the node's name, or finds that another process has it.
func (n *Node) announce(ctx context.Context) (err error) {
	owner := n.cfg.Cluster.Advertise
	if owner == "" {
		owner = "this machine" // it is the only node
	}
	within, cancel := context.WithTimeout(ctx, nameFreed)
	defer cancel()
	for {
		if err = addressTaken(n.store.Map(), n.cfg.Name, n.cfg.Cluster.Advertise); err == nil {
			err = n.untilHeard(ctx, func() (err error) {
				n.alive, err = n.store.Announce(ctx, n.cfg.Name, owner)
				return err
			})
		}
		if !errors.Is(err, store.ErrExists) || within.Err() != nil {
			break
		}
		n.log.Info("the node's name or address may be taken; looking again", "err", err)
		pause(within, time.Second)
	}
	if err != nil {
		return fmt.Errorf("--node %s: %w", n.cfg.Name, err)
	}
	n.named.Store(true)
	return n.untilHeard(ctx, func() error { return n.store.PutNode(ctx, n.self()) })
}

// addressTaken refuses an address at which the others reach another node that lives. Error: store.ErrExists.
func addressTaken(m *placement.Map, name, addr string) error {
	for other, row := range m.Nodes {
		if other != name && addr != "" && row.Addr == addr && m.Alive[other] {
			return fmt.Errorf("%w: node %s is at %s: give --advertise an address at which the others reach this one", store.ErrExists, other, addr)
		}
	}
	return nil
}

// shareMembers has the embedded etcd spread over the nodes.
func (p *peers) shareMembers(opt *member.Options) error {
	n := p.n
	opt.Seeds = p.names()
	opt.Sole = len(opt.Seeds) == 0
	opt.Dial, opt.Named = p.dialMember, n.named.Load
	if len(n.agreed) == 0 || !n.virgin { // a member that ran, and was lost since, must not begin again under its name (I10)
		return nil
	}
	found, err := n.foundMembers()
	opt.Found = found
	return err
}

// foundMembers are the members of etcd that a new cluster begins with: the same for all who found it.
func (n *Node) foundMembers() (found []member.Founder, err error) {
	initial, err := n.initial()
	if err != nil {
		return nil, err
	}
	names := map[ids.Drive]string{}
	for _, p := range n.agreed {
		for id, name := range p.Members {
			names[id] = name
		}
	}
	m := &placement.Map{Nodes: map[string]*placement.Node{}, Drives: map[ids.Drive]*placement.Drive{}, Pools: map[ids.Pool]*placement.Pool{1: initial.Pool}}
	for i := range initial.Nodes {
		m.Nodes[initial.Nodes[i].Name] = &initial.Nodes[i]
	}
	for _, d := range initial.Drives {
		m.Drives[d.ID] = d
	}
	for _, id := range plan.EtcdHosts(m, nil) {
		found = append(found, member.Founder{Name: names[id], Node: m.Drives[id].Node, Drive: id})
	}
	return found, nil
}

// A tunnel to a member begins with one line: the member's name, empty for any that serves, and what it is for.
const tunnelLineMax = 128

func (p *peers) dialMember(ctx context.Context, node, name string, kind member.Kind) (net.Conn, error) {
	nc, err := p.port.Dial(ctx, node, nodeport.Etcd)
	if err != nil {
		return nil, err
	}
	if deadline, ok := ctx.Deadline(); ok {
		nc.SetWriteDeadline(deadline) // a dead connection fails the write
	}
	if _, err := fmt.Fprintf(nc, "%s %s\n", name, kind); err != nil {
		nc.Close()
		return nil, err
	}
	return nc, nc.SetWriteDeadline(time.Time{})
}

// acceptTunnel serves one until it ends.
func (p *peers) acceptTunnel(nc *nodeport.Conn) {
	nc.SetReadDeadline(time.Now().Add(callWithin)) // a dead connection fails the read
	line, err := nodeport.ReadLine(nc, tunnelLineMax)
	name, kind, ok := strings.Cut(line, " ")
	s := p.members.Load()
	if err != nil || !ok || s == nil || nc.SetReadDeadline(time.Time{}) != nil {
		nc.Close()
		return
	}
	if err := s.Accept(nc, nc.Node, name, member.Kind(kind)); err != nil {
		p.n.log.Debug("a tunnel to a member of etcd was refused", "from", nc.Node, "err", err)
	}
}

// join takes in one who wants to be a node.
func (p *peers) join(w http.ResponseWriter, r *http.Request) {
	if !p.up.Load() {
		refuse(w, http.StatusServiceUnavailable, errors.New("the node is starting: try again"))
		return
	}
	n := p.n
	d := cluster.Desk{
		Cluster: n.cluster, Authority: p.signer, Redeem: n.redeem, Free: n.nameIsFree, Now: time.Now,
		Nodes: func() map[string]string {
			nodes := n.otherNodes()
			nodes[n.cfg.Name] = n.cfg.Cluster.Advertise
			return nodes
		},
	}
	d.ServeHTTP(w, r)
}

func (n *Node) nameIsFree(name string) error {
	if n.store.Map().Alive[name] {
		return fmt.Errorf("the name %q belongs to a node that lives: choose another", name)
	}
	return nil
}

// redeem uses a token up.
func (n *Node) redeem(ctx context.Context, t trust.Token, node string) error {
	return n.store.RedeemToken(ctx, t, node)
}
