package sim

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

const (
	latencyMax  = 2 * time.Millisecond   // one way, and a thousandth of it at least
	arriveEvery = 500 * time.Microsecond // whatever arrives within so long arrives together: each moment of the clock costs
	deadAfter   = 15 * time.Second       // a connection that is cut for so long has ended, as nodeport has it by TCP_USER_TIMEOUT
	windowMax   = 256 << 10              // bytes under way in one direction; more wait
)

// network is what hosts talk over. Connections break when an end crashes; between hosts that are cut apart nothing arrives, and
// whatever was under way arrives later or, after deadAfter, never.
type network struct {
	mu    sync.Mutex
	rng   *rand.Rand
	hosts map[string]*host
	pipes map[*pipe]bool
	cuts  map[link]time.Time // since when nothing arrives
}

// link is one direction between two hosts.
type link struct{ from, to string }

func newNetwork(seed uint64) *network {
	return &network{
		rng: rand.New(rand.NewPCG(seed, 1)), hosts: map[string]*host{}, pipes: map[*pipe]bool{}, cuts: map[link]time.Time{},
	}
}

// host is one life of a machine: after a crash the next life is another host of the same name.
type host struct {
	nw   *network
	name string

	mu        sync.Mutex
	dead      bool
	listeners map[string]*listener // by port
	conns     map[*conn]bool
}

// host begins a life.
func (nw *network) host(name string) *host {
	h := &host{nw: nw, name: name, listeners: map[string]*listener{}, conns: map[*conn]bool{}}
	nw.mu.Lock()
	nw.hosts[name] = h
	nw.mu.Unlock()
	return h
}

// die ends a life: nothing that it still does reaches anybody. Peers see that at once, as when a process ends.
func (h *host) die() {
	h.mu.Lock()
	h.dead = true
	listeners, conns := h.listeners, h.conns
	h.listeners, h.conns = map[string]*listener{}, map[*conn]bool{}
	h.mu.Unlock()
	for _, l := range listeners {
		l.Close()
	}
	for c := range conns {
		c.reset()
	}
}

// cut lets nothing arrive from one host at another.
func (nw *network) cut(from, to string) {
	nw.mu.Lock()
	defer nw.mu.Unlock()
	l := link{from, to}
	if _, already := nw.cuts[l]; already {
		return
	}
	since := time.Now()
	nw.cuts[l] = since
	time.AfterFunc(deadAfter, func() { nw.giveUp(l, since) })
}

// giveUp breaks the connections of a link that is cut since then, still.
func (nw *network) giveUp(l link, since time.Time) {
	nw.mu.Lock()
	var broken []*conn
	if nw.cuts[l].Equal(since) {
		for p := range nw.pipes {
			if p.link == l {
				broken = append(broken, p.writer)
			}
		}
	}
	nw.mu.Unlock()
	for _, c := range broken {
		c.sever()
	}
}

// heal ends all cuts.
func (nw *network) heal() {
	nw.mu.Lock()
	clear(nw.cuts)
	var all []*pipe
	for p := range nw.pipes {
		all = append(all, p)
	}
	nw.mu.Unlock()
	for _, p := range all {
		if p.writer.host.isDead() {
			p.writer.sever() // the machine knows of no such connection
		}
		p.wake()
	}
}

func (nw *network) isCut(l link) bool {
	nw.mu.Lock()
	defer nw.mu.Unlock()
	_, cut := nw.cuts[l]
	return cut
}

func (nw *network) latency() time.Duration {
	nw.mu.Lock()
	defer nw.mu.Unlock()
	return latencyMax/1000 + time.Duration(nw.rng.Int64N(int64(latencyMax)))
}

// addr is a host and a port.
type addr string

func (a addr) Network() string { return "sim" }
func (a addr) String() string  { return string(a) }

// listen opens a port.
func (h *host) listen(port string) *listener {
	l := &listener{host: h, port: port, conns: make(chan *conn), done: make(chan struct{})}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.listeners[port] = l
	return l
}

