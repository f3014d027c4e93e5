package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/cockroachdb/errors/oserror"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sherd-io/sherd/cmd/sherd/node/cluster"
	"github.com/sherd-io/sherd/disk"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta/keys"
	"github.com/sherd-io/sherd/placement/store"
)

// watch looks after one bay until ctx ends or the bay is dropped: each second, or when kicked.
func (n *Node) watch(ctx context.Context, b *bay) {
	tick := time.NewTicker(n.cfg.CheckEvery)
	defer tick.Stop()
	retry := backoff{least: n.cfg.CheckEvery, most: 30 * n.cfg.CheckEvery}
	for {
		select {
		case <-ctx.Done():
			return
		case <-b.dropped:
			return
		case <-tick.C:
		case <-b.kick:
			retry.reset()
		}
		n.tend(ctx, b, &retry)
	}
}

// tend checks the drive in b, or tries to put one there.
func (n *Node) tend(ctx context.Context, b *bay, retry *backoff) {
	b.work.Lock()
	defer b.work.Unlock()
	if b.wasDropped() { // while its watcher waited for work
		return
	}
	if d, _, _ := b.current(); d != nil {
		if err := cmp.Or(n.check(ctx, b, d), b.doubted()); err != nil && ctx.Err() == nil {
			n.lose(ctx, b, err)
			retry.reset()
		}
		return
	}
	if !retry.due() {
		return
	}
	err := n.fill(ctx, b)
	switch {
	case ctx.Err() != nil:
	case errors.Is(err, errSoon):
		retry.reset()
		n.note(b, err)
	case err != nil:
		n.note(b, err)
		retry.failed()
	default:
		retry.reset()
	}
}

// check is usable, for as long as one may wait for it.
func (n *Node) check(ctx context.Context, b *bay, d *disk.Drive) error {
	var found error
	if err := b.calls.ask(ctx, n.cfg.Patience, "a look at "+b.path, func() { found = usable(d) }); err != nil {
		if errors.Is(err, errSilent) {
			b.setSilent()
		}
		return err
	}
	b.answered(false)
	return found
}

// usable tells what is wrong with an open drive: another directory in its place, or errors of its own.
func usable(d *disk.Drive) error {
	if err := d.Check(); err != nil {
		return err
	}
	if h := d.Health(); h.State != disk.OK {
		return fmt.Errorf("%s: %s", h.State, h.Reason)
	}
	return nil
}

// lose takes a drive out of service: requests find it no more, its replicas are abandoned, the map says so.
func (n *Node) lose(ctx context.Context, b *bay, cause error) {
	d := n.bays.remove(b, cause.Error())
	if d == nil {
		return
	}
	n.log.Error("drive lost", "path", b.path, "drive", d.ID(), "err", cause)
	n.bays.setMissed(d.ID(), true)
	n.records.RemoveDrive(d.ID(), cause)
	n.letGo(b, d)
	if n.reportDown(ctx, d.ID(), cause.Error()) == nil {
		n.bays.setMissed(d.ID(), false)
	}
	n.planner.wake()
}

// letGo closes a drive that nobody finds any more, without waiting for it.
func (n *Node) letGo(b *bay, d *disk.Drive) {
	n.closing.Go(func() {
		if err := d.Close(); err != nil {
			n.log.Warn("closing a lost drive", "path", b.path, "err", err)
		}
	})
}

// fill opens what is in an empty bay: the drive that was there, or, where I10 allows it, a blank directory that
// becomes a new drive in its place.
func (n *Node) fill(ctx context.Context, b *bay) error {
	if b.opening != nil {
		b.answered(false) // it was no blank path that is being opened
		return n.serve(ctx, b)
	}
	l, err := n.lookAt(ctx, b)
	if err != nil {
		return err
	}
	switch {
	case l.absent:
		return fmt.Errorf("the directory %s is gone: bring it back, or make an empty one in its place", b.path)
	case l.err != nil:
		return l.err
	case l.state == disk.Formatted && l.id.Cluster != n.cluster:
		return n.otherCluster(b, l)
	case l.state == disk.Formatted && n.stray(&l):
		return n.ofAnother(b, l.id.Drive, l.node)
	case l.state == disk.Formatted:
		if err := cmp.Or(n.original(b, l.id.Drive), n.gone(b, l.id.Drive)); err != nil {
			return err
		}
		b.setLast(l.id.Drive)
		return n.serve(ctx, b)
	case l.state == disk.Blank:
		return n.adopt(ctx, b)
	case l.state == disk.Foreign && l.residue && n.wasHere(b):
		return n.sweep(ctx, b)
	}
	return l.problem(b)
}

