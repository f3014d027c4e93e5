package nodeport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/sherd-io/sherd/internal/trust"
)

// Protocol is what is spoken over a connection, as ALPN names it.
type Protocol string

const (
	Drive Protocol = "sherd-drive/1" // disk/remote's frames
	GRPC  Protocol = "h2"            // object records: meta/remote
	Etcd  Protocol = "sherd-etcd/1"  // a tunnel to a member of the embedded etcd
	Calls Protocol = "sherd-node/1"  // HTTP/1.1: small calls between nodes
	Join  Protocol = "sherd-join/1"  // HTTP/1.1: from those who are no nodes yet
)

// Options configures a Port. A zero field means the default given here.
type Options struct {
	Self     string                                                            // this node's name; needed
	Listener net.Listener                                                      // nil: nobody can connect. The Port closes it
	Identity func() *trust.Identity                                            // what it is now: certificates are renewed; needed but where Plain
	Member   func(string) bool                                                 // whether a node of that name may connect; needed
	Addr     func(string) string                                               // where a node listens, host:port; "": not known; needed
	Plain    bool                                                              // no TLS
	Dial     func(ctx context.Context, network, addr string) (net.Conn, error) // net.Dialer's

	HandshakeTimeout time.Duration // 5s
	HandshakesMax    int           // 256: under way at once; one more ends the oldest, so that who says nothing keeps nobody out
	JoinsMax         int           // 32: connections of those who join, at once; more are closed
	Logger           *slog.Logger
}

func (o *Options) validate() error {
	if o.Self == "" || o.Member == nil || o.Addr == nil || o.Identity == nil && !o.Plain {
		return errors.New("nodeport: Options need Self, Member, Addr, and Identity")
	}
	if o.Dial == nil {
		o.Dial = (&net.Dialer{}).DialContext
	}
	if o.HandshakeTimeout == 0 {
		o.HandshakeTimeout = 5 * time.Second
	}
	if o.HandshakesMax == 0 {
		o.HandshakesMax = 256
	}
	if o.JoinsMax == 0 {
		o.JoinsMax = 32
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

// Port takes and makes connections. It is safe for concurrent use.
type Port struct {
	opt       Options
	places    chan struct{} // held by each handshake
	strangers strangers
	wg        sync.WaitGroup

	mu       sync.Mutex
	handlers map[Protocol]*queue
	waiting  map[net.Conn]uint64 // in a handshake: the how manieth to come
	entered  uint64              // how many came
	held     map[*Conn]bool      // handed out and not closed
	joining  int                 // those of held whose peer is no node
	closed   bool
	tls      *tls.Config     // nil before the first handshake
	tlsOf    *trust.Identity // whose it is
}

// New returns a Port that serves nothing before Serve.
func New(opt Options) (*Port, error) {
	if err := opt.validate(); err != nil {
		return nil, err
	}
	p := &Port{
		opt: opt, places: make(chan struct{}, opt.HandshakesMax),
		handlers: map[Protocol]*queue{}, waiting: map[net.Conn]uint64{}, held: map[*Conn]bool{}, strangers: strangers{said: map[string]time.Time{}},
	}
	return p, nil
}

// server is the TLS configuration of this side, with the certificate that it has now. As long as it has that one it is the same
// configuration, for its keys are what peers resume sessions by.
func (p *Port) server() *tls.Config {
	id := p.opt.Identity()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.tlsOf != id {
		p.tls, p.tlsOf = p.configure(id), id
	}
	return p.tls
}

func (p *Port) configure(id *trust.Identity) *tls.Config {
	var protocols []string
	for _, q := range []Protocol{Drive, GRPC, Etcd, Calls} {
		protocols = append(protocols, string(q))
	}
	return id.Server(p.opt.Member, protocols, string(Join))
}

// Listen gives the connections of a protocol as a listener does; their Conn is a *Conn. Call it once a protocol; before that its connections are closed.
func (p *Port) Listen(protocol Protocol) net.Listener {
	q := &queue{port: p, conns: make(chan net.Conn), done: make(chan struct{})}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.handlers[protocol] = q
	return q
}

// Serve accepts until Close. Error: the listener's.
func (p *Port) Serve() error {
	if p.opt.Listener == nil {
		return nil
	}
	for {
		nc, err := p.opt.Listener.Accept()
		if err != nil {
			if p.isClosed() {
				return nil
			}
			if passing(err) {
				time.Sleep(10 * time.Millisecond) // as net/http does: the cause is outside
				continue
			}
			return fmt.Errorf("nodeport: %w", err)
		}
		giveUpOnDead(nc, deadAfter)
		p.takePlace()
		if !p.enter(nc) {
			nc.Close()
			<-p.places
			continue
		}
		go p.welcome(nc)
	}
}

// takePlace has the oldest handshake make room if there are too many. A node's takes milliseconds.
func (p *Port) takePlace() {
	select {
	case p.places <- struct{}{}:
	default:
		p.endOldest()
		p.places <- struct{}{}
	}
}

func (p *Port) endOldest() {
	p.mu.Lock()
	defer p.mu.Unlock()
	var oldest net.Conn
	for nc, n := range p.waiting {
		if oldest == nil || n < p.waiting[oldest] {
			oldest = nc
		}
	}
	if oldest != nil {
		oldest.Close()
	}
}

// passing reports an error of Accept that the next call may not have.
func passing(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && !errors.Is(err, net.ErrClosed)
}

func (p *Port) isClosed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closed
}

func (p *Port) enter(nc net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.entered++
	p.waiting[nc] = p.entered
	p.wg.Add(1)
	return true
}

// Addr is where the Port listens; nil if it does not.
func (p *Port) Addr() net.Addr {
	if p.opt.Listener == nil {
		return nil
	}
	return p.opt.Listener.Addr()
}

// Close ends the listener, handshakes, and the listeners of the protocols; connections that were handed out are their takers'.
func (p *Port) Close() {
	p.mu.Lock()
	first := !p.closed
	p.closed = true
	for nc := range p.waiting {
		nc.Close()
	}
	queues := make([]*queue, 0, len(p.handlers))
	for _, q := range p.handlers {
		queues = append(queues, q)
	}
	p.mu.Unlock()
	if first && p.opt.Listener != nil {
		p.opt.Listener.Close()
	}
	for _, q := range queues {
		q.Close()
	}
	p.wg.Wait()
}

// welcome finds out who has connected and what for, and hands the connection over.
func (p *Port) welcome(nc net.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), p.opt.HandshakeTimeout)
	defer cancel()
	c, protocol, err := p.accept(ctx, nc)
	p.mu.Lock()
	q := p.handlers[protocol]
	delete(p.waiting, nc) // before it gives its place up: the oldest that waits is closed
	p.mu.Unlock()
	<-p.places
	defer p.wg.Done()
	switch {
	case err != nil:
		nc.Close()
		if !p.isClosed() {
			p.strangers.say(p.opt.Logger, nc.RemoteAddr(), err)
		}
	case q == nil || !p.hold(c):
		nc.Close()
	default:
		q.hand(c)
	}
}

