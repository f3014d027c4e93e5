package restore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/placement"
	"github.com/sherd-io/sherd/placement/member"
	"github.com/sherd-io/sherd/placement/plan"
	"github.com/sherd-io/sherd/placement/store"
)

// Errors of Prepare, by what a person can do.
var (
	ErrNoCopy    = errors.New("no drive has a readable copy of the control state")
	ErrMinority  = errors.New("no more than half of the cluster's drives have a readable copy, here or among what other nodes gave") // give all, or force
	ErrNotLost   = errors.New("etcd is not lost")                                                                                    // start the server
	ErrElsewhere = errors.New("etcd may go on without what is here: its members may be on nodes that gave nothing")                  // ask them, or force
	ErrNodes     = errors.New("the drives are not those of one node")                                                                // name the right one
	ErrGiven     = errors.New("what another node gave is not for this restore")                                                      // have it give anew
	ErrSealed    = errors.New("the copy's users are encrypted, and root's secret key is another one")                                // give it, or go without users
)

// Options says what to restore. The caller holds the drives' locks: no server runs on them.
type Options struct {
	Cluster ids.Cluster
	Node    string         // that is to have the new etcd; empty: the one whose drives are here
	Hosts   []member.Host  // all of the cluster's drives that are here
	Given   []*Given       // what nodes gave whose drives are not
	Etcd    *store.Options // external etcd; nil: a new embedded one on the node's drives
	Child   member.Options // how the embedded one is run: Command, Env, MemoryBytes

	Secrets      []string // root's secret keys to try on the users of the copy
	WithoutUsers bool     // go on though none fits
	Force        bool     // go on with a minority, or beside an etcd that does not start, or may be elsewhere
	Logger       *slog.Logger
}

// Plan is what Run will do.
type Plan struct {
	Copy       *store.Copy
	Map        *placement.Map // what the copy says
	Node       string         // that has the new etcd
	Generation uint64         // of the restored state
	Missing    []Missing      // copies that could not be read
	Drives     int            // of the cluster, by the copy
	Readable   int            // of these, with a readable copy, here or given
	Same       int            // of those, with just the state that is taken
	Silent     []string       // nodes none of whose drives had a readable copy
	Etcd       Left
	Users      bool // the copy's access keys are restored
	Closed     int  // access keys whose secret neither these drives nor root's secret key open: other nodes may have the key

	opt Options
	key []byte // of the users; nil: unknown
}

// Missing is a copy that could not be read.
type Missing struct {
	Path string
	Err  error
}

// Prepare finds the copy to restore, and whether that may be done.
// Errors: those above; store.ErrPromised; those of the external etcd.
func Prepare(ctx context.Context, opt Options) (*Plan, error) {
	p := &Plan{opt: opt}
	seen, err := p.find(ctx)
	if err != nil {
		return nil, err
	}
	if err := p.chooseNode(); err != nil {
		return nil, err
	}
	if err := p.checkPromises(seen); err != nil {
		return nil, err
	}
	if 2*p.Readable <= p.Drives && !opt.Force {
		return nil, fmt.Errorf("%w: %d of %d", ErrMinority, p.Readable, p.Drives)
	}
	if err := p.unseal(); err != nil {
		return nil, err
	}
	if opt.Etcd != nil {
		return p, p.lookExternal(ctx)
	}
	return p, p.lookEmbedded(ctx)
}

// seenCopy is a drive's copy, here or given.
type seenCopy struct {
	at      store.Position
	promise store.Promise
}

// find reads the copies that are here, adds those that were given, and takes the newest. A drive counts once.
func (p *Plan) find(ctx context.Context) (map[ids.Drive]seenCopy, error) {
	found, newest := store.ReadCopies(ctx, p.opt.Cluster, pathsOf(p.opt.Hosts))
	seen := map[ids.Drive]seenCopy{}
	var errs []error
	for i, f := range found {
		if f.Copy == nil {
			p.Missing = append(p.Missing, Missing{filepath.Join(f.Drive, store.CopyFile), f.Err})
			errs = append(errs, f.Err)
			continue
		}
		seen[p.opt.Hosts[i].Drive] = seenCopy{f.Copy.Position(), f.Copy.Promise}
	}
	for _, g := range p.opt.Given {
		if g.Cluster != p.opt.Cluster {
			return nil, fmt.Errorf("%w: node %s is of cluster %s", ErrGiven, g.Node, g.Cluster)
		}
		for _, d := range g.Drives {
			if d.Error == "" {
				seen[d.Drive] = seenCopy{store.Position{Generation: d.Generation, Revision: d.Revision}, store.Promise{Generation: d.Promised, Node: g.For}}
			} else {
				p.Missing = append(p.Missing, Missing{g.Node + ":" + d.Path, errors.New(d.Error)})
			}
		}
		if newest == nil || g.Copy.Newer(newest) {
			newest = g.Copy
		}
	}
	if newest == nil {
		return nil, fmt.Errorf("%w: %w", ErrNoCopy, errors.Join(errs...))
	}
	p.Copy = newest
	var err error
	if p.Map, err = newest.Map(); err != nil {
		return nil, err
	}
	p.count(seen)
	return seen, nil
}

