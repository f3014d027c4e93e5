package node

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta"
	"github.com/sherd-io/sherd/placement"
	"github.com/sherd-io/sherd/placement/member"
	"github.com/sherd-io/sherd/placement/plan"
	"github.com/sherd-io/sherd/placement/store"
)

// planner changes the map where drives were replaced or given up: slots and replicas get new owners. Each step looks
// at the map alone and does what is next, so that a crash between two steps is mended by the next look.
type planner struct {
	n    *Node
	kick chan struct{}

	lead atomic.Pointer[store.Lead] // nil: another node's planner is elected, or none yet

	stepping sync.Mutex // one step at a time, whoever takes it

	members []member.Host        // that were asked for last
	absent  map[string]time.Time // since when nodes show no sign of life; of the elected one
	down    map[ids.Drive]seenDown
	settled int64 // the map's revision at which there was nothing to move

	joins    sync.WaitGroup
	mu       sync.Mutex
	joining  map[rangeReplica]context.CancelFunc
	splits   map[ids.Range]bool      // under way here
	buckets  bool                    // deletions are being taken back
	dropping bool                    // replicas are leaving
	removing bool                    // pools are being removed
	lost     map[rangeReplica]bool   // replicas whose log or rows are gone though their drive is there (I10)
	stranded map[ids.Range]time.Time // since when a range had no quorum
}

// rangeReplica names one.
type rangeReplica struct {
	rng ids.Range
	id  ids.Replica
}

func newPlanner(n *Node) *planner {
	return &planner{
		n: n, kick: make(chan struct{}, 1),
		joining: map[rangeReplica]context.CancelFunc{}, absent: map[string]time.Time{}, splits: map[ids.Range]bool{},
		lost: map[rangeReplica]bool{}, stranded: map[ids.Range]time.Time{}, down: map[ids.Drive]seenDown{},
	}
}

func (p *planner) wake() {
	select {
	case p.kick <- struct{}{}:
	default:
	}
}

// run plans until ctx ends: when something changed, and from time to time.
func (p *planner) run(ctx context.Context) {
	defer p.joins.Wait()
	p.joins.Go(func() { p.follow(ctx) })
	tick := time.NewTicker(p.n.cfg.PlanEvery)
	defer tick.Stop()
	healed := int64(0)
	for {
		if err := p.step(ctx); err != nil && ctx.Err() == nil && !errors.Is(err, store.ErrConflict) {
			p.n.log.Warn("planning goes on later", "err", err)
		}
		healed = p.wakeHealer(healed)
		select {
		case <-ctx.Done():
			return
		case <-p.kick:
		case <-tick.C:
		}
	}
}

// followNodes wakes the planner when a node comes or goes.
func (p *planner) followNodes(ctx context.Context) {
	for m := p.n.store.Map(); ; p.wake() {
		var err error
		if m, err = p.n.store.Wait(ctx, func(now *placement.Map) bool { return !maps.Equal(now.Alive, m.Alive) }); err != nil {
			return
		}
	}
}

// wakeHealer has the healer look again when the map changed since the given revision, and as long as a drive is suspect:
// only the healer can say that it is so no more. It returns the revision that it saw.
func (p *planner) wakeHealer(seen int64) int64 {
	m := p.n.store.Map()
	suspect := false
	for _, d := range m.Drives {
		suspect = suspect || d.State == placement.DriveSuspect
	}
	if suspect || m.Revision != seen {
		p.n.heal.Kick()
	}
	return m.Revision
}

// step does what is next: of what each node does for its own drives and ranges, and, on the elected one, of what is done for all.
func (p *planner) step(ctx context.Context) error {
	p.stepping.Lock()
	defer p.stepping.Unlock()
	p.watchDown()
	err := errors.Join(
		p.stateDrives(ctx),
		p.yield(ctx),
		p.moveMembers(),
		p.markBegun(ctx),
		p.spreadLeaders(ctx),
	)
	doubted := store.DirectoryDoubted(p.n.store.Map()) // then it is compared with the replicas before anything is done by it
	if !doubted {
		err = errors.Join(err, p.recoverRanges(ctx), p.replaceLost(ctx), p.splitRanges(ctx))
	}
	if lead := p.lead.Load(); lead == nil {
		clear(p.absent) // who is elected looks for itself
	} else {
		p.removePools(ctx, lead)
		err = errors.Join(err,
			p.missNodes(ctx, lead),
			p.putOut(ctx, lead),
			p.giveUp(ctx, lead),
			p.moveSlots(ctx, lead),
			p.forgetMembers(ctx),
			p.raiseFloor(ctx),
			p.recoverBuckets(ctx),
		)
		if doubted {
			err = errors.Join(err, p.compareDirectory(ctx))
		} else {
			err = errors.Join(err, p.moveReplicas(ctx, lead))
		}
	}
	p.startJoins(ctx)
	return err
}

// election is what planners are elected under.
const election = "planner"

