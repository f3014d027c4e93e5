package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/sherd-io/sherd/placement"
)

// stageLeast is how long a part may take to stop at least, though the time for all is over.
const stageLeast = 2 * time.Second

// Close stops everything, top down, and waits for it until ctx ends: requests under way are finished in the first two
// thirds of that time. A part that hangs, with its file system, is left behind a little later, and named in the error.
func (n *Node) Close(ctx context.Context) error {
	stages := []struct {
		what string
		stop func(context.Context) error
	}{
		{"gateway", n.stopServing},
		{"loops", n.stopLoops},
		{"object records", n.stopParts},
		{"what other nodes use", n.stopSharing},
		{"drives", n.closeDrives},
		{"map", n.stopMap},
		{"etcd", n.stopMembers},
		{"node port", n.stopPort},
	}
	var errs []error
	for _, s := range stages {
		result := make(chan error, 1)
		late := finish(ctx, stageLeast, "stopping "+s.what, func() { result <- s.stop(ctx) })
		if late != nil {
			errs = append(errs, late)
		} else if err := <-result; err != nil {
			errs = append(errs, fmt.Errorf("stopping %s: %w", s.what, err))
		}
	}
	if len(errs) == 0 {
		n.cache.Unref() // else somebody may still use it
	}
	return errors.Join(errs...)
}

// stopServing ends the listeners, and lets requests under way finish for a time.
func (n *Node) stopServing(ctx context.Context) error {
	if n.http == nil {
		for _, l := range n.cfg.Listeners {
			l.Close() // never served
		}
		if l := n.cfg.Cluster.Listener; l != nil && n.peers == nil {
			l.Close()
		}
		return nil
	}
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(deadline)*2/3)
		defer cancel()
	}
	var err error
	if n.http.Shutdown(ctx) != nil { // requests that do not end are cut off
		err = n.http.Close()
	}
	n.serving.Wait()
	return err
}

func (n *Node) stopLoops(context.Context) error {
	n.stop()
	n.loops.Wait()
	return nil
}

func (n *Node) stopParts(ctx context.Context) error {
	if n.gateway != nil {
		n.gateway.Close()
	}
	if n.blobs != nil {
		n.blobs.Close()
	}
	if n.records != nil {
		n.handOver(ctx)
		n.records.Close()
	}
	return nil
}

// handOver has other nodes lead the ranges that this one leads, so that nobody waits for an election.
func (n *Node) handOver(ctx context.Context) {
	if n.peers == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, stageLeast)
	defer cancel()
	leads := func(r *placement.Range) bool { return n.records.Leads(r.ID) }
	for ctx.Err() == nil && slices.ContainsFunc(n.store.Map().Ranges, leads) {
		for id := range *n.bays.byID.Load() {
			n.records.Yield(ctx, id)
		}
		pause(ctx, 20*time.Millisecond)
	}
}

// stopSharing ends what the other nodes have of this one, but for the tunnels to its members of etcd: the map is still to be told.
func (n *Node) stopSharing(context.Context) error {
	if n.peers != nil {
		n.peers.stopSharing()
	}
	return nil
}

func (n *Node) stopPort(context.Context) error {
	if n.peers != nil {
		n.peers.close()
	}
	return nil
}

// closeDrives closes all drives side by side, those too that were lost or were still being opened.
func (n *Node) closeDrives(ctx context.Context) error {
	var wg sync.WaitGroup
	all := n.bays.list()
	errs := make([]error, len(all))
	for i, b := range all {
		if d := n.bays.remove(b, "stopped"); d != nil {
			wg.Go(func() {
				if err := d.Check(); err != nil { // gone since it was last looked at: it is failed now, and closing does not wait for it
					n.log.Warn("closing a lost drive", "path", b.path, "err", err)
				}
				errs[i] = d.Close()
			})
		}
		if b.work.TryLock() { // else its watcher hangs in it
			if b.opening != nil {
				wg.Go(func() {
					if o := <-b.opening; o.drive != nil {
						errs[i] = o.drive.Close()
					}
				})
			}
			b.work.Unlock()
		}
	}
	wg.Wait()
	n.closing.Wait()
	return errors.Join(errs...)
}

func (n *Node) stopMap(context.Context) error {
	if n.alive != nil {
		n.alive.Withdraw()
	}
	if n.store == nil {
		return nil
	}
	return n.store.Close()
}

func (n *Node) stopMembers(context.Context) error {
	if n.members == nil {
		return nil
	}
	return n.members.Close()
}