// hold notes a connection that is handed out, until it is closed. False: too many join at once, or its node was taken out of the cluster
// since it showed who it is.
func (p *Port) hold(c *Conn) bool {
	p.mu.Lock()
	if c.Node == "" && p.joining >= p.opt.JoinsMax {
		p.mu.Unlock()
		return false
	}
	if c.port = p; c.Node == "" {
		p.joining++
	}
	p.held[c] = true
	p.mu.Unlock()
	if c.Node == "" || p.opt.Member(c.Node) { // Expel may have come before it was held
		return true
	}
	p.forget(c)
	return false
}

func (p *Port) forget(c *Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held[c] && c.Node == "" {
		p.joining--
	}
	delete(p.held, c)
}

// Expel ends the connections of nodes that may not connect any more. It is to be called when Options.Member has changed its mind.
func (p *Port) Expel() {
	p.mu.Lock()
	held := slices.Collect(maps.Keys(p.held))
	p.mu.Unlock()
	for _, c := range held {
		if c.Node != "" && !p.opt.Member(c.Node) {
			p.opt.Logger.Warn("a connection of a node that is not in the map any more is ended", "node", c.Node)
			c.Close()
		}
	}
}

// accept is the server's half of a handshake.
func (p *Port) accept(ctx context.Context, nc net.Conn) (*Conn, Protocol, error) {
	if p.opt.Plain {
		return p.acceptPlain(ctx, nc)
	}
	b := batch(nc)
	t := tls.Server(b, p.server())
	if err := t.HandshakeContext(ctx); err != nil {
		return nil, "", err
	}
	state := t.ConnectionState()
	protocol := Protocol(state.NegotiatedProtocol)
	if protocol == Join {
		return &Conn{Conn: t, below: b}, protocol, nil
	}
	node, err := p.opt.Identity().Peer(state)
	return &Conn{Conn: t, Node: node, below: b}, protocol, err
}