// keepElected stands for election again and again until ctx ends (I19).
func (p *planner) keepElected(ctx context.Context) {
	retry := backoff{least: 100 * time.Millisecond, most: 5 * time.Second}
	for ctx.Err() == nil {
		lead, err := p.n.store.Campaign(ctx, election, p.n.cfg.Name)
		if err != nil {
			retry.failed()
			pause(ctx, retry.wait)
			continue
		}
		retry.reset()
		p.lead.Store(lead)
		p.n.log.Debug("this node's planner is elected")
		p.wake()
		select {
		case <-lead.Done():
			p.lead.Store(nil)
		case <-ctx.Done():
			p.lead.Store(nil)
			resign(lead)
		}
	}
}

// resignWithin is how long a planner that stops tries to say so; else its election lapses by itself.
const resignWithin = time.Second

func resign(lead *store.Lead) {
	ctx, cancel := context.WithTimeout(context.Background(), resignWithin)
	defer cancel()
	_ = lead.Resign(ctx)
}

// missNodes says that the drives of nodes that show no sign of life are down. One that is just starting is waited for.
func (p *planner) missNodes(ctx context.Context, lead *store.Lead) error {
	var errs []error
	m := p.n.store.Map()
	missed := p.missing(m)
	for id, d := range m.Drives {
		if !missed[d.Node] || !d.Up() {
			continue
		}
		errs = append(errs, lead.SetDriveState(ctx, id, placement.DriveDown, "node "+d.Node+" shows no sign of life"))
	}
	return errors.Join(errs...)
}

// missing are the other nodes that have shown no sign of life for a while.
func (p *planner) missing(m *placement.Map) map[string]bool {
	now, grace := time.Now(), p.n.cfg.StrandedGrace
	missed := map[string]bool{}
	for name := range m.Nodes {
		switch since, known := p.absent[name]; {
		case name == p.n.cfg.Name || m.Alive[name]:
			delete(p.absent, name)
		case !known:
			p.absent[name] = now
			time.AfterFunc(grace, p.wake)
		case now.Sub(since) >= grace:
			missed[name] = true
		}
	}
	return missed
}

// stateDrives says again what the map did not take when it happened.
func (p *planner) stateDrives(ctx context.Context) error {
	n := p.n
	var errs []error
	for id, d := range n.store.Map().Drives {
		if d.Node != n.cfg.Name {
			continue
		}
		b := cmp.Or(n.bays.bayOf(id), n.bays.at(d.Path))
		if b == nil {
			errs = append(errs, p.stateDrive(ctx, id))
			continue
		}
		if b.work.TryLock() { // else its watcher is changing just that
			errs = append(errs, p.stateDrive(ctx, id))
			b.work.Unlock()
		}
	}
	return errors.Join(errs...)
}

// stateDrive does so for one drive; nobody puts it in or takes it out meanwhile.
func (p *planner) stateDrive(ctx context.Context, id ids.Drive) (err error) {
	n := p.n
	d, open := n.store.Map().Drives[id], n.bays.drive(id) != nil
	switch {
	case d == nil:
	case !open && d.Up():
		n.bays.setMissed(id, true)
		if err = n.store.SetDriveState(ctx, id, placement.DriveDown, n.bays.problemOf(id)); err == nil {
			n.bays.setMissed(id, false)
		}
	case open && (d.State == placement.DriveDown || d.State == placement.DriveUp && n.bays.hasMissed(id)):
		if err = n.store.SetDriveState(ctx, id, placement.DriveSuspect, wasAway); err == nil {
			n.bays.setMissed(id, false)
		}
	}
	return err
}

// yieldWithin is how long handing leadership over may take.
const yieldWithin = 2 * time.Second

// yield has suspect drives hand leadership over where another one can lead (I12).
func (p *planner) yield(ctx context.Context) error {
	m := p.n.store.Map()
	for _, r := range p.n.records.Status() {
		if lead := m.Drives[r.Leader]; lead == nil || lead.State != placement.DriveSuspect {
			continue
		}
		if slices.ContainsFunc(r.Replicas, func(rep meta.ReplicaStatus) bool {
			d := m.Drives[rep.Drive]
			return rep.Here && !rep.Joining && d != nil && d.State == placement.DriveUp
		}) {
			within, cancel := context.WithTimeout(ctx, yieldWithin)
			p.n.records.Yield(within, r.Leader)
			cancel()
		}
	}
	return nil
}

// putOut ends replacements that were cut short: the new drive is in the map, the one before it is not out yet.
func (p *planner) putOut(ctx context.Context, lead *store.Lead) error {
	if _, held := p.n.held(p.n.cfg.Now()); held {
		return nil
	}
	m := p.n.store.Map()
	for _, d := range m.Drives {
		old := m.Drives[d.Replaces]
		if old == nil || old.State == placement.DriveOut || p.n.bays.drive(old.ID) != nil {
			continue
		}
		if err := lead.SetDriveState(ctx, old.ID, placement.DriveOut, "replaced by "+d.ID.String()); err != nil {
			return err
		}
	}
	return nil
}