// count counts the cluster's drives, by the copy that is taken, and those whose copy was seen.
func (p *Plan) count(seen map[ids.Drive]seenCopy) {
	spoke := map[string]bool{}
	for id, d := range p.Map.Drives {
		if d.State == placement.DriveOut {
			continue
		}
		p.Drives++
		c, ok := seen[id]
		spoke[d.Node] = spoke[d.Node] || ok
		if ok {
			p.Readable++
		}
		if ok && c.at == p.Copy.Position() {
			p.Same++
		}
	}
	for node, spoke := range spoke {
		if !spoke {
			p.Silent = append(p.Silent, node)
		}
	}
	slices.Sort(p.Silent)
}

// chooseNode finds out which node the restore is made on.
func (p *Plan) chooseNode() error {
	nodes := nodesOf(p.Map, p.opt.Hosts)
	p.Node = p.opt.Node
	if p.Node == "" && len(nodes) == 1 {
		p.Node = nodes[0]
	}
	switch {
	case p.opt.Etcd != nil && len(p.opt.Given) == 0:
		return nil // it is the same for all
	case p.Node == "":
		return fmt.Errorf("%w, but of %q: say with --node which of them is to have the new etcd", ErrNodes, nodes)
	case len(nodes) > 0 && !slices.Contains(nodes, p.Node):
		return fmt.Errorf("%w %q: they are of %q", ErrNodes, p.Node, nodes)
	}
	return nil
}

// checkPromises refuses what was given to a restore on another node, and chooses a generation beyond all that were promised.
func (p *Plan) checkPromises(seen map[ids.Drive]seenCopy) error {
	for _, g := range p.opt.Given {
		if g.For != p.Node {
			return fmt.Errorf("%w: node %s gave it to %s, and this is %s", ErrGiven, g.Node, g.For, p.Node)
		}
	}
	p.Generation = p.Copy.Generation + 1
	for _, h := range p.opt.Hosts {
		if to := seen[h.Drive].promise.Node; to != "" && to != p.Node {
			return fmt.Errorf("%s: %w, %s", h.Path, store.ErrPromised, to)
		}
	}
	for _, c := range seen {
		p.Generation = max(p.Generation, c.promise.Generation)
		if c.promise.Node == "" && c.promise.Generation > 0 { // taken back: somebody may have used it
			p.Generation = max(p.Generation, c.promise.Generation+1)
		}
	}
	return nil
}

// nodesOf are the nodes that drives are of, as far as the map knows them.
func nodesOf(m *placement.Map, hosts []member.Host) (nodes []string) {
	for _, h := range hosts {
		if d := m.Drives[h.Drive]; d != nil && !slices.Contains(nodes, d.Node) {
			nodes = append(nodes, d.Node)
		}
	}
	slices.Sort(nodes)
	return nodes
}

// hostsOf are the drives that are a node's, and, of the restore's own, those that the map does not know.
func (p *Plan) hostsOf(node string) (hosts []member.Host) {
	for _, h := range p.opt.Hosts {
		d := p.Map.Drives[h.Drive]
		if d != nil && d.Node == node || d == nil && node == p.Node {
			hosts = append(hosts, h)
		}
	}
	return hosts
}

// unseal opens the copy's users with the first key that fits.
func (p *Plan) unseal() (err error) {
	if len(p.Copy.Sealed) == 0 {
		return nil
	}
	for _, secret := range p.opt.Secrets {
		if p.key, err = store.CopyKey(secret, p.opt.Cluster); err != nil {
			return err
		}
		if p.Users = p.Copy.Unseal(p.key) == nil; p.Users {
			break
		}
	}
	if !p.Users {
		p.key = nil
	}
	if !p.Users && !p.opt.WithoutUsers {
		return ErrSealed
	}
	if p.Map, err = p.Copy.Map(); err == nil {
		p.countClosed()
	}
	return err
}

// countClosed counts the access keys whose secrets the node that is restored will not open by itself.
func (p *Plan) countClosed() {
	if p.opens(p.Map.DataKey) {
		return
	}
	for _, id := range p.Map.Identities {
		if len(id.Sealed) > 0 {
			p.Closed++
		}
	}
}

