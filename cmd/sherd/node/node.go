// Package node is what one sherd process runs. It joins the drives, the map, the object records, the blobs, the healer
// and the gateway, and starts and stops them in an order that Start and Close show.
//
// Invariants:
//   - A drive is found by requests only while it is open, is the directory that was opened, and is healthy (I12).
//   - Drives are formatted only on a first start where all of them are blank, or one by one in place of a lost one
//     under I10.
//   - The map says "down" or "suspect" of a drive soon after this process saw it; what this process saw itself it
//     acts on at once, without the map.
package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/sherd-io/sherd/cmd/sherd/node/cluster"
	"github.com/sherd-io/sherd/erasure"
	"github.com/sherd-io/sherd/erasure/heal"
	"github.com/sherd-io/sherd/gateway"
	"github.com/sherd-io/sherd/gateway/object"
	"github.com/sherd-io/sherd/internal/bufpool"
	"github.com/sherd-io/sherd/internal/hlc"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta"
	"github.com/sherd-io/sherd/placement/member"
	"github.com/sherd-io/sherd/placement/store"
)

// Node is a running process's parts.
type Node struct {
	cfg     Config
	log     *slog.Logger
	budget  Budget
	cluster ids.Cluster

	cache   *pebble.Cache
	buffers *bufpool.Pool
	clock   *hlc.Clock

	bays       *bays
	adding     sync.Mutex         // one drive is added at a time
	peers      *peers             // the other nodes; nil: there are none
	remotes    *remotes           // their drives
	members    *member.Supervisor // the embedded etcd; nil with an external one
	virgin     bool               // nothing was ever stored on the drives: a first start
	newcomer   bool               // its drives are blank, and the cluster has begun without them
	unused     []*bay             // a newcomer's
	distrusted *distrusted        // drives of other nodes that writes of this one have missed
	agreed     []cluster.Proposal // what the first nodes of several begin with, by node
	periods    readPeriods
	surveyed   surveyed
	silent     silentNodes
	askers     askers
	store      *store.Store
	alive      *store.Presence
	named      atomic.Bool // the node's name is known to be this process's
	records    *meta.Node
	blobs      *erasure.Store
	heal       *heal.Healer
	objects    *object.Store
	planner    *planner
	gateway    *gateway.Server
	http       *http.Server
	serving    sync.WaitGroup
	failed     chan error // what ended serving though nobody asked

	healedMu                    sync.Mutex
	healedBase, healedBaseBytes int64 // what was healed when there was last nothing to heal

	root      atomic.Pointer[rootUser] // nil: not known yet
	rootFresh atomic.Bool              // it was made just now
	wrapped   wrapping

	started time.Time
	loopCtx context.Context    // of the loops
	stop    context.CancelFunc // ends it
	loops   sync.WaitGroup
	closing sync.WaitGroup // lost drives being closed
}

// Start brings a node up and serves. It returns once requests are answered; Wait and Close end it.
//
// Errors: what a person must mend before the node can run, each with its remedy; whatever was started is stopped.
func Start(ctx context.Context, cfg Config) (*Node, error) {
	err := cfg.validate()
	budget := Budget{}
	if err == nil {
		budget, err = Divide(cfg.MemoryLimit, len(cfg.Drives))
	}
	if err != nil {
		for _, l := range cfg.Listeners {
			l.Close()
		}
		if l := cfg.Cluster.Listener; l != nil {
			l.Close()
		}
		return nil, err
	}
	n := &Node{
		cfg: cfg, log: cfg.Logger, budget: budget,
		cache:   pebble.NewCache(budget.Cache),
		buffers: &bufpool.Pool{},
		clock:   hlc.New(cfg.Now),
		bays:    newBays(cfg.Drives),
		failed:  make(chan error, 1),
	}
	n.remotes, n.distrusted = newRemotes(n), newDistrusted()
	loops, stop := context.WithCancel(context.WithoutCancel(ctx))
	n.loopCtx, n.stop, n.started = loops, stop, time.Now()
	if err := n.start(ctx, loops); err != nil {
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), cfg.HangAfter)
		defer cancel()
		return nil, errors.Join(err, n.Close(stop))
	}
	return n, nil
}

// start goes bottom up: drives, control state, records, blobs, healer, gateway.
func (n *Node) start(ctx, loops context.Context) error {
	steps := []struct {
		name string
		run  func(ctx, loops context.Context) error
	}{
		{"node port", n.startPort},
		{"drives", n.openDrives},
		{"added drives", n.openAdded},
		{"founding", n.found},
		{"control state", n.startControl},
		{"drives added last", n.openAddedLate},
		{"membership", n.enter},
		{"credentials", n.startIdentity},
		{"object records", n.startRecords},
		{"blobs", n.startBlobs},
		{"other nodes' drives", n.awaitRemotes},
		{"gateway", n.startGateway},
	}
	begin := time.Now()
	for _, s := range steps {
		at := time.Now()
		if err := s.run(ctx, loops); err != nil {
			return fmt.Errorf("starting %s: %w", s.name, err)
		}
		n.log.Debug("started", "part", s.name, "took", time.Since(at))
	}
	n.awaitLeaders(ctx, 10*time.Second)
	if n.peers != nil {
		n.peers.up.Store(true)
	}
	n.planner.wake() // a new range is noted as begun
	n.loops.Go(func() {
		if err := n.gateway.RecoverBuckets(loops); err != nil && loops.Err() == nil {
			n.log.Warn("deletions of buckets that were cut short are not taken back", "err", err)
		}
	})
	n.log.Info("ready", "took", time.Since(begin).Round(time.Millisecond), "drives", n.bays.open())
	return nil
}

// fail reports what ended serving though nobody asked; the first such error counts.
func (n *Node) fail(err error) {
	select {
	case n.failed <- err:
	default:
	}
}

// Failed receives an error if serving ends by itself.
func (n *Node) Failed() <-chan error { return n.failed }

// Root is the root user's credentials, and whether they were made just now; zero if they are not known yet.
func (n *Node) Root() (Credentials, bool) {
	root := n.root.Load()
	if root == nil {
		return Credentials{}, false
	}
	return root.Credentials, n.rootFresh.Load()
}
