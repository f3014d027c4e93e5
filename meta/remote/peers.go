package remote

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sherd-io/sherd/meta"
	"github.com/sherd-io/sherd/meta/remote/remotepb"
	"github.com/sherd-io/sherd/meta/replica"
)

// Options configures Peers. A zero field means the default given here.
type Options struct {
	Self string // this node's name, for logs
	// Dial connects to a node, which is authenticated when it returns; needed.
	Dial func(ctx context.Context, node string) (net.Conn, error)

	DialTimeout  time.Duration // 2s: until the first answer over a new connection
	RetryAfter   time.Duration // 250ms: for so long a node that could not be reached is not tried again
	PingEvery    time.Duration // 250ms
	SilenceMax   time.Duration // 1.2s: without a word for so long, a connection has ended
	StallMax     time.Duration // 30s: for one part of a snapshot
	QueueBytes   int           // 32 MiB: of Raft messages that wait for one node; more are dropped
	RequestBytes int           // 16 MiB: of requests that wait to be sent to one node; more fail
	Logger       *slog.Logger
}

func (o *Options) fill() {
	setDefault(&o.DialTimeout, 2*time.Second)
	setDefault(&o.RetryAfter, 250*time.Millisecond)
	setDefault(&o.PingEvery, 250*time.Millisecond)
	setDefault(&o.SilenceMax, 1200*time.Millisecond)
	setDefault(&o.StallMax, 30*time.Second)
	setDefault(&o.QueueBytes, 32<<20)
	setDefault(&o.RequestBytes, 16<<20)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

func setDefault[T int | time.Duration](v *T, to T) {
	if *v == 0 {
		*v = to
	}
}

// Peers are the other nodes. It is safe for concurrent use.
type Peers struct {
	opt    Options
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup // of everything that a peer starts

	mu     sync.RWMutex
	closed bool
	nodes  map[string]*peer
}

// NewPeers returns Peers that are not connected yet: each is when it is first used.
func NewPeers(opt Options) *Peers {
	opt.fill()
	p := &Peers{opt: opt, nodes: map[string]*peer{}}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	return p
}

// Close ends all connections and waits. Calls under way fail, as do later ones.
func (p *Peers) Close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.cancel()
	p.wg.Wait()
}

// Peer is the node of that name.
func (p *Peers) Peer(node string) meta.Peer {
	p.mu.RLock()
	n := p.nodes[node]
	p.mu.RUnlock()
	if n != nil {
		return n
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.nodes[node] == nil {
		p.nodes[node] = &peer{all: p, node: node}
	}
	return p.nodes[node]
}

// Reachable says why a node cannot be reached, and since when; nil if it can, or was not tried.
func (p *Peers) Reachable(node string) (since time.Time, err error) {
	p.mu.RLock()
	n := p.nodes[node]
	p.mu.RUnlock()
	if n == nil {
		return time.Time{}, nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.since, n.err
}

// start runs f on a goroutine that Close waits for. False: Close was called.
func (p *Peers) start(f func()) bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if !p.closed {
		p.wg.Go(f)
	}
	return !p.closed
}

// peer implements meta.Peer.
type peer struct {
	all  *Peers
	node string
	line atomic.Pointer[line] // nil: not connected

	mu      sync.Mutex
	attempt chan struct{} // closed when the attempt under way ends; nil: none is
	err     error         // why the last one failed, or the last line ended; nil: connected, or never tried
	since   time.Time     // err was nil before
	tried   time.Time     // the last attempt ended
}

var _ meta.Peer = (*peer)(nil)

// Send implements replica.Transport.
func (p *peer) Send(e replica.Envelope) {
	l := p.line.Load()
	if l == nil {
		p.connect()
		return
	}
	l.messages.put(e)
}

// Call implements meta.Peer.
func (p *peer) Call(ctx context.Context, req *remotepb.Request) (*remotepb.Response, error) {
	l, err := p.connected(ctx)
	if err != nil {
		return nil, err
	}
	return l.calls.do(ctx, req)
}

// connected returns a line, and waits for the first one; while the node cannot be reached, it fails at once.
func (p *peer) connected(ctx context.Context) (*line, error) {
	for {
		if l := p.line.Load(); l != nil {
			return l, nil
		}
		attempt, err := p.connect()
		if err != nil {
			return nil, fmt.Errorf("%w: %s: %w", meta.ErrUnreachable, p.node, err)
		}
		select {
		case <-attempt:
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %s: %w", meta.ErrUnreachable, p.node, ctx.Err())
		}
	}
}

var errClosed = errors.New("remote: closed")

// connect begins an attempt unless there is one, or one failed just now. If the last one failed, or the last line ended,
// it returns why.
func (p *peer) connect() (attempt <-chan struct{}, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.line.Load() != nil {
		done := make(chan struct{})
		close(done)
		return done, nil
	}
	if p.attempt == nil && time.Since(p.tried) >= p.all.opt.RetryAfter {
		p.attempt = make(chan struct{})
		if !p.all.start(p.try) {
			p.attempt = nil
			return nil, errClosed
		}
	}
	if p.attempt == nil && p.err == nil {
		return nil, errClosed
	}
	return p.attempt, p.err
}

// try makes a line.
func (p *peer) try() {
	l, err := dialLine(p)
	p.mu.Lock()
	p.tried = time.Now()
	p.note(err)
	if err == nil {
		p.line.Store(l)
	}
	close(p.attempt)
	p.attempt = nil
	p.mu.Unlock()
	if err != nil {
		return
	}
	l.run()
}

// ended is told of a line that is of no use any more, before what it has is closed: that may take time.
func (p *peer) ended(l *line, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.line.CompareAndSwap(l, nil)
	p.note(err)
}

// note keeps how the node is. mu is held.
func (p *peer) note(err error) {
	if p.all.ctx.Err() != nil {
		return
	}
	log := p.all.opt.Logger
	switch {
	case err == nil:
		log.Info("node connected", "node", p.node)
	case p.err == nil:
		p.since = time.Now()
		log.Warn("node not connected", "node", p.node, "err", err)
	}
	p.err = err
}