// errCopy reports that two paths hold the drive of one id: a directory was copied. The copy is of another time; its
// replicas voted, and its chunks were deleted and written, without it (I10).
var errCopy = errors.New("one of them is a copy: empty it to use it as a new drive")

// original refuses a drive that another path holds too, unless that one is out of service and the map has this one's path.
func (n *Node) original(b *bay, id ids.Drive) error {
	twins, inService := n.bays.twins(b, id)
	if len(twins) == 0 {
		return nil
	}
	rec := n.store.Map().Drives[id]
	if !inService && rec != nil && rec.Node == n.cfg.Name && rec.Path == b.path {
		return nil
	}
	return copyOfDrive(b, twins, id)
}

func copyOfDrive(b *bay, twins []*bay, id ids.Drive) error {
	paths := []string{b.path}
	for _, t := range twins {
		paths = append(paths, t.path)
	}
	return fmt.Errorf("%s hold the same drive, %s: %w", strings.Join(paths, " and "), id, errCopy)
}

func (n *Node) otherCluster(b *bay, l look) error {
	return fmt.Errorf("%s is a drive of another cluster (%s); this one is %s", b.path, l.id.Cluster, n.cluster)
}

// look is what was found at a path.
type look struct {
	id      disk.Identity
	state   disk.State
	absent  bool
	node    string // of the papers of a formatted drive; empty: it has none
	residue bool   // nothing but what others than the drive may have written after it was wiped
	err     error
}

func (l *look) problem(b *bay) error {
	if l.state == disk.Foreign {
		return fmt.Errorf("%s: %s: it holds something else than a drive; empty it to use it as one", b.path, l.state)
	}
	return fmt.Errorf("%s: %s", b.path, l.state)
}

// lookAt looks at what is in an empty bay, changing nothing. b.work is held, or nobody else knows b yet.
//
// Errors: errSilent, ctx's. What the file system says is in the look.
func (n *Node) lookAt(ctx context.Context, b *bay) (look, error) {
	fs := n.cfg.FS
	var l look // the call's own, if it is given up
	err := b.calls.ask(ctx, n.cfg.Patience, "a look at "+b.path, func() {
		if _, err := fs.Stat(b.path); oserror.IsNotExist(err) {
			l.absent = true
			return
		}
		l.id, l.state, l.err = disk.Probe(fs, b.path)
		if l.err == nil && l.state == disk.Formatted {
			l.node = cluster.NodeOf(b.path)
		}
		l.residue = l.state == disk.Foreign && l.err == nil && residue(fs, b.path)
	})
	if err != nil {
		if errors.Is(err, errSilent) {
			b.setSilent()
		}
		return look{}, err
	}
	var holds ids.Drive
	if l.err == nil && l.state == disk.Formatted {
		holds = l.id.Drive
	}
	b.setHolds(holds) // first: what was looked at counts as known (mayAdopt)
	b.answered(!l.absent && l.err == nil && l.state == disk.Blank)
	return l, nil
}

// wasHere reports whether this process had a drive at b's path.
func (n *Node) wasHere(b *bay) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.served.IsZero()
}

// residue reports whether a directory holds only what other parts of the process write into a drive: it may have been
// wiped just while they did.
func residue(fs vfs.FS, path string) bool {
	names, err := fs.List(path)
	for _, name := range names {
		switch {
		case name == etcdDir, name == stagingDir, name == lostFound, kept(name):
		default:
			return false
		}
	}
	return err == nil
}

