package node

import (
	"context"
	"encoding/json"
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

// show has the node show these papers from now on.
func (p *peers) show(papers *cluster.Papers) error {
	identity, err := papers.Identity(time.Now())
	if err != nil {
		return err
	}
	p.identity.Store(identity)
	p.papers.Store(papers)
	return nil
}

// findPapers gives the papers that the secret or a token yields, those that were kept, or, of a first node, new ones.
func (n *Node) findPapers(ctx context.Context, p *peers) (papers *cluster.Papers, err error) {
	c := &n.cfg.Cluster
	now := time.Now()
	looks, err := n.lookAtAll(ctx)
	if err != nil {
		return nil, err
	}
	known, err := clusterOf(looks)
	if err != nil {
		return nil, err
	}
	kept, err := cluster.ReadPapers(n.papersDirs(looks))
	if err != nil && !errors.Is(err, cluster.ErrNoPapers) {
		return nil, err
	}
	switch {
	case c.Secret != "":
		papers, p.signer, err = cluster.FromSecret(c.Secret, n.cfg.Name, now)
		if err == nil && kept != nil {
			papers.Nodes, papers.Serial = kept.Nodes, kept.Serial
		}
	case n.external() && c.Join == "" && (kept == nil || kept.ByEtcd):
		papers, err = n.papersByEtcd(ctx, p, known)
	case kept != nil:
		papers = kept
		p.signer, err = kept.Signer()
	case c.Join != "":
		papers, err = cluster.Join(ctx, c.Join, c.Token, n.cfg.Name, string(nodeport.Join), now)
	default:
		if known == (ids.Cluster{}) {
			known = ids.NewCluster()
		}
		papers, p.signer, err = cluster.First(known, n.cfg.Name, now)
	}
	switch {
	case err != nil:
		return nil, err
	case known != (ids.Cluster{}) && papers.Cluster != known:
		return nil, fmt.Errorf("the drives are of cluster %s, and the secret or token is of %s", known, papers.Cluster)
	case papers.Node != n.cfg.Name:
		return nil, fmt.Errorf("the drives are those of node %q, and this is started as %q: a node keeps its name", papers.Node, n.cfg.Name)
	}
	return papers, nil
}

// papersByEtcd are those of a node that is trusted because it can read the external etcd: the authority lies there.
func (n *Node) papersByEtcd(ctx context.Context, p *peers, known ids.Cluster) (*cluster.Papers, error) {
	fresh, err := trust.New()
	if err != nil {
		return nil, err
	}
	if known == (ids.Cluster{}) {
		known = ids.NewCluster()
	}
	opt := store.Options{RequestTimeout: n.cfg.ControlTimeout, Logger: n.log}
	if err := n.cfg.Etcd.Fill(&opt); err != nil {
		return nil, err
	}
	t, err := store.AgreeOnTrust(ctx, opt, store.Trust{Cluster: known, Seed: fresh.Seed()})
	if err != nil {
		return nil, err
	}
	p.begun = t.Begun
	if p.signer, err = trust.Parse(t.Seed); err != nil {
		return nil, err
	}
	return cluster.ByEtcd(p.signer, t.Cluster, n.cfg.Name, time.Now())
}

// papersDirs are the directories that may have papers, of those that answered.
func (n *Node) papersDirs(looks []look) (dirs []string) {
	for i, b := range n.bays.list() {
		if looks[i].err == nil && !looks[i].absent {
			dirs = append(dirs, b.path)
		}
	}
	if n.cfg.Cluster.StateDir != "" {
		dirs = append(dirs, n.cfg.Cluster.StateDir)
	}
	return dirs
}

// savePapers writes the papers to all drives that are open before the node serves: without them it could not come back.
func (n *Node) savePapers() error {
	dirs := n.openPaths()
	if dir := n.cfg.Cluster.StateDir; dir != "" {
		dirs = append(dirs, dir)
	}
	if len(dirs) == 0 && n.cfg.Cluster.Secret == "" && !n.peers.papers.Load().ByEtcd {
		return errors.New("a node without drives that joined by a token keeps its certificate in a directory: give --state DIR")
	}
	saved := 0
	var errs []error
	for _, dir := range dirs {
		if err := n.peers.papers.Load().Write(dir); err != nil {
			errs = append(errs, err)
			continue
		}
		saved++
	}
	if saved == 0 {
		return errors.Join(errs...)
	}
	return nil
}

// keepPapers writes the papers to all drives that are in order, when they lack them or when nodes have moved.
func (n *Node) keepPapers(ctx context.Context) {
	written := map[string]*cluster.Papers{}
	for {
		m := n.store.Map()
		n.renewPapers(ctx)
		p := n.peers.papers.Load().WithNodes(n.otherNodes())
		n.peers.papers.Store(p)
		dirs := n.healthyPaths()
		if n.cfg.Cluster.StateDir != "" {
			dirs = append(dirs, n.cfg.Cluster.StateDir)
		}
		for _, dir := range dirs {
			if written[dir] == p {
				continue
			}
			if err := p.Write(dir); err != nil {
				n.log.Warn("the node's papers are not kept", "path", dir, "err", err)
				continue
			}
			written[dir] = p
		}
		wait, cancel := context.WithTimeout(ctx, copyEvery)
		_, _ = n.store.Wait(wait, nodesChanged(m)) // or the time is over: a drive may have come
		cancel()
		if ctx.Err() != nil {
			return
		}
	}
}

// renewPapers has a node that can sign renew the certificate when half of its life is over. Whoever has the secret makes a new one at each start.
func (n *Node) renewPapers(ctx context.Context) {
	p := n.peers
	if p.signer != nil || !p.identity.Load().Renewable(time.Now()) {
		return
	}
	request, key, err := trust.Request(n.cfg.Name)
	if err != nil {
		n.log.Error("no request to renew the node's certificate", "err", err)
		return
	}
	for name := range n.store.Map().Alive {
		if name == n.cfg.Name {
			continue
		}
		cert, err := call[[]byte](ctx, p, name, "POST", "/renew", request)
		if err == nil {
			err = p.show(p.papers.Load().Renewed(cert, key))
		}
		if err == nil {
			n.log.Info("the node's certificate is renewed", "by", name)
			return
		}
		n.log.Debug("the node's certificate is not renewed", "by", name, "err", err)
	}
}

var errNoSigner = errors.New("this node cannot sign certificates")

// renew signs the request of a node for a new certificate of its own.
func (p *peers) renew(from string, body []byte) (any, error) {
	if p.signer == nil {
		return nil, errNoSigner
	}
	var request []byte
	if err := json.Unmarshal(body, &request); err != nil {
		return nil, err
	}
	return p.signer.Sign(request, from, time.Now())
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
	for m := p.n.store.Map(); ; p.port.Expel() {
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
	p.http = &http.Server{Handler: p.routes(), ReadTimeout: callWithin, IdleTimeout: time.Minute}
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
