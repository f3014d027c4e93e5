package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"github.com/sherd-io/sherd/cmd/sherd/node/cluster"
	"github.com/sherd-io/sherd/disk"
	"github.com/sherd-io/sherd/disk/remote"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/internal/nodeport"
	"github.com/sherd-io/sherd/internal/trust"
	"github.com/sherd-io/sherd/meta"
	metaremote "github.com/sherd-io/sherd/meta/remote"
	"github.com/sherd-io/sherd/placement/member"
	"github.com/sherd-io/sherd/placement/store"
)

// ClusterConfig says how the node is one of several. Zero: it is a cluster of one, and has no node port.
type ClusterConfig struct {
	Advertise string            // host:port where other nodes reach this one
	Listener  net.Listener      // of the node port. The node closes it
	Founders  map[string]string // the nodes that begin the cluster together, with their addresses
	Secret    string            // that the founders share
	Join      string            // address of a node to join by, with Token
	Token     string
	StateDir  string // where a node without drives keeps its papers
	Plain     bool   // no TLS between nodes

	Dial func(ctx context.Context, network, addr string) (net.Conn, error) // nodeport.Options.Dial
}

func (c *ClusterConfig) several() bool { return c.Advertise != "" }

func (c *ClusterConfig) validate(name string, external bool) error {
	if !c.several() {
		if len(c.Founders) > 0 || c.Join != "" {
			return errors.New("give --advertise host:port too: where the other nodes reach this one")
		}
		return nil
	}
	if err := cluster.CheckName(name); err != nil {
		return fmt.Errorf("--node: %w", err)
	}
	if c.Listener == nil {
		return errors.New("no listener for the node port")
	}
	for other := range c.Founders {
		if err := cluster.CheckName(other); err != nil {
			return fmt.Errorf("--cluster: %w", err)
		}
	}
	switch {
	case len(c.Founders) > 0 && c.Secret == "" && !external:
		return errors.New("--cluster wants a secret that its nodes share: SHERD_CLUSTER_SECRET, or --cluster-secret-file")
	case len(c.Founders) > 0 && c.Founders[name] == "":
		return fmt.Errorf("--cluster does not name this node, %q: say which one it is with --node, or let it join with --join", name)
	case c.Join != "" && c.Plain:
		return errors.New("--join shows a token that nobody else may see: it does not go with --insecure-node-plaintext")
	case c.Join != "" && c.Token == "":
		return errors.New("--join wants a token: `sherd node token` makes one, on a node of the cluster")
	}
	return nil
}

// peers is what a node of several has: its papers, its port, and what it says and asks there.
type peers struct {
	n        *Node
	papers   atomic.Pointer[cluster.Papers]
	identity atomic.Pointer[trust.Identity] // what the papers prove
	signer   *trust.Authority               // nil: this node takes nobody in
	begun    bool                           // an external etcd has the cluster's map already
	port     *nodeport.Port
	server   *remote.Server // this node's drives for the others
	http     *http.Server
	desk     *http.Server // for those who join
	client   *http.Client
	grpc     *grpc.Server      // nil: not yet
	ranges   *metaremote.Peers // the others' object records; nil: not yet

	told    atomic.Pointer[cluster.Answer] // what founders are answered
	store   atomic.Pointer[store.Store]    // nil: the map is not known yet
	members atomic.Pointer[member.Supervisor]
	up      atomic.Bool // all parts are there to be asked

	serving sync.WaitGroup
}

// startPort finds out who this node is, and opens its port. A cluster of one has none.
func (n *Node) startPort(ctx, _ context.Context) error {
	c := &n.cfg.Cluster
	if !c.several() {
		return nil
	}
	p := &peers{n: n}
	papers, err := n.findPapers(ctx, p)
	if err != nil {
		return err
	}
	if err := p.show(papers); err != nil {
		return err
	}
	n.cluster = papers.Cluster
	p.port, err = nodeport.New(nodeport.Options{
		Self: n.cfg.Name, Listener: c.Listener, Identity: p.identity.Load, Member: p.member, Addr: p.addr, Plain: c.Plain, Dial: c.Dial, Logger: n.log,
	})
	if err != nil {
		return err
	}
	p.serve()
	n.peers = p
	return nil
}

// otherNodes are the addresses of the other nodes in the map.
func (n *Node) otherNodes() map[string]string {
	all := map[string]string{}
	for name, row := range n.store.Map().Nodes {
		if name != n.cfg.Name && row.Addr != "" {
			all[name] = row.Addr
		}
	}
	return all
}

