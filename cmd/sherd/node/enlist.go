package node

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/sherd-io/sherd/disk"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/placement"
	"github.com/sherd-io/sherd/placement/plan"
	"github.com/sherd-io/sherd/placement/store"
)

// errGivenUp reports a drive that was away for too long, or replaced: its id does not come back (I10).
var errGivenUp = errors.New("it was given up, and does not come back under its id: empty the directory to use it as a new drive")

// errRemoved reports a drive that an operator took out of the cluster.
var errRemoved = errors.New("it was removed from the cluster: take its path from the server's drives, or empty the directory to use it as a new one")

// errOfAnother reports a drive that the map has at another node: that one answers for it, whoever holds it now.
var errOfAnother = errors.New("a drive stays with its node: give it to that one, or, if that node has another name now, start it under its old one")

const wasAway = "was away; catching up"

// enlistAll brings the map and the drives that were opened before it was known together: those it knows first, so that no
// new one is taken for the heir of a drive that has only moved to another path.
func (n *Node) enlistAll(ctx context.Context) error {
	var fresh []*bay
	for _, b := range n.bays.list() {
		d, id, _ := b.current()
		switch {
		case d == nil:
		case n.store.Map().Drives[id] == nil:
			fresh = append(fresh, b)
		default:
			if err := n.enlistAtStart(ctx, b, d); err != nil {
				return err
			}
		}
	}
	for _, b := range fresh {
		if d, _, _ := b.current(); d != nil {
			if err := n.enlistAtStart(ctx, b, d); err != nil {
				return err
			}
		}
	}
	for _, b := range n.bays.list() {
		if d, _, _ := b.current(); d == nil {
			n.remember(b)
		}
	}
	for id, d := range n.store.Map().Drives {
		if d.Node == n.cfg.Name && n.bays.drive(id) == nil && d.Up() {
			_ = n.reportDown(ctx, id, "not there when the node started") // the planner says it again
		}
	}
	return nil
}

// keepName refuses a start in which all drives that the map knows are those of another node: it would be that node's, dead under its
// name and with nothing under the new one.
func (n *Node) keepName() error {
	other := ""
	for id := range *n.bays.byID.Load() {
		switch known := n.store.Map().Drives[id]; {
		case known == nil || known.State == placement.DriveOut:
		case known.Node == n.cfg.Name:
			return nil
		default:
			other = known.Node
		}
	}
	if other != "" {
		return errRenamed(other, n.cfg.Name)
	}
	return nil
}

func errRenamed(was, is string) error {
	return fmt.Errorf("the drives are those of node %q, and this is started as %q: a node keeps its name: give --node %s", was, is, was)
}

// enlistAtStart is enlist, where a drive that is refused is put out of service alone.
func (n *Node) enlistAtStart(ctx context.Context, b *bay, d *disk.Drive) error {
	err := n.enlist(ctx, b, d)
	if errors.Is(err, errGivenUp) || errors.Is(err, errRemoved) || errors.Is(err, errOfAnother) {
		n.bays.remove(b, "")
		n.letGo(b, d)
		n.note(b, err)
		return nil
	}
	return err
}

// remember gives a bay without a drive the id of the one that the map has at its path.
func (n *Node) remember(b *bay) {
	if old := n.ownerOf(b.path); old != nil {
		b.setLast(old.ID)
	}
}

// ownerOf is the drive that the map has at a path; nil if there is none, or it has moved to another path, where it may be opened just now.
func (n *Node) ownerOf(path string) *placement.Drive {
	for id, d := range n.store.Map().Drives {
		if d.Node != n.cfg.Name || d.Path != path || d.State == placement.DriveOut {
			continue
		}
		elsewhere, _ := n.bays.twins(n.bays.at(path), id)
		if b := n.bays.bayOf(id); len(elsewhere) == 0 && (b == nil || b.path == path) {
			return d
		}
	}
	return nil
}

