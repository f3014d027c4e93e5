package store

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/placement"
)

// Store is the map in etcd and its copy in memory. All methods may run together.
type Store struct {
	opt     Options
	client  *clientv3.Client
	kv      clientv3.KV
	watcher clientv3.Watcher
	origin  time.Time // of the monotonic clock that contact counts from

	state   atomic.Pointer[state]
	contact atomic.Int64 // since origin, of etcd's last answer
	news    atomic.Int64 // since origin, of the watch's last
	broken  atomic.Int64 // since origin, when the connection to etcd last came or went

	badRecords, reloads, swaps atomic.Int64

	building sync.Mutex              // held while a state is made and published
	dataKey  atomic.Pointer[DataKey] // nil: secrets that are sealed stay so
	refused  map[string]bool         // access keys whose secret dataKey does not open, that were logged; building guards it
	iamTurn  chan struct{}           // holds one thing while EditIAM works

	syncs    syncs
	watching atomic.Pointer[watching] // nil: none yet

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	done   sync.WaitGroup
	closed sync.Once
}

// state is one Map and the news of the next.
type state struct {
	m       *placement.Map
	base    int64 // RevisionBase: m.Revision - base is etcd's revision
	applied int64 // etcd's revision that the watch has reached; m.Revision - base <= applied
	next    chan struct{}
}

// Stats are counters since Open.
type Stats struct {
	BadRecords int64 // rows that could not be decoded
	Reloads    int64 // loads after the first
	Swaps      int64 // maps published
}

// Open connects, loads everything at one revision and watches from there. It waits for etcd as long as ctx allows; ctx
// matters no longer when Open has returned. Without a bootstrapped cluster the map is empty (see Bootstrapped).
//
// Errors: ErrUnavailable, ErrCorrupt (the cluster row), ErrWrongCluster, and what Options refuses.
func Open(ctx context.Context, opt Options) (*Store, error) {
	if err := opt.validate(); err != nil {
		return nil, err
	}
	client, err := clientv3.New(clientConfig(&opt))
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	s := &Store{opt: opt, client: client, kv: client.KV, watcher: client.Watcher, origin: time.Now(), iamTurn: make(chan struct{}, 1)}
	if opt.between != nil {
		s.kv = opt.between(client.KV)
	}
	if opt.betweenWatch != nil {
		s.watcher = opt.betweenWatch(client.Watcher)
	}
	s.state.Store(&state{m: emptyMap(), next: make(chan struct{})})
	s.ctx, s.cancel = context.WithCancel(context.Background())
	if err := s.firstLoad(ctx); err != nil {
		s.cancel()
		client.Close()
		return nil, err
	}
	s.broken.Store(int64(time.Since(s.origin)))
	s.done.Add(3)
	go s.watchLoop(s.ctx)
	go s.contactLoop(s.ctx)
	go s.connectionLoop(s.ctx)
	return s, nil
}

func clientConfig(opt *Options) clientv3.Config {
	dial := []grpc.DialOption{grpc.WithConnectParams(grpc.ConnectParams{
		Backoff:           backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second},
		MinConnectTimeout: time.Second,
	})}
	if opt.Dialer != nil {
		dial = append(dial, grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
			return opt.Dialer(ctx, addr)
		}))
	}
	return clientv3.Config{
		Endpoints:            opt.Endpoints,
		TLS:                  opt.TLS,
		Username:             opt.Username,
		Password:             opt.Password,
		DialKeepAliveTime:    10 * time.Second,
		DialKeepAliveTimeout: 3 * time.Second,
		DialOptions:          dial,
		Logger:               zap.NewNop(),
	}
}

// Close ends the watch and the connection, and with an error what still asks etcd. Map stays readable.
func (s *Store) Close() error {
	s.closed.Do(func() {
		s.cancel()
		s.client.Close() // its only error is that of the context
		s.done.Wait()
	})
	return nil
}

// Client is the connection to etcd, for the package that changes the members.
func (s *Store) Client() *clientv3.Client { return s.client }

// Map is the newest state known. It never blocks and never fails.
func (s *Store) Map() *placement.Map { return s.state.Load().m }