// names lists the other nodes that are known, by the map or, before it is there, by the command line and the papers.
func (p *peers) names() (names []string) {
	if s := p.store.Load(); s != nil && s.Bootstrapped() {
		for name := range s.Map().Nodes {
			names = append(names, name)
		}
	} else {
		for name := range p.n.cfg.Cluster.Founders {
			names = append(names, name)
		}
		for name := range p.papers.Load().Nodes {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	return slices.DeleteFunc(names, func(name string) bool { return name == p.n.cfg.Name })
}

// member reports whether a node of that name may connect (I24). Before the map is there, those may that the command line or the papers name.
func (p *peers) member(node string) bool {
	if s := p.store.Load(); s != nil && s.Bootstrapped() {
		return s.Map().Nodes[node] != nil
	}
	return node != "" && p.addr(node) != ""
}

// addr is where a node listens; empty if that is not known.
func (p *peers) addr(node string) string {
	if s := p.store.Load(); s != nil {
		if row := s.Map().Nodes[node]; row != nil && row.Addr != "" {
			return row.Addr
		}
	}
	if a := p.n.cfg.Cluster.Founders[node]; a != "" {
		return a
	}
	return p.papers.Load().Nodes[node]
}

// What one who joins may cost: he may be anybody.
const (
	deskWithin    = 15 * time.Second
	deskHeaderMax = 8 << 10
)

// expelRemoved ends the connections of nodes that were taken out of the map, until ctx ends (I24).
func (p *peers) expelRemoved(ctx context.Context) {
	for m := p.n.store.Map(); ; {
		p.port.Expel() // at first those that were let in by this node's papers, before the map was there
		var err error
		if m, err = p.n.store.Wait(ctx, nodesChanged(m)); err != nil {
			return
		}
	}
}

// serve answers on all protocols of the port that need no other part.
func (p *peers) serve() {
	n := p.n
	p.server = remote.NewServer(remote.ServerOptions{
		Drives: n.openDriveList, Drive: n.bays.drive, Cluster: func() (ids.Cluster, error) { return n.cluster, nil },
		Buffers: n.buffers, Logger: n.log,
	})
	drives := p.port.Listen(nodeport.Drive)
	p.serving.Go(func() {
		var conns sync.WaitGroup
		defer conns.Wait()
		for {
			nc, err := drives.Accept()
			if err != nil {
				return
			}
			conns.Go(func() { _ = p.server.Serve(nc) }) // the peer's client sees it, and connects again
		}
	})
	tunnels := p.port.Listen(nodeport.Etcd)
	p.serving.Go(func() {
		var conns sync.WaitGroup
		defer conns.Wait()
		for {
			nc, err := tunnels.Accept()
			if err != nil {
				return
			}
			conns.Go(func() { p.acceptTunnel(nc.(*nodeport.Conn)) })
		}
	})
	p.http = &http.Server{Handler: p.routes(), ReadHeaderTimeout: callWithin, IdleTimeout: time.Minute}
	p.desk = &http.Server{Handler: p.http.Handler, ReadTimeout: callWithin, WriteTimeout: deskWithin, MaxHeaderBytes: deskHeaderMax}
	p.desk.SetKeepAlivesEnabled(false) // a stranger has nothing more to say
	calls, join := p.port.Listen(nodeport.Calls), p.port.Listen(nodeport.Join)
	p.serving.Go(func() { _ = p.http.Serve(named{calls}) }) // ends with Close
	p.serving.Go(func() { _ = p.desk.Serve(named{join}) })
	p.client = &http.Client{
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
				return p.port.Dial(ctx, strings.TrimSuffix(addr, ":80"), nodeport.Calls)
			},
			MaxIdleConnsPerHost: 4, IdleConnTimeout: 30 * time.Second,
		},
	}
	p.serving.Go(func() {
		if err := p.port.Serve(); err != nil {
			n.fail(fmt.Errorf("serving the node port: %w", err))
		}
	})
}

// openRecords gives the other nodes' object records.
func (p *peers) openRecords() func(node string) meta.Peer {
	p.ranges = metaremote.NewPeers(metaremote.Options{
		Self: p.n.cfg.Name, Logger: p.n.log,
		Dial: func(ctx context.Context, node string) (net.Conn, error) { return p.port.Dial(ctx, node, nodeport.GRPC) },
	})
	return p.ranges.Peer
}

// serveRecords gives the other nodes this node's.
func (p *peers) serveRecords() {
	p.grpc = grpc.NewServer(metaremote.GRPCOptions()...)
	metaremote.NewServer(metaremote.ServerOptions{Records: p.n.records, Logger: p.n.log}).Register(p.grpc)
	l := p.port.Listen(nodeport.GRPC)
	p.serving.Go(func() { _ = p.grpc.Serve(l) }) // ends with Stop
}

// openDriveList is what drives are in service.
func (n *Node) openDriveList() (all []*disk.Drive) {
	for _, d := range *n.bays.byID.Load() {
		all = append(all, d)
	}
	return all
}

// stopSharing ends calls, and what others do with this node's drives.
func (p *peers) stopSharing() {
	if p.grpc != nil {
		p.grpc.Stop()
	}
	if p.ranges != nil {
		p.ranges.Close()
	}
	p.http.Close()
	p.desk.Close()
	p.server.Close()
	p.client.CloseIdleConnections()
}

// close ends the port. Tunnels have ended, or do so with their member.
func (p *peers) close() {
	p.stopSharing()
	p.port.Close()
	p.serving.Wait()
}