// seenDown is since when this process knows that a drive is down.
type seenDown struct {
	row  time.Time // placement.Drive.Since, by whoever's clock
	seen time.Time
}

// watchDown notes which drives are down.
func (p *planner) watchDown() {
	m := p.n.store.Map()
	for id, d := range m.Drives {
		if d.State == placement.DriveDown && !p.down[id].row.Equal(d.Since) {
			p.down[id] = seenDown{d.Since, time.Now()}
			time.AfterFunc(p.n.cfg.StrandedGrace, p.wake)
		}
	}
	maps.DeleteFunc(p.down, func(id ids.Drive, _ seenDown) bool {
		d := m.Drives[id]
		return d == nil || d.State != placement.DriveDown
	})
}

// downFor is for how long this process has seen d as it is: down.
func (p *planner) downFor(d *placement.Drive) time.Duration {
	if s, ok := p.down[d.ID]; ok && s.row.Equal(d.Since) {
		return time.Since(s.seen)
	}
	return 0
}

// giveUp puts a drive out that has been down too long, where nothing speaks against it (I19).
func (p *planner) giveUp(ctx context.Context, lead *store.Lead) error {
	n := p.n
	_, held := n.held(n.cfg.Now())
	look := plan.Outlook{
		Down: p.downFor, Etcd: n.store.Unbroken(), Held: held,
		OutAfter: n.cfg.OutAfter, EtcdGrace: n.cfg.EtcdGrace,
	}
	if plan.GiveUp(n.store.Map(), look).IsZero() {
		return nil // whoever answers would only speak against it: nobody need be asked
	}
	look.Answering = n.answering(ctx)
	if err := n.store.Sync(ctx); err != nil { // the map may not have heard yet who is back
		return err
	}
	m := n.store.Map()
	d := m.Drives[plan.GiveUp(m, look)]
	if d == nil {
		return nil
	}
	if err := lead.GiveUp(ctx, d, "down for more than "+n.cfg.OutAfter.String()); err != nil {
		return err
	}
	n.log.Warn("drive given up", "drive", d.ID, "path", d.Path, "down since", d.Since)
	return nil // moveSlots does the rest, also after a crash; the others by the map as it is then
}

// spreadLeaders hands a range that this node leads to the drive that should lead it, one at a look. The only range of a node stays where
// it is.
func (p *planner) spreadLeaders(ctx context.Context) error {
	n, m := p.n, p.n.store.Map()
	want := plan.Leaders(m)
	for _, r := range n.records.Status() {
		to := m.Drives[want[r.ID]]
		if to == nil || len(m.Ranges) == 1 && to.Node == n.cfg.Name {
			continue
		}
		if to.ID == r.Leader || !n.records.Leads(r.ID) || to.Node != n.cfg.Name && !m.Alive[to.Node] {
			continue
		}
		within, cancel := context.WithTimeout(ctx, yieldWithin)
		defer cancel()
		return n.records.HandOver(within, r.ID, to.ID)
	}
	return nil
}

// forgetMembers has etcd forget the members on drives that are out and whose node does not take them away itself.
func (p *planner) forgetMembers(ctx context.Context) error {
	n, m := p.n, p.n.store.Map()
	if n.members == nil {
		return nil
	}
	var errs []error
	for _, mem := range n.members.Members() {
		d := m.Drives[mem.Drive]
		gone := d != nil && d.State == placement.DriveOut || mem.Node != "" && m.Nodes[mem.Node] == nil
		if mem.Node == n.cfg.Name || m.Alive[mem.Node] || !gone {
			continue
		}
		within, cancel := context.WithTimeout(ctx, yieldWithin)
		errs = append(errs, n.members.Remove(within, mem.Name))
		cancel()
	}
	return errors.Join(errs...)
}

// moveMembers has the embedded etcd's members on the drives that the plan says.
func (p *planner) moveMembers() error {
	n := p.n
	if n.members == nil {
		return nil
	}
	var current []ids.Drive
	for _, m := range n.members.Members() {
		if m.Drive.IsZero() {
			return nil // another node is about to say where it is
		}
		current = append(current, m.Drive)
	}
	slices.SortFunc(current, func(a, b ids.Drive) int { return bytes.Compare(a[:], b[:]) }) // all nodes come to the same
	var want []member.Host
	for _, id := range plan.EtcdHosts(n.store.Map(), current) {
		if d := n.bays.drive(id); d != nil {
			want = append(want, member.Host{Drive: id, Path: d.Path()})
		} else if b := n.bays.bayOf(id); b != nil {
			want = append(want, member.Host{Drive: id, Path: b.path})
		}
	}
	if slices.EqualFunc(want, p.members, func(a, b member.Host) bool { return a == b }) {
		return nil
	}
	p.members = want
	taken, cancel := context.WithCancel(n.loopCtx)
	cancel() // the supervisor takes the order, carries it out by itself and says so: nobody waits for it here
	_ = n.members.Reconcile(taken, want)
	return nil
}