// ErrUnknown reports a node whose address is not known.
var ErrUnknown = errors.New("nodeport: no address known of the node")

// Dial connects to a node by its name. Errors: ErrUnknown, trust.ErrPeer, the network's.
func (p *Port) Dial(ctx context.Context, node string, protocol Protocol) (net.Conn, error) {
	addr := p.opt.Addr(node)
	if addr == "" {
		return nil, fmt.Errorf("%w: %q", ErrUnknown, node)
	}
	return p.DialAddr(ctx, addr, node, protocol)
}

// DialAddr connects to the node of that name at an address.
func (p *Port) DialAddr(ctx context.Context, addr, node string, protocol Protocol) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, p.opt.HandshakeTimeout)
	defer cancel()
	nc, err := p.opt.Dial(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	giveUpOnDead(nc, patience(protocol))
	c, err := p.introduce(ctx, nc, node, protocol)
	if err != nil {
		nc.Close()
		return nil, fmt.Errorf("node %q at %s: %w", node, addr, err)
	}
	return c, nil
}

func (p *Port) introduce(ctx context.Context, nc net.Conn, node string, protocol Protocol) (*Conn, error) {
	if p.opt.Plain {
		return p.introducePlain(ctx, nc, node, protocol)
	}
	b := batch(nc)
	t := tls.Client(b, p.opt.Identity().Client(node, string(protocol)))
	if err := t.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	return &Conn{Conn: t, Node: node, below: b}, nil
}

// Conn is a connection whose peer is known.
type Conn struct {
	net.Conn
	Node  string   // the peer; "": one who joins
	port  *Port    // which handed it out; nil: this side dialled
	below *batched // what TLS writes to; nil: no TLS
}

// Close implements net.Conn. What the peer's machine has not taken by then is not waited for.
func (c *Conn) Close() error {
	if c.below != nil {
		c.below.closing.Store(true)
	}
	if c.port != nil {
		c.port.forget(c)
	}
	return c.Conn.Close()
}

// Together has what write writes go out with as few system calls as can be. It is for one goroutine at a time.
// Errors: write's; the connection's.
func (c *Conn) Together(write func() error) error {
	if c.below == nil {
		return write()
	}
	c.below.hold()
	return errors.Join(write(), c.below.release())
}

// CloseWrite ends what is sent; the other way stays open.
func (c *Conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return c.Conn.Close()
}

// queue is the listener of one protocol.
type queue struct {
	port  *Port
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (q *queue) hand(c net.Conn) {
	select {
	case q.conns <- c:
	case <-q.done:
		c.Close()
	}
}

// Accept implements net.Listener.
func (q *queue) Accept() (net.Conn, error) {
	select {
	case c := <-q.conns:
		return c, nil
	case <-q.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (q *queue) Close() error {
	q.once.Do(func() { close(q.done) })
	return nil
}

// Addr implements net.Listener.
func (q *queue) Addr() net.Addr {
	if a := q.port.Addr(); a != nil {
		return a
	}
	return &net.TCPAddr{}
}

// strangers remembers who was refused, so that it is said once.
type strangers struct {
	mu   sync.Mutex
	said map[string]time.Time
}

const (
	strangersMax  = 1024
	strangerAgain = 10 * time.Minute
)

func (s *strangers) say(log *slog.Logger, addr net.Addr, err error) {
	host, _, splitErr := net.SplitHostPort(addr.String())
	if splitErr != nil {
		host = addr.String()
	}
	now := time.Now()
	s.mu.Lock()
	last, known := s.said[host]
	if again := !known || now.Sub(last) > strangerAgain; !again {
		s.mu.Unlock()
		return
	}
	if !known && len(s.said) >= strangersMax {
		clear(s.said)
	}
	s.said[host] = now
	s.mu.Unlock()
	log.Warn("a connection to the node port was refused; more from there are not logged for a while", "from", host, "err", err)
}

// known are the protocols that a plain connection may ask for.
var known = []Protocol{Drive, GRPC, Etcd, Calls, Join}

func isKnown(q Protocol) bool { return slices.Contains(known, q) }