// Bootstrapped reports whether a cluster exists under the prefix.
func (s *Store) Bootstrapped() bool { return s.Map().Cluster != ids.Cluster{} }

// Stats returns the counters.
func (s *Store) Stats() Stats {
	return Stats{BadRecords: s.badRecords.Load(), Reloads: s.reloads.Load(), Swaps: s.swaps.Load()}
}

// ContactAge is how long ago etcd last answered anything, to within ContactEvery.
func (s *Store) ContactAge() time.Duration {
	return time.Since(s.origin) - time.Duration(s.contact.Load())
}

// Unbroken is for how long the connection to etcd has been there without a break, as a restart of etcd is one; since Open at
// most.
func (s *Store) Unbroken() time.Duration {
	return time.Since(s.origin) - time.Duration(s.broken.Load())
}

func (s *Store) heard() { s.contact.Store(int64(time.Since(s.origin))) }

// Wait returns the first map from now on that pred accepts. Errors: ctx's.
func (s *Store) Wait(ctx context.Context, pred func(*placement.Map) bool) (*placement.Map, error) {
	st, err := s.waitState(ctx, func(st *state) bool { return pred(st.m) })
	if err != nil {
		return nil, err
	}
	return st.m, nil
}

func (s *Store) waitState(ctx context.Context, pred func(*state) bool) (*state, error) {
	for {
		st := s.state.Load()
		if pred(st) {
			return st, nil
		}
		select {
		case <-st.next:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// publish swaps st in and wakes who waits. building is held, since st was made of the state before.
func (s *Store) publish(st *state) {
	st.next = make(chan struct{})
	old := s.state.Swap(st)
	s.swaps.Add(1)
	close(old.next)
}

// awaitRevision waits until the map holds what was committed at etcd's revision. A caller whose write is committed
// ignores the error: the map will follow.
func (s *Store) awaitRevision(ctx context.Context, revision int64) error {
	for {
		try, cancel := context.WithTimeout(ctx, s.opt.TryTimeout)
		_, err := s.waitState(try, func(st *state) bool { return st.applied >= revision })
		cancel()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%w: waiting for revision %d: %w", ErrUnavailable, revision, err)
		}
		s.watchAgain(revision)
	}
}

// syncs joins concurrent Syncs: one read runs, and one more serves all who came since it began.
type syncs struct {
	mu      sync.Mutex
	running bool
	waiting *syncCall // begins when the running one has ended
}

type syncCall struct {
	done     chan struct{}
	revision int64
	err      error
}

// Sync returns when the map holds every change that was finished before Sync was called. It costs one quorum read of
// one small row, which concurrent calls share. Errors: ErrUnavailable.
func (s *Store) Sync(ctx context.Context) error {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	s.syncs.mu.Lock()
	if s.syncs.waiting == nil {
		s.syncs.waiting = &syncCall{done: make(chan struct{})}
	}
	call := s.syncs.waiting
	if !s.syncs.running {
		s.syncs.running = true
		go s.runSyncs()
	}
	s.syncs.mu.Unlock()
	select {
	case <-call.done:
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrUnavailable, ctx.Err())
	}
	if call.err != nil {
		return call.err
	}
	return s.awaitRevision(ctx, call.revision)
}

// runSyncs makes the reads that are waited for, one after another, and ends when nobody waits.
func (s *Store) runSyncs() {
	for {
		s.syncs.mu.Lock()
		call := s.syncs.waiting
		s.syncs.waiting = nil
		if call == nil {
			s.syncs.running = false
			s.syncs.mu.Unlock()
			return
		}
		s.syncs.mu.Unlock()
		call.revision, call.err = s.lastRevision(context.Background())
		close(call.done)
	}
}

// lastRevision is etcd's revision of the newest change to any row, by a quorum read.
func (s *Store) lastRevision(ctx context.Context) (int64, error) {
	var revision int64
	err := s.retry(ctx, func(ctx context.Context) error {
		got, err := s.kv.Get(ctx, s.key(lastKey))
		if err != nil {
			return err
		}
		revision = 0
		if len(got.Kvs) > 0 {
			revision = got.Kvs[0].ModRevision
		}
		return nil
	})
	return revision, err
}

func (s *Store) key(below string) string { return s.opt.Prefix + below }
