package member

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
)

// endpoint stands for whatever member serves: Dial chooses. So it stays the same when members come and go.
const endpoint = "passthrough:///sherd-etcd"

// Endpoints is what a client that uses Dial is given.
func (s *Supervisor) Endpoints() []string { return []string{endpoint} }

// Dial connects to a member that serves, to one of this node first; addr is not looked at.
func (s *Supervisor) Dial(ctx context.Context, _ string) (net.Conn, error) {
	return s.clients.dial(ctx, "")
}

// Redial ends the connections to the member that was dialled last: the next ones go to another. For a client that got no
// answer in time; a member whose disk hangs, or whose node is cut off from the others, still accepts.
func (s *Supervisor) Redial() { s.clients.redial() }

// dialer chooses members for clients that belong together. s is not nil.
type dialer struct {
	s *Supervisor

	// of s.mu:
	last  target
	conns map[*conn]struct{}
}

func newDialer(s *Supervisor) *dialer { return &dialer{s: s, conns: make(map[*conn]struct{})} }

func (d *dialer) dial(ctx context.Context, _ string) (net.Conn, error) {
	s := d.s
	s.mu.Lock()
	targets := s.targets()
	s.mu.Unlock()
	if len(targets) == 0 {
		return nil, errors.New("member: no member of the embedded etcd serves")
	}
	to := targets[0]
	c, err := s.connect(ctx, to)
	if err != nil {
		s.avoid(to)
		return nil, err
	}
	own := &conn{Conn: c, d: d, to: to}
	s.mu.Lock()
	d.conns[own] = struct{}{}
	d.last = to
	s.mu.Unlock()
	return own, nil
}

func (d *dialer) redial() {
	d.s.mu.Lock()
	last := d.last
	d.s.mu.Unlock()
	d.s.avoid(last)
	d.hangUp(func(to target) bool { return to == last })
}

// hangUp ends the connections to the members of which cond holds.
func (d *dialer) hangUp(cond func(target) bool) {
	var stale []*conn
	d.s.mu.Lock()
	for c := range d.conns {
		if cond(c.to) {
			stale = append(stale, c)
		}
	}
	d.s.mu.Unlock()
	for _, c := range stale {
		c.Close()
	}
}

// target is where a client can go. An empty name stands for whichever member of the node serves.
type target struct{ name, node string }

// avoidFor is how long a member that did not answer comes after those that may.
const avoidFor = 30 * time.Second

// targets are the members to be asked, best first: this node's before others', those that are known to serve before those
// that may, and after them all those that did not answer lately, that of longest ago first. One that leaves comes last: it may
// be one that never had a vote. One that joins is never asked: it refuses at once whatever needs a quorum, and a client
// would stay with it. s.mu is held.
func (s *Supervisor) targets() []target {
	var ranks [5][]target
	var leaving []target
	put := func(rank int, t target) { ranks[rank] = append(ranks[rank], t) }
	for _, p := range s.truth.Peers {
		t := target{p.Name, p.Node}
		switch own := s.own(p); {
		case own && !slices.Contains(s.ready, p.Name), !own && p.Node == "", p.State == peerJoining:
		case p.State == peerLeaving:
			leaving = append(leaving, t)
		case own && slices.Contains(s.trusted, p.Name):
			put(0, t)
		case own:
			put(1, t)
		case s.remote[p.Name]:
			put(2, t)
		default:
			put(3, t)
		}
	}
	for _, node := range s.opt.Seeds {
		if node != s.opt.Node {
			put(4, target{node: node})
		}
	}
	all := slices.Concat(ranks[:]...)
	slices.SortStableFunc(all, func(a, b target) int { return s.avoided(a).Compare(s.avoided(b)) })
	return append(all, leaving...)
}

// avoided is since when a target is; zero if it is not. s.mu is held.
func (s *Supervisor) avoided(t target) time.Time {
	if at := s.avoids[t]; time.Since(at) < avoidFor {
		return at
	}
	return time.Time{}
}

func (s *Supervisor) avoid(t target) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for old, at := range s.avoids {
		if time.Since(at) >= avoidFor {
			delete(s.avoids, old)
		}
	}
	s.avoids[t] = time.Now()
}

// connect reaches a member as a client.
func (s *Supervisor) connect(ctx context.Context, to target) (net.Conn, error) {
	s.mu.Lock()
	p := s.truth.peer(to.name)
	here := p != nil && s.own(*p)
	s.mu.Unlock()
	if here {
		return s.dialSocket(ctx, clientSocket(to.name))
	}
	if s.opt.Dial == nil {
		return nil, fmt.Errorf("member: %s is on node %q, which cannot be dialled", to.name, to.node)
	}
	ctx, cancel := context.WithTimeout(ctx, s.opt.DialTimeout)
	defer cancel()
	return s.opt.Dial(ctx, to.node, to.name, KindClient)
}

func (s *Supervisor) dialSocket(ctx context.Context, socket string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "unix", s.socket(socket))
}

// socketPathMax is how long a socket's path may be (108 with the byte that ends it, see unix(7)).
const socketPathMax = 107

// socket is where a socket is, by a way that is short enough.
func (s *Supervisor) socket(name string) string {
	path := filepath.Join(s.dir, name)
	if len(path) > socketPathMax {
		return fmt.Sprintf("/proc/self/fd/%d/%s", s.dirFile.Fd(), name)
	}
	return path
}

// conn is a connection that knows its member.
type conn struct {
	net.Conn
	d     *dialer
	to    target
	heard atomic.Bool
}

// Read implements net.Conn. A connection that ends before a byte has come was refused at the other end; one that the system gives up leads to a
// node that is away.
func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.heard.Store(true)
	} else if err != nil && (!c.heard.Load() && !errors.Is(err, net.ErrClosed) || errors.Is(err, syscall.ETIMEDOUT)) {
		c.d.s.avoid(c.to)
	}
	return n, err
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.d.s.mu.Lock()
	delete(c.d.conns, c)
	c.d.s.mu.Unlock()
	return c.Conn.Close()
}

// newClient makes a client that is connected by dial.
func (s *Supervisor) newClient(dial func(context.Context, string) (net.Conn, error)) (*clientv3.Client, error) {
	c, err := clientv3.New(clientv3.Config{
		Endpoints: s.Endpoints(),
		DialOptions: []grpc.DialOption{
			grpc.WithContextDialer(dial),
			grpc.WithConnectParams(grpc.ConnectParams{
				Backoff:           backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second},
				MinConnectTimeout: time.Second,
			}),
		},
		Logger: zap.NewNop(),
	})
	if err != nil {
		return nil, fmt.Errorf("member: %w", err)
	}
	return c, nil
}

// clientOf makes a client of one member.
func (s *Supervisor) clientOf(t target) (*clientv3.Client, error) {
	return s.newClient(func(ctx context.Context, _ string) (net.Conn, error) { return s.connect(ctx, t) })
}