type listener struct {
	host  *host
	port  string
	conns chan *conn
	done  chan struct{}
	once  sync.Once
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *listener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

// Addr implements net.Listener.
func (l *listener) Addr() net.Addr { return addr(l.host.name + ":" + l.port) }

// dial connects to a port of another host.
func (h *host) dial(ctx context.Context, target string) (net.Conn, error) {
	name, port, err := net.SplitHostPort(target)
	if err != nil {
		return nil, err
	}
	if err := h.reach(ctx, name); err != nil {
		return nil, &net.OpError{Op: "dial", Net: "sim", Addr: addr(target), Err: err}
	}
	h.nw.mu.Lock()
	peer := h.nw.hosts[name]
	h.nw.mu.Unlock()
	l := peer.listener(port)
	if l == nil || h.isDead() {
		return nil, &net.OpError{Op: "dial", Net: "sim", Addr: addr(target), Err: syscall.ECONNREFUSED}
	}
	here, there := h.nw.connect(h, peer, target)
	select {
	case l.conns <- there:
		return here, nil
	case <-l.done:
		err = syscall.ECONNREFUSED
	case <-ctx.Done():
		err = ctx.Err()
	}
	here.Close()
	there.Close()
	return nil, &net.OpError{Op: "dial", Net: "sim", Addr: addr(target), Err: err}
}

// reach takes the time of a way there and back; where there is none it goes on trying until ctx ends.
func (h *host) reach(ctx context.Context, name string) error {
	const again = 500 * time.Millisecond
	for wait := h.nw.latency() + h.nw.latency(); ; wait = again {
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
		if !h.nw.isCut(link{h.name, name}) && !h.nw.isCut(link{name, h.name}) {
			return nil
		}
	}
}

func (h *host) isDead() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.dead
}

func (h *host) listener(port string) *listener {
	if h == nil {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	l := h.listeners[port]
	if l != nil {
		select {
		case <-l.done:
			return nil
		default:
		}
	}
	return l
}

// enter notes a connection of a host that lives.
func (h *host) enter(c *conn) {
	h.mu.Lock()
	dead := h.dead
	if !dead {
		h.conns[c] = true
	}
	h.mu.Unlock()
	if dead {
		c.sever()
	}
}

func (h *host) leave(c *conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.conns, c)
}

// connect makes both ends of a connection.
func (nw *network) connect(from, to *host, target string) (here, there *conn) {
	here, there = &conn{host: from, local: addr(from.name + ":0"), remote: addr(target)}, &conn{host: to, local: addr(target), remote: addr(from.name + ":0")}
	there.in = newPipe(nw, link{from.name, to.name}, here)
	here.in = newPipe(nw, link{to.name, from.name}, there)
	here.out, there.out = there.in, here.in
	nw.mu.Lock()
	nw.pipes[here.in], nw.pipes[there.in] = true, true
	nw.mu.Unlock()
	from.enter(here)
	to.enter(there)
	return here, there
}

// conn is one end of a connection.
type conn struct {
	host          *host
	local, remote addr
	in, out       *pipe
}

// Read implements net.Conn.
func (c *conn) Read(b []byte) (int, error) { return c.in.read(b) }

// Write implements net.Conn.
func (c *conn) Write(b []byte) (int, error) { return c.out.write(b) }

// CloseWrite ends what is sent.
func (c *conn) CloseWrite() error {
	c.out.end(io.EOF)
	return nil
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.out.end(io.EOF)
	c.in.leave()
	c.forget()
	return nil
}

// reset ends a connection from this end. Its peer hears of that, if anything arrives there: else it learns by and by, as of a cut.
func (c *conn) reset() {
	if !c.host.nw.isCut(c.out.link) {
		c.sever()
		return
	}
	c.out.end(syscall.ECONNRESET)
	c.in.leave()
	c.forget()
}

// sever ends a connection at once, both ways and at both ends.
func (c *conn) sever() {
	c.out.stop(syscall.ECONNRESET, syscall.ECONNRESET)
	c.in.stop(syscall.ECONNRESET, syscall.ECONNRESET)
	c.forget()
}

func (c *conn) forget() {
	c.host.leave(c)
	nw := c.host.nw
	nw.mu.Lock()
	defer nw.mu.Unlock()
	delete(nw.pipes, c.in)
}

