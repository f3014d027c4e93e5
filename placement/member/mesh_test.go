package member

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/internal/poll"
)

// mesh joins supervisors in one process by TCP over loopback, as cmd/sherd does by TLS between nodes. A connection begins
// with a line that says who calls, which member and for what.
type mesh struct {
	t       testing.TB
	cluster ids.Cluster

	mu    sync.Mutex
	nodes map[string]*meshNode
	conns map[*meshConn]struct{}
	cut   map[string]bool // nodes that are cut off: what goes to and from them is lost
}

// meshNode is one node; its drives outlive its supervisor.
type meshNode struct {
	*Supervisor
	name   string
	opt    Options
	l      net.Listener
	addr   atomic.Value // of l, a string
	served sync.WaitGroup
}

// meshConn is a connection that can go silent, as one does whose other end lost its power.
type meshConn struct {
	net.Conn
	m        *mesh
	from, to string
	end      chan struct{}
	once     sync.Once
}

func newMesh(t testing.TB) *mesh {
	m := &mesh{t: t, cluster: ids.NewCluster(), nodes: map[string]*meshNode{}, conns: map[*meshConn]struct{}{}, cut: map[string]bool{}}
	return m
}

// node makes a node with blank drives, whose supervisor is not started yet.
func (m *mesh) node(name string, drives int, seeds ...string) *meshNode {
	m.t.Helper()
	opt := testOptions(m.t, drives)
	opt.Cluster, opt.Node, opt.Bootstrap, opt.Sole, opt.Seeds = m.cluster, name, false, false, seeds
	opt.ProbeEvery, opt.AskTimeout, opt.DialTimeout = 200*time.Millisecond, time.Second, time.Second
	opt.Want = nil
	opt.Dial = func(ctx context.Context, node, member string, kind Kind) (net.Conn, error) {
		return m.dial(ctx, name, node, member, kind)
	}
	n := &meshNode{name: name, opt: opt}
	m.t.Cleanup(n.stop)
	m.mu.Lock()
	m.nodes[name] = n
	m.mu.Unlock()
	return n
}

// found agrees on a list with one member on the first drive of each node.
func found(nodes ...*meshNode) {
	var list []Founder
	for _, n := range nodes {
		list = append(list, Founder{NewName(), n.name, n.opt.Drives[0].Drive})
	}
	for _, n := range nodes {
		n.opt.Found = list
	}
}

// begin makes the supervisor and lets others in.
func (n *meshNode) begin(t testing.TB) {
	t.Helper()
	s, err := New(n.opt)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n.Supervisor, n.l = s, l
	n.addr.Store(l.Addr().String())
	n.served.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			n.served.Go(func() { accept(s, c) })
		}
	})
}

func accept(s *Supervisor, c net.Conn) {
	c.SetReadDeadline(time.Now().Add(poll.Within))
	line, err := readLine(c)
	f := strings.Split(line, " ")
	if err != nil || len(f) != 3 {
		c.Close()
		return
	}
	_ = s.Accept(c, f[0], f[1], Kind(f[2])) // the caller sees the end
}

// readLine reads byte by byte: what follows is not ours.
func readLine(r io.Reader) (string, error) {
	var line []byte
	for b := make([]byte, 1); ; {
		if _, err := r.Read(b); err != nil {
			return "", err
		}
		if b[0] == '\n' {
			return string(line), nil
		}
		line = append(line, b[0])
	}
}

// start starts nodes together.
func (m *mesh) start(nodes ...*meshNode) {
	m.t.Helper()
	var g sync.WaitGroup
	for _, n := range nodes {
		n.begin(m.t)
	}
	for _, n := range nodes {
		g.Go(func() {
			if err := n.Start(testContext(m.t)); err != nil {
				m.t.Errorf("%s: %v", n.name, err)
			}
		})
	}
	g.Wait()
	if m.t.Failed() {
		m.t.FailNow()
	}
}

func (n *meshNode) stop() {
	if n.Supervisor != nil {
		n.l.Close()
		n.Supervisor.Close()
		n.served.Wait()
		n.Supervisor = nil
	}
}

func (m *mesh) dial(ctx context.Context, from, to, member string, kind Kind) (net.Conn, error) {
	m.mu.Lock()
	n := m.nodes[to]
	cut := m.cut[from] || m.cut[to]
	m.mu.Unlock()
	switch {
	case cut:
		<-ctx.Done()
		return nil, ctx.Err()
	case n == nil || n.addr.Load() == nil:
		return nil, errors.New("no such node")
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", n.addr.Load().(string))
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(c, "%s %s %s\n", from, member, kind)
	mc := &meshConn{Conn: c, m: m, from: from, to: to, end: make(chan struct{})}
	m.mu.Lock()
	m.conns[mc] = struct{}{}
	m.mu.Unlock()
	return mc, nil
}

// isolate cuts a node off, or heals that: connections neither carry anything nor end.
func (m *mesh) isolate(node string, on bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cut[node] = on
	for c := range m.conns {
		if c.from == node || c.to == node {
			if on {
				c.Conn.SetReadDeadline(time.Unix(1, 0)) // wakes its reader, which finds it silent
			} else {
				c.once.Do(func() { close(c.end) }) // when the network is back, what was lost meanwhile shows
			}
		}
	}
}

func (c *meshConn) silent() bool {
	c.m.mu.Lock()
	defer c.m.mu.Unlock()
	return c.m.cut[c.from] || c.m.cut[c.to]
}

func (c *meshConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.silent() {
		<-c.end
		return 0, io.ErrUnexpectedEOF
	}
	return n, err
}

func (c *meshConn) Write(b []byte) (int, error) {
	if c.silent() {
		return len(b), nil // into a buffer, from which it goes nowhere
	}
	return c.Conn.Write(b)
}

func (c *meshConn) Close() error {
	c.once.Do(func() { close(c.end) })
	c.m.mu.Lock()
	delete(c.m.conns, c)
	c.m.mu.Unlock()
	return c.Conn.Close()
}

// awaitReady waits until each node sees these many members, and all of them serve.
func awaitReady(t testing.TB, members int, nodes ...*meshNode) {
	t.Helper()
	for _, n := range nodes {
		err := n.await(testContext(t), func() bool {
			return len(n.truth.Peers) == members && len(n.serving()) == members &&
				!slices.ContainsFunc(n.truth.Peers, func(p peer) bool { return p.State != peerVoter })
		})
		if err != nil {
			for _, o := range nodes {
				t.Logf("%s sees %+v", o.name, o.Members())
			}
			t.Fatalf("%s: %v", n.name, err)
		}
	}
}

// write puts, again where the leader was lost meanwhile.
func write(t testing.TB, s *Supervisor, key, value string) {
	t.Helper()
	poll.True(t, poll.Within, "a write of "+key, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		_, err := s.client.Put(ctx, key, value)
		return err == nil
	})
}

// some are all of the nodes, or one where time is short.
func some(nodes ...*meshNode) []*meshNode {
	if testing.Short() {
		return nodes[:1]
	}
	return nodes
}

// three founds a cluster of three nodes with a member each.
func three(t testing.TB) (m *mesh, a, b, c *meshNode) {
	t.Helper()
	m = newMesh(t)
	a, b, c = m.node("n1", 2), m.node("n-2", 2), m.node(strings.Repeat("n3", 31), 2)
	found(a, b, c)
	m.start(a, b, c)
	return m, a, b, c
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
