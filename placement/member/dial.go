package member

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
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

// Dial connects to a member that serves; addr is not looked at.
func (s *Supervisor) Dial(ctx context.Context, _ string) (net.Conn, error) {
	s.mu.Lock()
	if len(s.ready) == 0 {
		s.mu.Unlock()
		return nil, errors.New("member: no member of the embedded etcd serves")
	}
	name := s.ready[0]
	for _, n := range s.ready {
		if slices.Contains(s.trusted, n) {
			name = n
			break
		}
	}
	s.mu.Unlock()
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", s.socket(name))
	if err != nil {
		s.rotate(name)
		return nil, err
	}
	own := &conn{Conn: c, s: s, member: name}
	s.mu.Lock()
	s.conns[own] = struct{}{}
	s.dialled = name
	s.mu.Unlock()
	return own, nil
}

// socketPathMax is how long a socket's path may be (108 with the byte that ends it, see unix(7)).
const socketPathMax = 107

// socket is where a member listens for clients, by a way that is short enough.
func (s *Supervisor) socket(name string) string {
	path := filepath.Join(s.dir, clientSocket(name))
	if len(path) > socketPathMax {
		return fmt.Sprintf("/proc/self/fd/%d/%s", s.dirFile.Fd(), clientSocket(name))
	}
	return path
}

// rotate puts a member at the end of the queue.
func (s *Supervisor) rotate(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.Index(s.ready, name); i >= 0 {
		s.ready = append(slices.Delete(slices.Clone(s.ready), i, i+1), name)
	}
}

// Redial ends the connections to the member that was dialled last: the next ones go to another. For a client that got no
// answer in time; a member whose disk hangs still accepts.
func (s *Supervisor) Redial() {
	s.mu.Lock()
	last := s.dialled
	var stale []*conn
	for c := range s.conns {
		if c.member == last {
			stale = append(stale, c)
		}
	}
	s.mu.Unlock()
	s.rotate(last)
	for _, c := range stale {
		c.Close()
	}
}

// conn is a connection that knows its member.
type conn struct {
	net.Conn
	s      *Supervisor
	member string
}

func (c *conn) Close() error {
	c.s.mu.Lock()
	delete(c.s.conns, c)
	c.s.mu.Unlock()
	return c.Conn.Close()
}

// newClient makes the client for membership changes.
func (s *Supervisor) newClient() (*clientv3.Client, error) {
	return clientv3.New(clientv3.Config{
		Endpoints: s.Endpoints(),
		DialOptions: []grpc.DialOption{
			grpc.WithContextDialer(s.Dial),
			grpc.WithConnectParams(grpc.ConnectParams{
				Backoff:           backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second},
				MinConnectTimeout: time.Second,
			}),
		},
		Logger: zap.NewNop(),
	})
}
