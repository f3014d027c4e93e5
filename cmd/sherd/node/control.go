package node

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/sherd-io/sherd/disk"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/placement"
	"github.com/sherd-io/sherd/placement/member"
	"github.com/sherd-io/sherd/placement/plan"
	"github.com/sherd-io/sherd/placement/store"
)

// startControl brings the control state up: etcd's members where they are ours, then the map; on a first start it makes
// the cluster's first records.
func (n *Node) startControl(ctx, loops context.Context) error {
	opt := store.Options{Cluster: n.cluster, RequestTimeout: n.cfg.ControlTimeout, Floor: n.copiedPosition(ctx), Now: n.cfg.Now, Logger: n.log}
	n.virgin = n.virgin && opt.Floor == (store.Position{}) && n.mayBegin()
	if n.external() {
		if err := n.cfg.Etcd.Fill(&opt); err != nil {
			return err
		}
	} else if err := n.startMembers(ctx, &opt); err != nil {
		return err
	}
	var err error
	if n.store, err = store.Open(ctx, opt); n.peers != nil && err == nil {
		n.peers.store.Store(n.store)
	}
	switch {
	case errors.Is(err, store.ErrTimeTravel):
		return fmt.Errorf("%w: an older etcd was put in the place of the right one: bring that back, or, if it is lost, %s", err, restoreRemedy)
	case err != nil:
		return err
	}
	if n.newcomer { // those who found the cluster may not be done
		if _, err := n.store.Wait(ctx, func(m *placement.Map) bool { return m.Cluster == n.cluster }); err != nil {
			return err
		}
	}
	if n.store.Bootstrapped() {
		n.warnProfile()
		return checkFloor(n.store.Map())
	}
	if !n.virgin {
		return fmt.Errorf("the drives hold data of cluster %s, but etcd knows nothing of it: is --etcd the right one? If its content is lost, %s", n.cluster, restoreRemedy)
	}
	return n.bootstrap(ctx)
}

// remedyAfter is how long members of other nodes are waited for before the log says what else helps.
const remedyAfter = 20 * time.Second

// restoreRemedy is what helps when the control state is lost for good.
const restoreRemedy = "run `sherd control restore` with the same drives and settings: it takes the newest copy that they hold (docs/operations.md, \"All of etcd is lost\")"

// copiedPosition is how late a state the drives know of: an etcd that is behind it is an old one (I9).
func (n *Node) copiedPosition(ctx context.Context) store.Position {
	ctx, cancel := context.WithTimeout(ctx, n.cfg.Patience)
	defer cancel()
	var paths []string
	for _, d := range *n.bays.byID.Load() {
		paths = append(paths, d.Path())
	}
	return store.KnownPosition(ctx, n.cluster, paths)
}

func (n *Node) external() bool { return len(n.cfg.Etcd.Endpoints) > 0 }

// startMembers starts this node's members of etcd, of the control state that the drives know, or of a later one that another node has.
func (n *Node) startMembers(ctx context.Context, opt *store.Options) error {
	for {
		err := n.startMembersOf(ctx, opt)
		var newer *newerControl
		if !errors.As(err, &newer) {
			return err
		}
		n.log.Warn("members of etcd are given up", "why", newer)
		opt.Floor = store.Position{Generation: newer.generation}
	}
}

// startMembersOf starts those of the generation that opt.Floor has, and of later ones. Errors: also a newerControl.
func (n *Node) startMembersOf(ctx context.Context, opt *store.Options) error {
	hosts := n.hosts()
	var all []ids.Drive
	for _, h := range hosts {
		all = append(all, h.Drive)
	}
	set := member.Options{
		Cluster:     n.cluster,
		Node:        n.cfg.Name,
		Drives:      hosts,
		Want:        all[:min(len(all), n.memberCount())],
		Bootstrap:   n.virgin && n.bays.open() == len(n.bays.list()),
		Control:     opt.Floor.Generation,
		Sole:        true,
		Command:     n.cfg.EtcdCommand,
		Env:         n.cfg.EtcdEnv,
		MemoryBytes: n.budget.Etcd,
		Logger:      n.log,
	}
	if n.peers != nil {
		if err := n.peers.shareMembers(&set); err != nil {
			return err
		}
	}
	generation := max(opt.Floor.Generation, 1)
	if n.peers != nil {
		if err := n.peers.anyNewer(ctx, generation); err != nil { // before members start that need nobody else
			return err
		}
	}
	members, err := member.New(set)
	if err != nil {
		return err
	}
	n.members = members
	if n.peers != nil {
		n.peers.members.Store(members)
		var release func()
		ctx, release = n.peers.untilNewer(ctx, generation)
		defer release()
	}
	warn := time.AfterFunc(remedyAfter, func() {
		n.log.Warn("etcd has no quorum yet. Start the nodes that have its members; only if most members are lost for good, stop all nodes and " + restoreRemedy)
	})
	defer warn.Stop()
	err = members.Start(ctx)
	var newer *newerControl
	switch {
	case errors.As(context.Cause(ctx), &newer):
		return errors.Join(newer, members.Close())
	case errors.Is(err, member.ErrNoMembers):
		return fmt.Errorf("%w: bring a drive back that has one; if they are all lost, %s", err, restoreRemedy)
	case errors.Is(err, member.ErrNoQuorum):
		return fmt.Errorf("%w: bring more of the drives back that were there before; if they are lost, %s", err, restoreRemedy)
	case err != nil:
		return err
	}
	opt.Endpoints, opt.Dialer, opt.Redial = members.Endpoints(), members.Dial, members.Redial
	return nil
}

