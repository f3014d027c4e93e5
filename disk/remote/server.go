package remote

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/sherd-io/sherd/disk"
	"github.com/sherd-io/sherd/internal/bufpool"
	"github.com/sherd-io/sherd/internal/ids"
)

// ServerOptions configures a Server. A zero field means the default given here.
type ServerOptions struct {
	Drives  func() []*disk.Drive        // those in service; needed
	Drive   func(ids.Drive) *disk.Drive // one of them, or nil; needed
	Cluster func() (ids.Cluster, error) // this node's; needed
	Buffers *bufpool.Pool               // for what arrives and what is read; needed

	Budget       int64         // 256 MiB: of payload in memory
	Calls        int           // 1,024: at once for a connection; more wait in its socket
	Handles      int           // 4,096: open readers and writers of a client
	WriteTimeout time.Duration // 10s: for the bytes of one reply
	FrameTimeout time.Duration // 30s: for the rest of a request whose header has come
	Logger       *slog.Logger
}

func (o *ServerOptions) fill() {
	if o.Budget == 0 {
		o.Budget = 256 << 20
	}
	setDefault(&o.Calls, 1024)
	setDefault(&o.Handles, 4096)
	setDefault(&o.WriteTimeout, 10*time.Second)
	setDefault(&o.FrameTimeout, 30*time.Second)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

// Server answers for the drives of this node. It is safe for concurrent use.
type Server struct {
	opt    ServerOptions
	budget *semaphore.Weighted
	wg     sync.WaitGroup

	mu       sync.Mutex
	closed   bool
	conns    map[net.Conn]bool
	sessions map[[16]byte]*session
}

// NewServer returns a Server.
func NewServer(opt ServerOptions) *Server {
	opt.fill()
	return &Server{
		opt: opt, budget: newBudget(opt.Budget),
		conns: map[net.Conn]bool{}, sessions: map[[16]byte]*session{},
	}
}

// Serve answers what comes over nc, whose peer is authenticated, until it ends or Close; then it closes nc. The error says why it
// ended; nil if the peer did it between two frames.
func (s *Server) Serve(nc net.Conn) error {
	defer nc.Close()
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return net.ErrClosed
	}
	s.conns[nc] = true
	s.wg.Add(1)
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.conns, nc)
		s.mu.Unlock()
		s.wg.Done()
	}()
	return s.converse(nc)
}

// Close ends all connections and waits until nothing is under way any more.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	for nc := range s.conns {
		nc.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
}

func newBudget(bytes int64) *semaphore.Weighted { return semaphore.NewWeighted(bytes) }

// join is the session of a client, which one connection more belongs to.
func (s *Server) join(client [16]byte) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.sessions[client]
	if c == nil {
		c = newSession(s.opt.Handles)
		s.sessions[client] = c
	}
	c.conns++
	return c
}

// leave ends what a client has open with its last connection.
func (s *Server) leave(client [16]byte) {
	s.mu.Lock()
	c := s.sessions[client]
	c.conns--
	last := c.conns == 0
	if last {
		delete(s.sessions, client)
	}
	s.mu.Unlock()
	if last {
		c.end()
	}
}

var errHello = fmt.Errorf("%w: no hello", errFrame)

func (s *Server) converse(nc net.Conn) error {
	r := bufio.NewReaderSize(nc, recordBytes)
	out := newSender(nc, s.opt.WriteTimeout)
	defer func() {
		out.fail(net.ErrClosed)
		<-out.ended
	}()
	nc.SetReadDeadline(time.Now().Add(s.opt.FrameTimeout)) // a dead connection fails the read
	client, err := s.hello(r, out)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	p := &peer{s: s, session: s.join(client), out: out, ctx: ctx, turns: make(chan struct{}, s.opt.Calls)}
	defer s.leave(client)
	defer p.wg.Wait()
	defer cancel()
	for {
		if err := p.next(nc, r); err != nil {
			if errors.Is(err, errFrame) {
				s.opt.Logger.Warn("a node sent what is no frame", "peer", nc.RemoteAddr(), "err", err)
			}
			return err
		}
	}
}

// hello checks that the peer speaks the protocol and is of the cluster.
func (s *Server) hello(r *bufio.Reader, out *sender) (client [16]byte, err error) {
	h, err := readHeader(r)
	if err != nil {
		return client, err
	}
	if h.op != opHello || len(h.args) != 32 || h.payloadLen != 0 {
		return client, errHello
	}
	ours, err := s.opt.Cluster()
	if theirs := ids.Cluster(h.args[:16]); err == nil && theirs != ours {
		err = fmt.Errorf("%w: this node is of cluster %s, not %s", disk.ErrInvalid, ours, theirs)
	}
	done := make(chan struct{})
	f := frame{op: opHello, id: h.id}
	f.status, f.args = statusOf(err)
	out.send(outgoing{f, func(error) { close(done) }})
	<-done
	return [16]byte(h.args[16:]), err
}

// peer is one connection of a client.
type peer struct {
	s       *Server
	session *session
	out     *sender
	ctx     context.Context // ends with the connection
	wg      sync.WaitGroup
	turns   chan struct{} // held by each call
}

// next takes one request and has it answered.
func (p *peer) next(nc net.Conn, r *bufio.Reader) error {
	nc.SetReadDeadline(time.Time{}) // it may rest between frames; the system's keep-alive notices a dead peer
	if _, err := r.Peek(1); err != nil {
		return err
	}
	nc.SetReadDeadline(time.Now().Add(p.s.opt.FrameTimeout))
	h, err := readHeader(r)
	if err != nil {
		return err
	}
	p.turns <- struct{}{} // given back by calls, each of which ends
	q := &query{peer: p, header: h}
	if err := q.lend(int64(h.payloadLen)); err != nil {
		<-p.turns
		return err
	}
	if q.payload, err = readPayload(r, &h, p.s.opt.Buffers); err != nil {
		q.settle()
		<-p.turns
		return err
	}
	p.wg.Go(q.serve)
	return nil
}
