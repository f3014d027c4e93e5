package node

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/sherd-io/sherd/placement/store"
)

// A restore of the control state raises its generation (I9). A node that did not take part in it, because it was away or cut off,
// hears of it from the others: its own members of etcd are not started, or, where they run, the node ends and is to be started again.
const (
	newerAskEvery   = time.Second     // while members of other nodes are waited for
	newerWatchEvery = 5 * time.Second // one node, by chance, while this one serves
)

// newerControl is that another node has a control state of a later generation.
type newerControl struct {
	node       string
	generation uint64
}

func (e *newerControl) Error() string {
	return fmt.Sprintf("the control state was restored while this node was away: node %s has generation %d of it", e.node, e.generation)
}

// position is how late a state this node has; zero while it has none.
func (p *peers) position() (at store.Position) {
	if s := p.store.Load(); s != nil && s.Bootstrapped() {
		at = store.Position{Generation: s.Map().Generation, Revision: s.Map().Revision}
	}
	return at
}

// anyNewer asks all other nodes, for a second at most. Errors: a newerControl.
func (p *peers) anyNewer(ctx context.Context, generation uint64) error {
	ctx, cancel := context.WithTimeout(ctx, newerAskEvery)
	defer cancel()
	names := p.names()
	answers := make(chan error, len(names))
	for _, name := range names {
		go func() { answers <- p.askNewer(ctx, name, generation) }() // ends with ctx
	}
	for range names {
		if err := <-answers; err != nil {
			return err
		}
	}
	return nil
}

// untilNewer is ctx, but ends when another node says that it has a later generation; the cause is then a newerControl.
// release ends the asking, and waits for it.
func (p *peers) untilNewer(ctx context.Context, generation uint64) (limited context.Context, release func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	var asking sync.WaitGroup
	asking.Go(func() {
		for ctx.Err() == nil {
			if err := p.anyNewer(ctx, generation); err != nil {
				cancel(err)
			}
			pause(ctx, newerAskEvery)
		}
	})
	return ctx, func() {
		cancel(nil)
		asking.Wait()
	}
}

// askNewer asks one node. Errors: a newerControl. One that does not answer has none.
func (p *peers) askNewer(ctx context.Context, node string, generation uint64) error {
	at, err := call[store.Position](ctx, p, node, "GET", "/control", nil)
	if err != nil || at.Generation <= generation {
		return nil //nolint:nilerr // see above
	}
	return &newerControl{node, at.Generation}
}

// watchNewer ends the node when another one has a later generation of the control state: this one's was given up.
func (n *Node) watchNewer(ctx context.Context) {
	for ctx.Err() == nil {
		if others := n.peers.names(); len(others) > 0 {
			if err := n.peers.askNewer(ctx, others[rand.N(len(others))], n.store.Map().Generation); err != nil {
				n.fail(fmt.Errorf("%w: start this one again", err))
				return
			}
		}
		pause(ctx, newerWatchEvery)
	}
}
