package restore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"time"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/placement"
	"github.com/sherd-io/sherd/placement/member"
	"github.com/sherd-io/sherd/placement/plan"
	"github.com/sherd-io/sherd/placement/store"
)

// Errors of Prepare, by what a person can do.
var (
	ErrNoCopy   = errors.New("no drive has a readable copy of the control state")
	ErrMinority = errors.New("no more than half of the cluster's drives have a readable copy")       // give all drives, or force
	ErrNotLost  = errors.New("etcd is not lost")                                                     // start the server
	ErrSealed   = errors.New("the copy's users are encrypted, and root's secret key is another one") // give it, or go without users
)

// Options says what to restore. The caller holds the drives' locks: no server runs on them.
type Options struct {
	Cluster ids.Cluster
	Hosts   []member.Host  // all of the cluster's drives that are here
	Etcd    *store.Options // external etcd; nil: a new embedded one on the hosts
	Child   member.Options // how the embedded one is run: Command, Env, MemoryBytes

	Secrets      []string // root's secret keys to try on the users of the copy
	WithoutUsers bool     // go on though none fits
	Force        bool     // go on with a minority, or beside an etcd that does not start
	Logger       *slog.Logger
}

// Plan is what Run will do.
type Plan struct {
	Copy     *store.Copy
	Map      *placement.Map // what the copy says
	Found    []store.FoundCopy
	Drives   int // of the cluster, by the copy
	Readable int // of Found
	Same     int // of these, with just the state that is taken
	Members  member.Survey
	Users    bool // the copy's users are restored

	opt Options
	key []byte // of the users; nil: unknown
}

// Prepare finds the copy to restore, and whether that may be done.
// Errors: ErrNoCopy, ErrMinority, ErrNotLost, ErrSealed; those of the external etcd.
func Prepare(ctx context.Context, opt Options) (*Plan, error) {
	p := &Plan{opt: opt}
	if err := p.find(ctx); err != nil {
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

// find reads the copies.
func (p *Plan) find(ctx context.Context) error {
	p.Found, p.Copy = store.ReadCopies(ctx, p.opt.Cluster, p.paths())
	if p.Copy == nil {
		var errs []error
		for _, f := range p.Found {
			errs = append(errs, f.Err)
		}
		return fmt.Errorf("%w: %w", ErrNoCopy, errors.Join(errs...))
	}
	for _, f := range p.Found {
		if f.Copy == nil {
			continue
		}
		p.Readable++
		if f.Copy.Position() == p.Copy.Position() {
			p.Same++
		}
	}
	var err error
	if p.Map, err = p.Copy.Map(); err != nil {
		return err
	}
	for _, d := range p.Map.Drives {
		if d.State != placement.DriveOut {
			p.Drives++
		}
	}
	return nil
}

func (p *Plan) paths() (paths []string) {
	for _, h := range p.opt.Hosts {
		paths = append(paths, h.Path)
	}
	return paths
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
	p.Map, err = p.Copy.Map()
	return err
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

// lookEmbedded refuses where enough members are left to go on and have the cluster, as late as the copy knows it.
func (p *Plan) lookEmbedded(ctx context.Context) (err error) {
	opt := p.members()
	opt.Control = p.Copy.Generation
	if p.Members, err = member.Look(opt); err != nil || !p.Members.Enough {
		return err
	}
	m, s, err := p.start(ctx, opt)
	switch {
	case errors.Is(err, store.ErrTimeTravel): // older than the copy: it is not the one that was lost
		return nil
	case err != nil && p.opt.Force:
		return nil
	case err != nil:
		return fmt.Errorf("%d of %d etcd members are here, and do not start: %w", p.Members.Here, p.Members.Members, err)
	}
	defer m.Close()
	defer s.Close()
	if s.Bootstrapped() {
		return fmt.Errorf("%w: %d of %d members are here", ErrNotLost, p.Members.Here, p.Members.Members)
	}
	return nil // a restore was cut short
}

func (p *Plan) members() member.Options {
	opt := p.opt.Child
	opt.Cluster, opt.Drives, opt.Sole, opt.Logger = p.opt.Cluster, p.opt.Hosts, true, p.opt.Logger
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
	opt := p.members()
	opt.Bootstrap, opt.Want, opt.Control = true, p.hosts(), p.Copy.Generation+1
	m, s, err := p.start(ctx, opt)
	if err != nil {
		return aside, fmt.Errorf("making a new etcd: %w", err)
	}
	defer m.Close()
	defer s.Close()
	return aside, p.write(ctx, s)
}

// hosts chooses the drives for the new members, among those that are here.
func (p *Plan) hosts() []ids.Drive {
	m := *p.Map
	m.Drives = maps.Clone(m.Drives)
	for id, d := range m.Drives {
		here := *d
		if here.State != placement.DriveOut {
			here.State = placement.DriveDown
		}
		m.Drives[id] = &here
	}
	for _, h := range p.opt.Hosts {
		if d := m.Drives[h.Drive]; d != nil && d.State != placement.DriveOut {
			d.State = placement.DriveUp
		}
	}
	want := plan.EtcdHosts(&m, nil)
	if len(want) == 0 { // all of the drives are newer than the copy
		want = []ids.Drive{p.opt.Hosts[0].Drive}
	}
	return want
}

// write writes the records, then the copies that make every older etcd one of the past.
func (p *Plan) write(ctx context.Context, s *store.Store) error {
	if err := s.Restore(ctx, p.Copy); err != nil {
		return err
	}
	written, err := s.WriteCopies(ctx, p.paths(), p.key)
	if 2*written <= len(p.opt.Hosts) {
		return fmt.Errorf("the control state is restored, but only %d of %d drives could take the new copy: %w", written, len(p.opt.Hosts), err)
	}
	return nil
}
