package remote

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sherd-io/sherd/disk"
	"github.com/sherd-io/sherd/internal/bufpool"
	"github.com/sherd-io/sherd/internal/ids"
)

// Options configures a Client. A zero field means the default given here.
type Options struct {
	Dial    func(context.Context) (net.Conn, error) // a connection to the node, authenticated; needed
	Cluster ids.Cluster                             // the node must be of it
	Buffers *bufpool.Pool                           // for what is read; needed

	Conns        int           // 4: connections, the first of them for small requests
	DialTimeout  time.Duration // 3s: for a connection and the hello over it
	CallTimeout  time.Duration // 10s: for one call, whatever its context says
	WriteTimeout time.Duration // 10s: for the bytes of one frame
	StatEvery    time.Duration // 1s: how often the node is asked how its drives are
	Logger       *slog.Logger
}

func (o *Options) fill() {
	setDefault(&o.Conns, 4)
	setDefault(&o.DialTimeout, 3*time.Second)
	setDefault(&o.CallTimeout, 10*time.Second)
	setDefault(&o.WriteTimeout, 10*time.Second)
	setDefault(&o.StatEvery, time.Second)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

func setDefault[T int | time.Duration](v *T, to T) {
	if *v == 0 {
		*v = to
	}
}

// smallBytes is up to how much payload a request may have, or wants, to share the first connection.
const smallBytes = 64 << 10

// Client is a node of which drives are used. It is safe for concurrent use.
type Client struct {
	opt    Options
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup
	id     [16]byte // names its connections as one client's
	lines  []*line
	turn   atomic.Uint32
	state  atomic.Pointer[state]
	epochs epochs
}

// state is what is known of the node's drives.
type state struct {
	drives map[ids.Drive]driveStat
	err    error // why the node does not answer; nil: it did
	since  time.Time
}

// driveStat is one drive in the reply to opStat.
type driveStat struct {
	Drive  ids.Drive   `json:"drive"`
	Health disk.Health `json:"health"`
	Space  disk.Space  `json:"space"`
}

var errNotAsked = errors.New("it was not reached yet")

// NewClient returns a Client, which connects by itself and looks after the node until Close.
func NewClient(opt Options) *Client {
	opt.fill()
	c := &Client{opt: opt}
	rand.Read(c.id[:]) // never fails
	c.ctx, c.cancel = context.WithCancel(context.Background())
	for range opt.Conns {
		c.lines = append(c.lines, &line{client: c})
	}
	c.state.Store(&state{err: errNotAsked, since: time.Now()})
	c.wg.Go(c.watch)
	return c
}

// Close ends the connections and waits. Calls under way fail.
func (c *Client) Close() {
	c.cancel()
	for _, l := range c.lines {
		l.close()
	}
	c.wg.Wait()
}

// Drive is the drive of that id, there or not.
func (c *Client) Drive(id ids.Drive) *Drive { return &Drive{c: c, id: id} }

// Reachable says why the node does not answer, and since when; nil if it does.
func (c *Client) Reachable() (since time.Time, err error) {
	s := c.state.Load()
	return s.since, s.err
}

// watch keeps state new.
func (c *Client) watch() {
	tick := time.NewTicker(c.opt.StatEvery)
	defer tick.Stop()
	for {
		asked := time.Now()
		drives, err := c.stat()
		if c.ctx.Err() != nil {
			return
		}
		c.note(drives, err)
		if err != nil {
			for _, l := range c.lines {
				l.hangUp(asked)
			}
		}
		select {
		case <-c.ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (c *Client) stat() (map[ids.Drive]driveStat, error) {
	ctx, cancel := context.WithTimeout(c.ctx, c.opt.StatEvery+c.opt.DialTimeout)
	defer cancel()
	r, err := c.do(ctx, request{op: opStat}, 0)
	if err != nil {
		return nil, err
	}
	defer r.payload.Release()
	var list []driveStat
	if err := json.Unmarshal(bytesOf(r.payload), &list); err != nil {
		return nil, fmt.Errorf("%w: %w", errFrame, err)
	}
	drives := make(map[ids.Drive]driveStat, len(list))
	for _, d := range list {
		drives[d.Drive] = d
	}
	return drives, nil
}

// note takes what an asking brought; the drives' last figures are kept while the node does not answer.
func (c *Client) note(drives map[ids.Drive]driveStat, err error) {
	before := c.state.Load()
	next := &state{drives: drives, err: err, since: before.since}
	if err != nil {
		next.drives = before.drives
	}
	if (err == nil) != (before.err == nil) {
		next.since = time.Now()
		if err != nil {
			c.opt.Logger.Warn("a node's drives do not answer", "err", err)
		}
	}
	c.state.Store(next)
}

// pick is the line for a request that sends or wants so many bytes.
func (c *Client) pick(bytes int) *line {
	if bytes <= smallBytes || len(c.lines) == 1 {
		return c.lines[0]
	}
	return c.lines[1+c.turn.Add(1)%uint32(len(c.lines)-1)]
}

// do makes a call that sends or wants so many bytes of payload.
func (c *Client) do(ctx context.Context, q request, bytes int) (reply, error) {
	conn, err := c.pick(bytes).get(ctx)
	if err != nil {
		return reply{}, err
	}
	r, err := conn.do(ctx, q, c.opt.CallTimeout)
	c.heard(&q, &r)
	return r, err
}

// heard notes the epoch that came with a reply, before its taker acts on it.
func (c *Client) heard(q *request, r *reply) {
	if q.about != nil {
		c.epochs.note(q.drive, *q.about, r.epoch)
	}
}

// start makes a call and does not block.
func (c *Client) start(q request, bytes int, take func(reply)) {
	done := func(r reply) { c.heard(&q, &r); take(r) }
	l := c.pick(bytes)
	if conn := l.ready(); conn != nil {
		conn.start(q, c.opt.CallTimeout, done)
		return
	}
	go func() { // ends with the dial, which is bounded
		conn, err := l.get(c.ctx)
		if err != nil {
			done(reply{err: err})
			return
		}
		conn.start(q, c.opt.CallTimeout, done)
	}()
}

// tell sends what wants no reply, over any connection that is up: without one, what it is about has ended.
func (c *Client) tell(q request) {
	for _, l := range c.lines {
		if conn := l.ready(); conn != nil {
			conn.tell(q)
			return
		}
	}
}

// line is one connection, made when it is needed and again when it was lost.
type line struct {
	client *Client

	mu      sync.Mutex
	conn    *conn
	dialing chan struct{} // closed at the end of the dial under way
	err     error         // of the last dial
	tried   time.Time
	closed  bool
}

// redialAfter is how long after a failed dial calls fail at once.
const redialAfter = 250 * time.Millisecond

var errClosed = fmt.Errorf("%w: the client is closed", disk.ErrUnavailable)

// ready is the connection if there is one.
func (l *line) ready() *conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn != nil && l.conn.alive() {
		return l.conn
	}
	return nil
}

// get is the connection, made if there is none. Errors: disk.ErrUnavailable, ctx's.
func (l *line) get(ctx context.Context) (*conn, error) {
	for {
		conn, wait, err := l.begin()
		if conn != nil || err != nil {
			return conn, err
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, unanswered(ctx.Err())
		}
	}
}

// begin gives the connection, an error, or what to wait for.
func (l *line) begin() (*conn, <-chan struct{}, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		return nil, nil, errClosed
	case l.conn != nil && l.conn.alive():
		return l.conn, nil, nil
	case l.dialing != nil:
		return nil, l.dialing, nil
	case l.err != nil && time.Since(l.tried) < redialAfter:
		return nil, nil, l.err
	}
	l.conn, l.dialing = nil, make(chan struct{})
	l.client.wg.Go(l.dial)
	return nil, l.dialing, nil
}

func (l *line) dial() {
	conn, err := l.client.connect()
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.dialing)
	l.dialing, l.tried, l.err = nil, time.Now(), err
	if err == nil && l.closed {
		conn.close(errClosed)
		return
	}
	l.conn = conn
}

// connect makes a connection that both sides know to be of the same cluster and protocol.
func (c *Client) connect() (*conn, error) {
	ctx, cancel := context.WithTimeout(c.ctx, c.opt.DialTimeout)
	defer cancel()
	nc, err := c.opt.Dial(ctx)
	if err != nil {
		return nil, unanswered(err)
	}
	conn := newConn(nc, c.opt.Buffers, c.opt.WriteTimeout)
	r, err := conn.do(ctx, request{op: opHello, args: append(c.opt.Cluster[:], c.id[:]...)}, c.opt.DialTimeout)
	r.payload.Release()
	if err != nil {
		conn.close(err)
		return nil, err
	}
	return conn, nil
}

var errSilent = fmt.Errorf("%w: its node says nothing", disk.ErrUnavailable)

// hangUp ends a connection over which nothing came since the node was asked how it is, and did not answer. What waits for an answer
// there would wait for its whole time-out: the link is cut, or the node stands still, and TCP does not tell for minutes.
func (l *line) hangUp(asked time.Time) {
	l.mu.Lock()
	conn := l.conn
	l.mu.Unlock()
	if conn != nil && conn.silentSince(asked) {
		conn.send.fail(errSilent)
	}
}

func (l *line) close() {
	l.mu.Lock()
	conn := l.conn
	l.closed = true
	l.mu.Unlock()
	if conn != nil {
		conn.close(errClosed)
	}
}