// LocalAddr implements net.Conn.
func (c *conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr implements net.Conn.
func (c *conn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline implements net.Conn.
func (c *conn) SetDeadline(t time.Time) error {
	c.in.readBy.set(c.in, t)
	c.out.writeBy.set(c.out, t)
	return nil
}

// SetReadDeadline implements net.Conn.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.in.readBy.set(c.in, t)
	return nil
}

// SetWriteDeadline implements net.Conn.
func (c *conn) SetWriteDeadline(t time.Time) error {
	c.out.writeBy.set(c.out, t)
	return nil
}

// pipe is one direction of a connection.
type pipe struct {
	nw     *network
	link   link
	writer *conn

	mu       sync.Mutex
	moved    *sync.Cond
	under    []parcel // way, in order
	bytes    int
	ended    error // what a reader gets behind the last parcel
	left     bool  // nobody reads any more
	readErr  error // what it gets at once
	writeErr error
	readBy   deadline
	writeBy  deadline
}

// parcel is what one Write sent.
type parcel struct {
	at time.Time // it arrives
	b  []byte
}

func newPipe(nw *network, l link, writer *conn) *pipe {
	p := &pipe{nw: nw, link: l, writer: writer}
	p.moved = sync.NewCond(&p.mu)
	return p
}

// deadline is when reads or writes end. The pipe's mutex guards it.
type deadline struct {
	at    time.Time
	timer *time.Timer
}

func (d *deadline) set(p *pipe, t time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	d.at = t
	if !t.IsZero() {
		d.timer = time.AfterFunc(time.Until(t), p.wake)
	}
	p.moved.Broadcast()
}

func (d *deadline) passed() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }

func (p *pipe) wake() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.moved.Broadcast()
}

func (p *pipe) read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		cut := p.nw.isCut(p.link)
		switch now := time.Now(); {
		case p.readErr != nil:
			return 0, p.readErr
		case p.readBy.passed():
			return 0, os.ErrDeadlineExceeded
		case cut:
		case len(p.under) > 0 && !p.under[0].at.After(now):
			return p.take(b), nil
		case len(p.under) > 0:
			time.AfterFunc(p.under[0].at.Sub(now), p.wake)
		case p.ended != nil:
			return 0, p.ended
		}
		p.moved.Wait()
	}
}

// take hands over what has arrived.
func (p *pipe) take(b []byte) (n int) {
	for now := time.Now(); n < len(b) && len(p.under) > 0 && !p.under[0].at.After(now); {
		first := &p.under[0]
		c := copy(b[n:], first.b)
		n += c
		if first.b = first.b[c:]; len(first.b) == 0 {
			p.under = p.under[1:]
		}
	}
	p.bytes -= n
	p.moved.Broadcast()
	return n
}

func (p *pipe) write(b []byte) (int, error) {
	late, cut := p.nw.latency(), p.nw.isCut(link{p.link.to, p.link.from})
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		switch {
		case p.left && !cut:
			return 0, syscall.EPIPE
		case p.left: // the peer's answer that it is gone does not arrive
			return len(b), nil
		case p.writeErr != nil:
			return 0, p.writeErr
		case p.ended != nil:
			return 0, net.ErrClosed
		case p.writeBy.passed():
			return 0, os.ErrDeadlineExceeded
		}
		if p.bytes < windowMax {
			break
		}
		p.moved.Wait()
	}
	at := time.Now().Add(late).Truncate(arriveEvery).Add(arriveEvery)
	if n := len(p.under); n > 0 && p.under[n-1].at.After(at) {
		at = p.under[n-1].at // nothing overtakes
	}
	p.under = append(p.under, parcel{at, append([]byte(nil), b...)})
	p.bytes += len(b)
	p.moved.Broadcast()
	return len(b), nil
}

// end lets the reader find err behind what is under way.
func (p *pipe) end(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended == nil {
		p.ended = err
	}
	p.moved.Broadcast()
}

// leave ends reads; what is written from now on is lost.
func (p *pipe) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.left = true
	if p.readErr == nil {
		p.readErr = net.ErrClosed
	}
	p.under, p.bytes = nil, 0
	p.moved.Broadcast()
}

// stop ends reads and writes at once.
func (p *pipe) stop(read, write error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.readErr == nil {
		p.readErr = read
	}
	if p.writeErr == nil {
		p.writeErr = write
	}
	for _, d := range []*deadline{&p.readBy, &p.writeBy} {
		if d.timer != nil {
			d.timer.Stop()
		}
	}
	p.under = nil
	p.moved.Broadcast()
}

// String says which direction p is.
func (l link) String() string { return fmt.Sprintf("%s→%s", l.from, l.to) }
