package node

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/sherd-io/sherd/erasure/heal"
	"github.com/sherd-io/sherd/gateway"
)

// order does what an operator wants of every node's healer: "heal/start", "scrub/pause" and so on.
func (n *Node) order(what string) error {
	switch strings.Trim(what, "\"") {
	case "heal/start":
		n.heal.Kick()
	case "heal/pause":
		n.heal.Pause()
	case "heal/resume":
		n.heal.Resume()
	case "scrub/start":
		n.heal.StartScrub(heal.ScrubFull)
	case "scrub/pause":
		n.heal.PauseScrub()
	default:
		return fmt.Errorf("%w: %s", gateway.ErrNoSuchCall, what)
	}
	return nil
}

// everywhere gives an order here and on all nodes that live. Error: which of them it did not reach.
func (n *Node) everywhere(ctx context.Context, what string) error {
	errs := []error{n.order(what)}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for name := range n.store.Map().Alive {
		if name == n.cfg.Name || n.peers == nil {
			continue
		}
		wg.Go(func() {
			if _, err := call[any](ctx, n.peers, name, "POST", "/order", what); err != nil {
				mu.Lock()
				errs = append(errs, fmt.Errorf("%w: node %s was not told: %w", gateway.ErrConflict, name, err))
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
