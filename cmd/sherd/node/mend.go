package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sherd-io/sherd/disk"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/placement"
)

const (
	compareAgain  = 5 * time.Second // after a comparison that failed
	replaceWithin = 2 * time.Minute // for a drive whose state was discarded to be whole again
)

// mend sees to a drive that opened without chunks it should have, now or before this process began. It counts as suspect, however few
// repair rows name it, until every row was compared with what it has: only then do the repair rows say all that it lacks (I2).
func (n *Node) mend(b *bay, d *disk.Drive) {
	if !d.ChunksLost() {
		return
	}
	lost := d.Lost()
	n.log.Error("the drive lost chunks; they are made again", "path", b.path, "drive", d.ID(), "missing", lost.Chunks, "damages", len(lost.Damages))
	n.loops.Go(func() {
		for n.loopCtx.Err() == nil {
			err := n.findLacking(n.loopCtx, d.ID())
			if now, _, _ := b.current(); now != d {
				return // it was lost again: the next opening sees to it
			}
			if err == nil {
				err = d.AckChunksLost()
			}
			if err == nil {
				n.heal.Kick()
				return
			}
			n.log.Warn("what the drive lost is not yet known", "path", b.path, "err", err)
			pause(n.loopCtx, compareAgain)
		}
	})
}

// findLacking queues for repair all that a drive lacks, once the map has it suspect. While the map has it down nothing is asked of it,
// and what it should have only a map of now says (I5).
func (n *Node) findLacking(ctx context.Context, id ids.Drive) error {
	if err := n.store.Sync(ctx); err != nil {
		return err
	}
	if rec := n.store.Map().Drives[id]; !rec.Up() {
		return errNotBack
	}
	if err := n.distrust(ctx, id, "lost chunks; they are made again"); err != nil {
		return err
	}
	return n.heal.Compare(ctx, id)
}

var errNotBack = errors.New("the map does not have the drive as back yet")

// distrust has the map say that an up drive is suspect. What this process knows of the map only spares it the asking.
func (n *Node) distrust(ctx context.Context, id ids.Drive, reason string) error {
	if d := n.store.Map().Drives[id]; d == nil || d.State != placement.DriveUp {
		return nil
	}
	return n.store.Distrust(ctx, id, reason)
}

// verifyElection is what nodes take turns under in which they verify their drives' rows and logs.
const verifyElection = "verify"

// verifyState checks rows and logs of this node's drives, one drive after another, and one node after another. One that fails
// loses its replicas and index, is opened again without them and filled anew; the next is not looked at before that is done, so
// that damage on several drives costs no range its quorum.
func (n *Node) verifyState(ctx context.Context) error {
	turn, err := n.store.Campaign(ctx, verifyElection, n.cfg.Name)
	if err != nil {
		return err
	}
	defer resign(turn)
	for _, b := range n.bays.list() {
		d, _, _ := b.current()
		if d == nil || d.Health().State != disk.OK {
			continue
		}
		err := d.VerifyState(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, disk.ErrCorrupt):
			n.log.Error("rows or log of the drive are damaged; they are made again", "path", b.path, "err", err)
			b.look()
			if err := n.awaitWhole(ctx, b); err != nil {
				return err
			}
		case err != nil && !errors.Is(err, disk.ErrUnavailable):
			n.log.Warn("rows and log of the drive could not be verified", "path", b.path, "err", err)
		}
	}
	return nil
}

// awaitWhole waits until the drive in b is in service again and no replica is still joining.
func (n *Node) awaitWhole(ctx context.Context, b *bay) error {
	within, cancel := context.WithTimeout(ctx, replaceWithin)
	defer cancel()
	for !n.whole(b) {
		if within.Err() != nil {
			return errors.Join(ctx.Err(), fmt.Errorf("%s is not whole again", b.path))
		}
		pause(within, 100*time.Millisecond)
	}
	return nil
}

func (n *Node) whole(b *bay) bool {
	d, _, _ := b.current()
	if d == nil || d.Health().State != disk.OK || d.ReplicasLost() {
		return false
	}
	for _, r := range n.records.Status() {
		for _, rep := range r.Replicas {
			if rep.Joining || rep.Drive == d.ID() && !rep.Here {
				return false
			}
		}
	}
	return true
}