// opens reports whether the key of the cluster's secrets is on one of the drives, or follows from root's secret.
func (p *Plan) opens(w *placement.WrappedKey) bool {
	if w == nil {
		return false
	}
	if _, err := store.ReadDataKey(pathsOf(p.opt.Hosts), p.opt.Cluster, w.ID); err == nil {
		return true
	}
	_, err := store.Unwrap(p.opt.Cluster, w, placement.WrapRoot, p.key)
	return err == nil
}

// lookExternal refuses an etcd that has the cluster.
func (p *Plan) lookExternal(ctx context.Context) error {
	s, err := p.open(ctx, *p.opt.Etcd)
	if err != nil {
		return err
	}
	defer s.Close()
	if s.Bootstrapped() {
		return fmt.Errorf("%w: the external one has records of cluster %s: if they are old ones, remove all below /sherd/%s/ first",
			ErrNotLost, p.opt.Cluster, p.opt.Cluster)
	}
	return nil
}

// members are the options to run a node's members with, or to look at them: of an etcd of that generation, or later.
func (p *Plan) members(node string, hosts []member.Host, generation uint64) member.Options {
	opt := p.opt.Child
	opt.Cluster, opt.Node, opt.Drives, opt.Control = p.opt.Cluster, node, hosts, generation
	opt.Sole, opt.Logger = true, p.opt.Logger
	return opt
}

// start runs an embedded etcd and opens its records.
func (p *Plan) start(ctx context.Context, opt member.Options) (*member.Supervisor, *store.Store, error) {
	m, err := member.Start(ctx, opt)
	if err != nil {
		return nil, nil, err
	}
	s, err := p.open(ctx, store.Options{
		Endpoints: m.Endpoints(), Dialer: m.Dial, Redial: m.Redial, Floor: p.Copy.Position(),
	})
	if err != nil {
		return nil, nil, errors.Join(err, m.Close())
	}
	return m, s, nil
}

func (p *Plan) open(ctx context.Context, opt store.Options) (*store.Store, error) {
	opt.Cluster, opt.Logger = p.opt.Cluster, p.opt.Logger
	return store.Open(ctx, opt)
}

// Run restores. aside are the directories that the old etcd lies in now.
// Errors: those of the drives and of etcd; unless the restore is complete, it can be done again.
func (p *Plan) Run(ctx context.Context) (aside []string, err error) {
	if p.opt.Etcd != nil {
		s, err := p.open(ctx, *p.opt.Etcd)
		if err != nil {
			return nil, err
		}
		defer s.Close()
		return nil, p.write(ctx, s)
	}
	at := time.Now()
	for _, h := range p.opt.Hosts {
		to, err := member.PutAside(h.Path, at)
		if err != nil {
			return aside, fmt.Errorf("putting the old etcd of %s aside: %w", h.Path, err)
		}
		if to != "" {
			aside = append(aside, to)
		}
	}
	opt := p.members(p.Node, p.hostsOf(p.Node), p.Generation)
	opt.Bootstrap, opt.Want = true, p.hosts(opt.Drives)
	m, s, err := p.start(ctx, opt)
	if err != nil {
		return aside, fmt.Errorf("making a new etcd: %w", err)
	}
	defer m.Close()
	defer s.Close()
	return aside, p.write(ctx, s)
}

// hosts chooses the drives for the new members, among those of the node.
func (p *Plan) hosts(own []member.Host) []ids.Drive {
	m := *p.Map
	m.Drives = maps.Clone(m.Drives)
	for id, d := range m.Drives {
		here := *d
		if here.State != placement.DriveOut {
			here.State = placement.DriveDown
		}
		m.Drives[id] = &here
	}
	for _, h := range own {
		if d := m.Drives[h.Drive]; d != nil && d.State != placement.DriveOut {
			d.State = placement.DriveUp
		}
	}
	want := plan.EtcdHosts(&m, nil)
	if len(want) == 0 { // all of them are newer than the copy, or out
		want = []ids.Drive{own[0].Drive}
	}
	return want
}

// write writes the records, then the copies that make every older etcd one of the past.
func (p *Plan) write(ctx context.Context, s *store.Store) error {
	if err := s.Restore(ctx, p.Copy, p.Generation); err != nil {
		return err
	}
	written, err := s.WriteCopies(ctx, pathsOf(p.opt.Hosts), p.key)
	if 2*written <= len(p.opt.Hosts) {
		return fmt.Errorf("the control state is restored, but only %d of %d drives could take the new copy: %w", written, len(p.opt.Hosts), err)
	}
	return nil
}
