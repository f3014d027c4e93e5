package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/sherd-io/sherd/cmd/sherd/node/cluster"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/internal/trust"
	"github.com/sherd-io/sherd/placement"
	"github.com/sherd-io/sherd/placement/member"
)

// foundEvery is how often founders ask each other.
const foundEvery = 200 * time.Millisecond

// founders is this node as one of those that begin a cluster together; nil: it is none.
func (n *Node) founders() *cluster.Founders {
	c := &n.cfg.Cluster
	if n.peers == nil || len(c.Founders) == 0 {
		return nil
	}
	f := &cluster.Founders{Self: n.cfg.Name, Every: foundEvery, Logger: n.log}
	for name := range c.Founders {
		f.Nodes = append(f.Nodes, name)
	}
	slices.Sort(f.Nodes)
	f.Ask = func(ctx context.Context, node string) (cluster.Answer, error) {
		a, err := call[*cluster.Answer](ctx, n.peers, node, "GET", "/founding", nil)
		switch {
		case notOneOfIts(err):
			return cluster.Answer{}, fmt.Errorf("%w: %s does not take this node for one of its cluster: give both the same secret; if that cluster has begun without this node, start it with --join and a token of `sherd node token`", err, node)
		case err != nil:
			return cluster.Answer{}, err
		case a == nil:
			return cluster.Answer{}, errors.New("it is starting")
		}
		return *a, nil
	}
	f.Tell = func(a cluster.Answer) { n.peers.told.Store(&a) }
	return f
}

// notOneOfIts reports an error of two nodes that do not trust each other.
func notOneOfIts(err error) bool {
	var alert *net.OpError
	return errors.Is(err, trust.ErrPeer) || errors.As(err, &alert) && alert.Op == "remote error" // a TLS alert
}

// firstDrives formats blank drives where that begins a cluster (I10). Among several nodes only when all of them were heard to have
// nothing yet; where there is a cluster already they stay blank until the map says what this node is: the node is a newcomer.
func (n *Node) firstDrives(ctx context.Context, f *found) error {
	if n.peers != nil {
		if founders := n.founders(); founders == nil && !n.first() {
			n.newcomer = true
		} else if founders != nil {
			switch err := founders.AwaitBlank(ctx, len(f.blank), n.profileFits); {
			case errors.Is(err, cluster.ErrFounded):
				n.newcomer = true
			case err != nil:
				return err
			}
		}
	}
	if n.newcomer {
		n.unused = f.blank
		return nil
	}
	if n.founders() == nil { // else all drives of all founders count
		if err := n.profileFits(len(f.blank)); err != nil {
			return err
		}
	}
	if n.cluster == (ids.Cluster{}) {
		n.cluster = ids.NewCluster()
	}
	if err := n.format(f.blank); err != nil {
		return err
	}
	f.formatted, f.blank = f.blank, nil
	return nil
}

// profileFits refuses a first pool that a new cluster's drives cannot hold, before any of them is formatted.
func (n *Node) profileFits(drives int) error {
	if err := n.cfg.Profile.Fits(drives); err != nil {
		return fmt.Errorf("--ec: %w", err)
	}
	return nil
}

// first reports whether this node begins a cluster that others join later. One without drives waits for one that has some.
func (n *Node) first() bool {
	c := &n.cfg.Cluster
	p := n.peers.papers.Load()
	return len(n.cfg.Drives) > 0 && len(c.Founders) == 0 && c.Join == "" && (len(p.Seed) > 0 || p.ByEtcd && !n.peers.begun)
}

// mayBegin reports whether this node may make a cluster's first records: alone, or after all founders agreed, but never as one that
// joined.
func (n *Node) mayBegin() bool {
	return n.peers == nil || len(n.agreed) > 0 || n.first()
}

// found agrees with the other founders on what the cluster begins with, unless that was done.
func (n *Node) found(ctx, _ context.Context) error {
	f := n.founders()
	if f == nil {
		return nil
	}
	paths := n.openPaths()
	record, err := cluster.ReadRecord(paths)
	switch {
	case err != nil && n.virgin && !n.newcomer:
		return err
	case err != nil:
		n.log.Warn("what the cluster began with cannot be read, and is not needed any more", "err", err)
		f.Tell(cluster.Answer{Stage: cluster.History})
		return nil
	case record != nil && len(record.Agreed) > 0:
		n.agreed = record.Agreed
		f.Tell(cluster.Answer{Stage: cluster.Agreed, Proposal: &record.Proposal, Agreed: record.Agreed})
		return nil
	case !n.virgin || n.newcomer:
		f.Tell(cluster.Answer{Stage: cluster.History})
		return nil
	case record == nil:
		record = &cluster.Record{Proposal: n.proposal()}
		if err := record.Write(paths); err != nil {
			return err
		}
	}
	record.Agreed, err = f.Agree(ctx, record.Proposal)
	if errors.Is(err, cluster.ErrFounded) {
		n.virgin = false // the drives are new ones of a cluster that exists
		f.Tell(cluster.Answer{Stage: cluster.History})
		return nil
	}
	if err != nil {
		return err
	}
	if err := record.Write(paths); err != nil {
		return err
	}
	n.agreed = record.Agreed
	f.Tell(cluster.Answer{Stage: cluster.Agreed, Proposal: &record.Proposal, Agreed: record.Agreed})
	n.log.Info("the cluster's first nodes agree on what it begins with", "nodes", len(n.agreed))
	return nil
}

// proposal is what this node brings to a new cluster.
func (n *Node) proposal() cluster.Proposal {
	p := cluster.Proposal{Node: n.self(), Members: map[ids.Drive]string{}}
	for _, b := range n.bays.list() {
		if d, id, _ := b.current(); d != nil {
			p.Drives = append(p.Drives, n.record(b.path, d))
			p.Members[id] = member.NewName()
		}
	}
	return p
}

// self is this node's row in the map.
func (n *Node) self() placement.Node {
	return placement.Node{Name: n.cfg.Name, Zone: n.cfg.Zone, Addr: n.cfg.Cluster.Advertise, Level: featureLevel}
}

func (n *Node) openPaths() (paths []string) {
	for _, b := range n.bays.list() {
		if d, _, _ := b.current(); d != nil {
			paths = append(paths, b.path)
		}
	}
	return paths
}

// beginning is all that a new cluster has: what the founders agreed on, or this node's own.
func (n *Node) beginning() (nodes []placement.Node, drives []*placement.Drive, err error) {
	if n.agreed == nil {
		if open, all := n.bays.open(), len(n.bays.list()); open < all {
			return nil, nil, fmt.Errorf("a first start wants all drives, and %d of %d are open", open, all)
		}
		own := n.proposal()
		return []placement.Node{own.Node}, own.Drives, nil
	}
	for _, p := range n.agreed {
		nodes = append(nodes, p.Node)
		drives = append(drives, p.Drives...)
	}
	return nodes, drives, nil
}