// warnProfile says that a profile given for a cluster that has one already changes nothing.
func (n *Node) warnProfile() {
	want, p := n.cfg.Profile, n.store.Map().Pools[1]
	if p != nil && want != (plan.Profile{}) && (p.K != want.K || p.M != want.M) {
		n.log.Warn("--ec is for a cluster's first start; the pool keeps its profile, and `sherd pool create` makes another", "given", want.String(), "pool", p.Name, "data", p.K, "parity", p.M)
	}
}

// memberCount is how many etcd members the drives should have, by the profile: the map is not known yet.
func (n *Node) memberCount() int {
	p := n.cfg.Profile
	if p == (plan.Profile{}) {
		p = plan.DefaultProfile(len(n.cfg.Drives))
	}
	return plan.MemberCount(p.M, len(n.cfg.Drives))
}

// hosts are the open drives, in the order of the command line.
func (n *Node) hosts() (out []member.Host) {
	for _, b := range n.bays.list() {
		if d, id, _ := b.current(); d != nil {
			out = append(out, member.Host{Drive: id, Path: b.path})
		}
	}
	return out
}

// bootstrap writes a new cluster's first records.
func (n *Node) bootstrap(ctx context.Context) error {
	initial, err := n.initial()
	if err != nil {
		return err
	}
	err = n.untilHeard(ctx, func() error { return n.store.Bootstrap(ctx, initial) })
	switch {
	case errors.Is(err, store.ErrBootstrapped): // by another node, or by a try whose answer was lost
		return nil
	case err != nil:
		return err
	}
	n.log.Info("new cluster", "cluster", n.cluster, "nodes", len(initial.Nodes), "drives", len(initial.Drives), "data", initial.Pool.K, "parity", initial.Pool.M)
	return nil
}

// untilHeard calls f until etcd answers: what a start waited for may go away again in the middle of it.
func (n *Node) untilHeard(ctx context.Context, f func() error) error {
	for {
		err := f()
		if !errors.Is(err, store.ErrUnavailable) || ctx.Err() != nil {
			return err
		}
		n.log.Warn("etcd went away during the start; trying again", "err", err)
		pause(ctx, time.Second)
	}
}

// initial is what a new cluster begins with: the same for all who found it.
func (n *Node) initial() (placement.Initial, error) {
	nodes, drives, err := n.beginning()
	if err != nil {
		return placement.Initial{}, err
	}
	return plan.Initial(plan.InitialOptions{
		Cluster: n.cluster, Nodes: nodes, Drives: drives, Profile: n.cfg.Profile, PGCount: n.cfg.PGs, Settings: firstFloor(nodes),
	})
}

// record is the map's row for a drive that was just formatted.
func (n *Node) record(path string, d *disk.Drive) *placement.Drive {
	return &placement.Drive{
		ID: d.ID(), Node: n.cfg.Name, Path: path, Bytes: d.Space().Total, Mount: d.Identity().MountPoint,
		State: placement.DriveUp, Since: n.cfg.Now().UTC().Truncate(time.Millisecond),
	}
}

// Fill sets what an external etcd needs.
func (c *EtcdConfig) Fill(opt *store.Options) error {
	opt.Endpoints, opt.Username, opt.Password, opt.Dialer = c.Endpoints, c.Username, c.Password, c.Dial
	if c.CAFile == "" && c.CertFile == "" {
		return nil
	}
	opt.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return fmt.Errorf("--etcd-ca: %w", err)
		}
		opt.TLS.RootCAs = x509.NewCertPool()
		if !opt.TLS.RootCAs.AppendCertsFromPEM(pem) {
			return fmt.Errorf("--etcd-ca: no certificate in %s", c.CAFile)
		}
	}
	if c.CertFile != "" {
		cert, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
		if err != nil {
			return fmt.Errorf("--etcd-cert, --etcd-key: %w", err)
		}
		opt.TLS.Certificates = []tls.Certificate{cert}
	}
	return nil
}

// copyEvery is how often the control state is copied to the drives, if it changed (I9).
const copyEvery = 5 * time.Second

// keepCopies keeps a copy of the control state on every drive, its access keys under a key derived from root's secret.
func (n *Node) keepCopies(ctx context.Context) {
	n.store.KeepCopies(ctx, copyEvery, n.healthyPaths, n.rootKey)
}

// healthyPaths are the drives that small files can be written to now. One that did not answer when it was last looked at is not waited for; and
// what was wiped or exchanged since is left alone, for a directory that holds but such a file is no empty one that can become a drive.
func (n *Node) healthyPaths() (paths []string) {
	for _, b := range n.bays.list() {
		path, ok := b.lately(3 * n.cfg.CheckEvery)
		if !ok {
			continue
		}
		if _, state, _ := disk.Probe(n.cfg.FS, path); state == disk.Formatted {
			paths = append(paths, path)
		}
	}
	return paths
}
