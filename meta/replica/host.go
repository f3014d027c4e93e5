package replica

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sherd-io/sherd/internal/ids"
)

// Errors of hosts and replicas. A caller of several replicas tries the next one on any of them.
var (
	// ErrNotLeader: nothing was done; another replica may lead.
	ErrNotLeader = errors.New("replica: not the leader")
	// ErrUnknown: the command may or may not be applied, now or later. It may be retried under its request id (I1).
	ErrUnknown = errors.New("replica: outcome unknown")
	// ErrBusy: nothing was done; too much waits already.
	ErrBusy = errors.New("replica: queue full")
	// ErrStopped: the host was closed or its drive failed.
	ErrStopped = errors.New("replica: host stopped")
	// ErrLost: log and rows of the drive do not fit together; no replica on it may run again (I10).
	ErrLost = errors.New("replica: log and rows do not match")
)

// Host runs the replicas of one drive on one goroutine. All methods are safe for concurrent use.
type Host struct {
	opt   Options
	epoch time.Time // monotonic clocks count from here

	wake    chan struct{} // capacity 1
	stop    chan struct{} // closed by Close and Abandon
	stopped chan struct{} // closed when the goroutine has ended
	once    sync.Once
	cause   atomic.Pointer[error] // why it stopped
	halted  atomic.Bool           // no lease holds any more

	// using is held for reading while a caller reads rows: Close waits for them, and nobody reads after.
	using  sync.RWMutex
	closed bool // under using

	inbox struct {
		mu    sync.Mutex
		work  work
		spare work
	}

	mu      sync.RWMutex
	byRange map[ids.Range]*Replica

	background sync.WaitGroup // snapshots out, ingestions
	senders    chan struct{}  // a place for each snapshot that may be sent at once
	staging    atomic.Uint64  // numbers of staged files

	loop loopState
}

// work is what waits for the host's goroutine.
type work struct {
	envelopes []Envelope
	proposals []*proposal
	reads     []*readRequest
	control   []func()
}

// snapshotsAtOnce bounds what a host sends at the same time.
const snapshotsAtOnce = 2

// Open reads the drive's log and rows, and starts a host that holds the replicas found there. They take part only when
// Start is called for each.
//
// Errors: ErrLost, or the drive's.
func Open(opt Options) (*Host, error) {
	if err := opt.validate(); err != nil {
		return nil, err
	}
	h := &Host{
		opt:     opt,
		epoch:   time.Now(),
		wake:    make(chan struct{}, 1),
		stop:    make(chan struct{}),
		stopped: make(chan struct{}),
		byRange: map[ids.Range]*Replica{},
		senders: make(chan struct{}, snapshotsAtOnce),
	}
	h.loop.appended = make(chan appended, 1)
	if err := h.clearStaging(); err != nil {
		return nil, err
	}
	if err := h.recover(); err != nil {
		return nil, err
	}
	go h.run()
	return h, nil
}

// Drive is the id of the drive.
func (h *Host) Drive() ids.Drive { return h.opt.Drive }

// now is the monotonic clock in ns. It is never 0.
func (h *Host) now() int64 { return int64(time.Since(h.epoch)) + 1 }

// Replica returns the replica of a range here, or nil.
func (h *Host) Replica(rng ids.Range) *Replica {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.byRange[rng]
}

// Replicas lists all replicas here.
func (h *Host) Replicas() []*Replica {
	h.mu.RLock()
	defer h.mu.RUnlock()
	all := make([]*Replica, 0, len(h.byRange))
	for _, r := range h.byRange {
		all = append(all, r)
	}
	return all
}

// Receive takes a message for a replica here. It never blocks; when too many wait, e is lost.
func (h *Host) Receive(e Envelope) {
	h.inbox.mu.Lock()
	full := len(h.inbox.work.envelopes) >= h.opt.InboxMax
	if !full {
		h.inbox.work.envelopes = append(h.inbox.work.envelopes, e)
	}
	h.inbox.mu.Unlock()
	if !full && !e.Lazy {
		h.signal()
	}
}

func (h *Host) signal() {
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// post has the host's goroutine run f, and does not wait. After the host stopped f may never run.
func (h *Host) post(f func()) {
	h.inbox.mu.Lock()
	h.inbox.work.control = append(h.inbox.work.control, f)
	h.inbox.mu.Unlock()
	h.signal()
}

// do runs f on the host's goroutine and returns its error.
func (h *Host) do(ctx context.Context, f func() error) error {
	result := make(chan error, 1)
	h.post(func() { result <- f() })
	select {
	case err := <-result:
		return err
	case <-h.stopped:
		return h.err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Within returns a context that also ends when the host stops, for long work on its rows: Close waits for readers.
func (h *Host) Within(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-h.stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

func (h *Host) err() error {
	if p := h.cause.Load(); p != nil {
		return *p
	}
	return ErrStopped
}

// Close stops all replicas and waits for readers, snapshots and the goroutine. It is idempotent.
// The drive must be open until it returns.
func (h *Host) Close() {
	h.Abandon()
	<-h.stopped
	h.background.Wait()
	h.using.Lock()
	h.closed = true
	h.using.Unlock()
}

// Abandon stops all replicas without waiting for a drive that may hang. Calls under way may still use the drive.
func (h *Host) Abandon() {
	h.halt()
}

// halt ends all leases at once, even if the host's goroutine hangs, and tells it to end.
func (h *Host) halt() {
	h.halted.Store(true)
	h.once.Do(func() { close(h.stop) })
}

// fail ends the host because its drive did.
func (h *Host) fail(err error) {
	if !h.cause.CompareAndSwap(nil, &err) {
		return
	}
	h.opt.Logger.Error("metadata replicas of a drive stop", "drive", h.opt.Drive, "err", err)
	h.halt()
	go h.opt.OnFailed(h, err)
}