// kept reports a control copy or the key of the cluster's secrets, which are written again where they are missing, or one half written.
func kept(name string) bool {
	for _, file := range []string{store.CopyFile, store.KeyFile} {
		if name == file || strings.HasPrefix(name, "."+file+".tmp") {
			return true
		}
	}
	return false
}

const (
	etcdDir   = "etcd"
	lostFound = "lost+found"
)

// sweep takes residue away; then the path is blank.
func (n *Node) sweep(ctx context.Context, b *bay) error {
	var failed error
	fs := n.cfg.FS
	err := b.calls.ask(ctx, n.cfg.Patience, "clearing "+b.path, func() {
		if !residue(fs, b.path) { // it has become something else
			return
		}
		names, err := fs.List(b.path)
		failed = err
		for _, name := range names {
			if name != lostFound {
				failed = errors.Join(failed, fs.RemoveAll(fs.PathJoin(b.path, name)))
			}
		}
	})
	if err != nil { // failed is still the call's own
		return err
	}
	if failed != nil {
		return failed
	}
	return fmt.Errorf("%w: %s was wiped while it was written to", errSoon, b.path)
}

// open opens the drive in b. One that takes longer than patience goes on being opened; the next call waits for it again.
//
// Errors: errSoon while it goes on; ctx's; disk.Open's.
func (n *Node) open(ctx context.Context, b *bay, patience time.Duration) (*disk.Drive, error) {
	if b.opening == nil {
		b.opening = n.startOpening(b)
	}
	limit := time.NewTimer(patience)
	defer limit.Stop()
	select {
	case o := <-b.opening:
		b.opening = nil
		b.setDevice(o.device)
		return o.drive, o.err
	case <-limit.C:
		return nil, fmt.Errorf("%w: %s is being opened", errSoon, b.path)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// errSoon reports what needs no more than another look a little later.
var errSoon = errors.New("not yet")

func (n *Node) startOpening(b *bay) chan opened {
	result := make(chan opened, 1)
	opt := n.driveOptions(b)
	go func() { // whoever has b.opening takes the result: the bay's watcher, or Close
		d, err := disk.Open(opt)
		result <- opened{d, device(opt.Path), err}
	}()
	return result
}

// serve opens the formatted drive in b and gives it to all who use drives.
func (n *Node) serve(ctx context.Context, b *bay) error {
	d, err := n.open(ctx, b, n.cfg.Patience)
	if err != nil {
		return err
	}
	err = n.original(b, d.ID())
	if err == nil {
		err = n.enlist(ctx, b, d)
	}
	if err != nil {
		n.letGo(b, d)
		return err
	}
	n.bays.insert(b, d)
	if err := n.serveReplicas(d); err != nil {
		err = fmt.Errorf("opening the replicas on %s: %w", b.path, err)
		n.lose(ctx, b, err)
		return err
	}
	n.log.Info("drive in service", "path", b.path, "drive", d.ID())
	n.mend(b, d)
	n.planner.wake()
	n.heal.Kick()
	return nil
}

func (n *Node) note(b *bay, err error) {
	b.mu.Lock()
	changed := b.problem != err.Error()
	b.problem = err.Error()
	b.mu.Unlock()
	if changed {
		n.log.Warn("drive not in service", "path", b.path, "err", err)
	}
}

func (n *Node) driveOptions(b *bay) disk.Options {
	return disk.Options{
		FS:            n.cfg.FS,
		Path:          b.path,
		Comparer:      keys.Comparer,
		Cache:         n.cache,
		Buffers:       n.buffers,
		MemtableBytes: int(n.budget.Memtable),
		HangAfter:     n.cfg.HangAfter,
		OnHealth:      func(disk.Health) { b.look() },
		Logger:        n.log,
	}
}

// backoff spaces tries out, doubling from least to most.
type backoff struct {
	least, most time.Duration
	wait        time.Duration
	next        time.Time
}

func (b *backoff) due() bool { return !time.Now().Before(b.next) }

func (b *backoff) reset() { b.wait, b.next = 0, time.Time{} }

func (b *backoff) failed() {
	b.wait = min(max(2*b.wait, b.least), b.most)
	b.next = time.Now().Add(b.wait)
}
