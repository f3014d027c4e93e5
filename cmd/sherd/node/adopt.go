package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/errors/oserror"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sherd-io/sherd/disk"
	"github.com/sherd-io/sherd/gateway"
)

var errNotAdopted = errors.New("not adopted by itself")

// adopt formats a blank directory as a new drive in the place of the one that was there.
func (n *Node) adopt(ctx context.Context, b *bay) error {
	since := b.answered(true)
	if err := n.mayAdopt(b, since); err != nil {
		return err
	}
	return n.replace(ctx, b)
}

// unmounted reports whether b's path was a mount point and is none now: then blank means that the mount is missing.
func (n *Node) unmounted(b *bay) bool {
	_, last, _ := b.current()
	rec := n.store.Map().Drives[last]
	return rec != nil && rec.Mount && !disk.Mounted(n.cfg.FS, b.path)
}

// mayAdopt holds I10: never soon after a restore (I9), never more than m at once, never where a mount is missing, never with --auto-replace=false. That
// there are no more than m is known when every other path was looked at after this one was found blank. A directory that somebody is just
// removing, or copying a drive into, is empty for a moment too.
func (n *Node) mayAdopt(b *bay, since time.Time) error {
	if n.unmounted(b) {
		return fmt.Errorf("%s is not mounted: mount it, or `sherd drive replace --force %s`: %w", b.path, b.path, errNotAdopted)
	}
	if n.cfg.NoReplace {
		return fmt.Errorf("%s is empty: run `sherd drive replace %s` (--auto-replace is off): %w", b.path, b.path, errNotAdopted)
	}
	if until, held := n.held(n.cfg.Now()); held {
		return fmt.Errorf("%s is empty, and the control state was just restored: run `sherd drive replace %s`, or wait until %s: %w",
			b.path, b.path, until.Format(time.TimeOnly), errNotAdopted)
	}
	empty, sure := n.bays.blank(since)
	if m := n.parity(); empty > m {
		return fmt.Errorf("%s is empty, and so are %d drives at once, more than the %d whose loss is covered: check the mounts, then `sherd drive replace --force %s`: %w",
			b.path, empty, m, b.path, errNotAdopted)
	}
	if !sure {
		n.bays.lookAtOthers(b)
	}
	if !sure || time.Since(since) < n.cfg.CheckEvery {
		return fmt.Errorf("%w: %s is empty; it is adopted when it has stayed so and the others have been looked at", errSoon, b.path)
	}
	return nil
}

// parity is m of the pool that has most.
func (n *Node) parity() (m int) {
	for _, p := range n.store.Map().Pools {
		m = max(m, p.M)
	}
	return m
}

// adoptedFile is in a drive that was not formatted at the cluster's first start: though it holds nothing yet, the
// cluster has a history.
const adoptedFile = "adopted"

func adopted(fs vfs.FS, path string) (bool, error) {
	_, err := fs.Stat(fs.PathJoin(path, adoptedFile))
	if oserror.IsNotExist(err) {
		return false, nil
	}
	return err == nil, err
}

// replace formats b's blank path and puts the new drive in service.
func (n *Node) replace(ctx context.Context, b *bay) error {
	var id disk.Identity
	var failed error
	opt := n.driveOptions(b)
	err := b.calls.ask(ctx, n.cfg.HangAfter, "formatting "+b.path, func() {
		if id, failed = disk.Format(opt, n.cluster); failed == nil {
			failed = mark(opt.FS, b.path)
		}
	})
	if err != nil { // failed is still the call's own
		return err
	}
	if failed != nil {
		return failed
	}
	b.answered(false)
	n.log.Info("blank directory adopted as a new drive", "path", b.path, "drive", id.Drive)
	return n.serve(ctx, b)
}

func mark(fs vfs.FS, path string) error {
	f, err := fs.Create(fs.PathJoin(path, adoptedFile), vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	err = errors.Join(f.Sync(), f.Close())
	dir, dirErr := fs.OpenDir(path)
	if dirErr != nil {
		return errors.Join(err, dirErr)
	}
	return errors.Join(err, dir.Sync(), dir.Close())
}

// replaceByHand is replace without I10's caution about many blank drives: a person vouches for it.
func (n *Node) replaceByHand(ctx context.Context, b *bay, force bool) error {
	b.work.Lock()
	defer b.work.Unlock()
	if d, _, _ := b.current(); d != nil {
		return fmt.Errorf("%w: the drive at %s is in service", gateway.ErrConflict, b.path)
	}
	l, err := n.lookAt(ctx, b)
	if err = cmp.Or(err, l.err); err != nil {
		return fmt.Errorf("%w: %s: %w", gateway.ErrConflict, b.path, err)
	}
	blank, _ := n.bays.blank(time.Time{})
	missing := l.state == disk.NotMounted || n.unmounted(b)
	switch {
	case missing && !force:
		return fmt.Errorf("%w: %s was a mount point and is none now: mount it, or use --force", gateway.ErrConflict, b.path)
	case l.state == disk.Blank && !force && blank > n.parity():
		return fmt.Errorf("%w: more drives are blank at once than the %d whose loss is covered: check the mounts, or use --force", gateway.ErrConflict, n.parity())
	case l.state == disk.Blank:
		return n.replace(ctx, b)
	}
	return fmt.Errorf("%w: %s is not blank: %s", gateway.ErrConflict, b.path, l.state)
}
