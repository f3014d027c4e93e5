package node

import (
	"context"
	"sync"
	"time"

	"github.com/sherd-io/sherd/internal/ids"
)

// distrusted are drives of other nodes that a write of this node gave up. They missed it, so that they count as lost until it is
// repaired (I2), though their own node may have seen nothing. No write waits for the map to hear of it: what the drive missed is in repair
// rows, committed with the object, and if this process dies first the healer that reads them says it (healPlanner.Missed).
type distrusted struct {
	mu     sync.Mutex
	drives map[ids.Drive]bool
	wake   chan struct{}
}

func newDistrusted() *distrusted {
	return &distrusted{drives: map[ids.Drive]bool{}, wake: make(chan struct{}, 1)}
}

func (d *distrusted) add(id ids.Drive) {
	d.mu.Lock()
	d.drives[id] = true
	d.mu.Unlock()
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

func (d *distrusted) take() (all []ids.Drive) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for id := range d.drives {
		all = append(all, id)
	}
	clear(d.drives)
	return all
}

const distrustAgain = time.Second // after the map did not take it

// keepDistrust has the map say "suspect" of them, until ctx ends. Drives here their own watcher looks after.
func (n *Node) keepDistrust(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-n.distrusted.wake:
		}
		for _, id := range n.distrusted.take() {
			if rec := n.store.Map().Drives[id]; rec == nil || rec.Node == n.cfg.Name {
				continue
			}
			if err := n.distrust(ctx, id, "missed writes of node "+n.cfg.Name); err != nil {
				n.log.Warn("the map could not be told of a drive that missed writes", "drive", id, "err", err)
				n.distrusted.add(id)
				pause(ctx, distrustAgain)
			}
		}
	}
}
