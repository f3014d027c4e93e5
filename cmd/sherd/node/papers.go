package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sherd-io/sherd/cmd/sherd/node/cluster"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/internal/nodeport"
	"github.com/sherd-io/sherd/internal/trust"
	"github.com/sherd-io/sherd/placement/store"
)

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
	kept, err := cluster.ReadPapers(n.papersDirs(looks), n.cfg.Name)
	if err != nil && !errors.Is(err, cluster.ErrNoPapers) {
		return nil, err
	}
	if kept != nil && kept.Node != n.cfg.Name {
		return nil, errRenamed(kept.Node, n.cfg.Name)
	}
	if c.StateDir != "" || c.Join != "" && kept == nil && c.Secret == "" { // before a token is used up
		if err := n.roomForPapers(); err != nil {
			return nil, err
		}
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
		if p.signer, err = kept.Signer(); p.signer != nil { // as with a secret: what it had may have expired
			papers, err = kept.Reissued(p.signer, now)
		}
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
	}
	return papers, nil
}

// roomForPapers sees to it that a node without drives has a directory for its papers: it could not come back without them.
func (n *Node) roomForPapers() error {
	dir := n.cfg.Cluster.StateDir
	switch {
	case dir != "":
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("--state: %w", err)
		}
		if err := unix.Access(dir, unix.W_OK); err != nil {
			return fmt.Errorf("--state: %s: %w: give it to the user that runs sherd", dir, err)
		}
	case len(n.cfg.Drives) == 0:
		return errNoState
	}
	return nil
}

var errNoState = errors.New("a node without drives that joins by a token keeps its certificate in a directory: give --state DIR")

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
		return errNoState
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

// renewPapers renews the certificate when half of its life is over: itself, if this node can sign, else by a node that can.
func (n *Node) renewPapers(ctx context.Context) {
	p := n.peers
	switch {
	case !p.identity.Load().Renewable(time.Now()):
	case p.signer == nil:
		n.renewByOthers(ctx)
	default:
		papers, err := p.papers.Load().Reissued(p.signer, time.Now())
		if err == nil {
			err = p.show(papers)
		}
		if err != nil {
			n.log.Error("the node's certificate is not renewed", "err", err)
		}
	}
}

func (n *Node) renewByOthers(ctx context.Context) {
	p := n.peers
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
