package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/sherd-io/sherd/disk"
	"github.com/sherd-io/sherd/gateway"
	"github.com/sherd-io/sherd/internal/adminapi"
	"github.com/sherd-io/sherd/placement"
	"github.com/sherd-io/sherd/placement/store"
)

// A drive that is added while the node runs is noted so in the map (Drive.Added). The next start finds it by the copy of the
// control state on the other drives, before etcd is started, or by the map: its path need not be among the arguments.

// addDrive takes the blank directory at a path of this node as one more drive.
func (a admin) addDrive(ctx context.Context, req adminapi.DriveRequest) (any, error) {
	n := a.n
	path := filepath.Clean(req.Drive)
	if !filepath.IsAbs(path) {
		return nil, fmt.Errorf("%w: %s is not an absolute path", gateway.ErrBadCall, req.Drive)
	}
	n.adding.Lock()
	defer n.adding.Unlock()
	for _, b := range n.bays.list() {
		switch d, _, _ := b.current(); {
		case b.path == path && d != nil:
			return nil, fmt.Errorf("%w: %s is a drive in service already", gateway.ErrConflict, path)
		case b.path == path:
			return nil, fmt.Errorf("%w: %s is one of the server's drives, and not in service: see `sherd status`; an empty one is taken by `sherd drive replace`", gateway.ErrConflict, path)
		case inside(path, b.path), inside(b.path, path):
			return nil, fmt.Errorf("%w: of %s and %s one is inside of the other", gateway.ErrConflict, path, b.path)
		}
	}
	b := n.bays.add(path)
	if err := n.begin(ctx, b); err != nil {
		n.bays.drop(b)
		return nil, err
	}
	n.loops.Go(func() { n.watch(n.loopCtx, b) })
	_, id, _ := b.current()
	return a.drive(ctx, id)
}

func inside(path, dir string) bool { return strings.HasPrefix(path, strings.TrimRight(dir, "/")+"/") }

// begin makes a drive of a blank path, or takes one of this cluster that is there, and notes that it was added.
func (n *Node) begin(ctx context.Context, b *bay) error {
	b.work.Lock()
	defer b.work.Unlock()
	l, err := n.lookAt(ctx, b)
	if err = cmp.Or(err, l.err); err != nil {
		return fmt.Errorf("%w: %s: %w", gateway.ErrConflict, b.path, err)
	}
	switch {
	case l.absent, l.state == disk.Blank:
		err = n.replace(ctx, b)
	case l.state == disk.Formatted && l.id.Cluster != n.cluster:
		err = fmt.Errorf("%w: %w", gateway.ErrConflict, n.otherCluster(b, l))
	case l.state == disk.Formatted:
		if err = n.gone(b, l.id.Drive); err == nil {
			b.setLast(l.id.Drive)
			err = n.serve(ctx, b)
		}
	default:
		err = fmt.Errorf("%w: %w", gateway.ErrConflict, l.problem(b))
	}
	if errors.Is(err, errGivenUp) || errors.Is(err, errRemoved) || errors.Is(err, errOfAnother) || errors.Is(err, errCopy) {
		return fmt.Errorf("%w: %w", gateway.ErrConflict, err)
	}
	if err != nil {
		return err
	}
	_, id, _ := b.current()
	return n.store.EditDrive(ctx, id, func(d *placement.Drive) error {
		d.Added = true
		return nil
	})
}

// openAdded opens the drives that were added to this node by command, by the newest copy of the control state.
func (n *Node) openAdded(ctx, _ context.Context) error {
	within, cancel := context.WithTimeout(ctx, n.cfg.Patience)
	defer cancel()
	var paths []string
	for _, b := range n.bays.list() {
		paths = append(paths, b.path)
	}
	_, newest := store.ReadCopies(within, n.cluster, paths)
	if newest == nil {
		return nil
	}
	m, err := newest.Map()
	if err != nil {
		n.log.Warn("drives that were added are looked for later: the copy of the control state cannot be read", "err", err)
		return nil
	}
	return n.openAddedIn(ctx, m)
}

// openAddedLate opens those that the copy did not have yet.
func (n *Node) openAddedLate(ctx, _ context.Context) error { return n.openAddedIn(ctx, n.store.Map()) }

// openAddedIn opens those of a map that have no bay yet.
func (n *Node) openAddedIn(ctx context.Context, m *placement.Map) error {
	var fresh []*bay
	for _, d := range m.Drives {
		if d.Added && d.Node == n.cfg.Name && d.State != placement.DriveOut && n.bays.at(d.Path) == nil && n.bays.bayOf(d.ID) == nil {
			b := n.bays.add(d.Path)
			b.setLast(d.ID)
			fresh = append(fresh, b)
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	return n.openAll(ctx, fresh)
}

// dropRemoved lets go of drives that were taken out of the cluster.
func (n *Node) dropRemoved(ctx context.Context) {
	m := n.store.Map()
	for _, b := range n.bays.list() {
		d, id, _ := b.current()
		if row := m.Drives[id]; d == nil || row == nil || !row.Removed {
			continue
		}
		b.work.Lock()
		if d := n.bays.remove(b, "removed"); d != nil {
			n.records.RemoveDrive(id, errRemoved)
			n.letGo(b, d)
		}
		n.bays.drop(b) // still at work: to its watcher, the bay is not empty but gone
		b.work.Unlock()
	}
}