// enlist sees to it that the map has the drive that is in b, and what it says of it. While etcd is away a drive that the
// map knows is taken all the same: the planner says it again later.
//
// Errors: errGivenUp, errRemoved, errOfAnother, store.ErrUnavailable.
func (n *Node) enlist(ctx context.Context, b *bay, d *disk.Drive) error {
	known := n.store.Map().Drives[d.ID()]
	if known == nil {
		return n.enlistNew(ctx, b, d)
	}
	if err := n.gone(b, d.ID()); err != nil {
		return err
	}
	err := n.enlistKnown(ctx, b, d, known)
	if errors.Is(err, store.ErrUnavailable) {
		n.bays.setMissed(d.ID(), true)
		n.log.Warn("the map could not be told of a drive that is back", "drive", d.ID(), "err", err)
		return nil
	}
	return err
}

// gone tells why the drive of that id does not come back.
func (n *Node) gone(b *bay, id ids.Drive) error {
	switch known := n.store.Map().Drives[id]; {
	case known == nil:
		return nil
	case known.State != placement.DriveOut && known.Node != n.cfg.Name:
		return n.ofAnother(b, id, known.Node)
	case known.State != placement.DriveOut:
		return nil
	case known.Removed:
		return fmt.Errorf("%s: drive %s: %w", b.path, id, errRemoved)
	default:
		return fmt.Errorf("%s: drive %s, since %s: %w", b.path, id, known.Since.Format("2006-01-02 15:04"), errGivenUp)
	}
}

// stray reports whether the papers on a drive are those of another node. It is not even opened: its member of etcd is that node's, which
// would remove what this one makes of it, and the other way round.
func (n *Node) stray(l *look) bool { return l.node != "" && l.node != n.cfg.Name }

func (n *Node) ofAnother(b *bay, id ids.Drive, node string) error {
	return fmt.Errorf("%s: drive %s is one of node %s, and this is node %s: %w", b.path, id, node, n.cfg.Name, errOfAnother)
}

func (n *Node) enlistKnown(ctx context.Context, b *bay, d *disk.Drive, known *placement.Drive) error {
	missed := known.State == placement.DriveDown || known.State == placement.DriveUp && n.bays.hasMissed(d.ID())
	if missed {
		if err := n.store.SetDriveState(ctx, d.ID(), placement.DriveSuspect, wasAway); err != nil {
			return err
		}
	}
	n.bays.setMissed(d.ID(), false)
	if known.Path == b.path && known.Bytes == d.Space().Total {
		return nil
	}
	return n.store.EditDrive(ctx, d.ID(), func(r *placement.Drive) error {
		r.Path, r.Bytes = b.path, d.Space().Total
		return nil
	})
}

// enlistNew adds a drive that was just formatted, in the place of the one that the map has at its path.
func (n *Node) enlistNew(ctx context.Context, b *bay, d *disk.Drive) error {
	fresh := n.record(b.path, d)
	fresh.Weight = plan.WeightOf(fresh)
	old := n.ownerOf(b.path)
	if old == nil {
		return n.store.AddDrive(ctx, fresh)
	}
	if !byCapacity(old) {
		fresh.Weight = old.Weight // as somebody set it
	}
	fresh.Mount = fresh.Mount || old.Mount
	return n.store.ReplaceDrive(ctx, old.ID, fresh, "replaced by "+d.ID().String())
}

// byCapacity reports a weight that nobody has set. The size that was weighed may have changed a little since.
func byCapacity(d *placement.Drive) bool {
	own := *d
	own.Weight = 0
	return math.Abs(d.Weight-plan.WeightOf(&own)) <= d.Weight/100
}

// reportDown tells the map that a drive does not answer. When etcd is away the planner says it again later.
func (n *Node) reportDown(ctx context.Context, id ids.Drive, reason string) error {
	err := n.store.SetDriveState(ctx, id, placement.DriveDown, reason)
	if err != nil {
		n.log.Warn("the map could not be told of a lost drive", "drive", id, "err", err)
	}
	return err
}
