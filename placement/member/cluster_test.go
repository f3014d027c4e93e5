package member

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
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
	c.SetReadDeadline(time.Now().Add(5 * time.Second))
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
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
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

func TestI10_FoundingOverThreeNodes(t *testing.T) {
	t.Parallel()
	m, a, b, c := three(t)
	awaitReady(t, 3, a, b, c)
	write(t, a.Supervisor, "k", "1")
	for _, n := range []*meshNode{a, b, c} {
		if got := get(t, n.Supervisor, "k"); got != "1" {
			t.Errorf("%s has k = %q", n.name, got)
		}
		for _, st := range n.Members() {
			i := slices.IndexFunc(a.opt.Found, func(f Founder) bool { return f == Founder{st.Name, st.Node, st.Drive} })
			if i < 0 || !st.Ready || st.Joining || (st.Path != "") != (st.Node == n.name) {
				t.Errorf("%s sees %+v", n.name, st)
			}
		}
	}
	var last *meshNode
	for _, n := range some(a, b, c) { // one after another, and then all
		last = n
		n.stop()
		write(t, [2]*meshNode{b, a}[min(1, slices.Index([]*meshNode{a, b, c}, n))].Supervisor, "k", n.name)
		m.start(n)
		if got := get(t, n.Supervisor, "k"); got != n.name {
			t.Errorf("k = %q after the restart of %s", got, n.name)
		}
		awaitReady(t, 3, a, b, c)
	}
	for _, n := range []*meshNode{a, b, c} {
		n.stop()
		n.opt.Found = nil
	}
	m.start(a, b, c)
	awaitReady(t, 3, a, b, c)
	if got := get(t, b.Supervisor, "k"); got != last.name {
		t.Errorf("k = %q", got)
	}
}

func TestChildrenOfTwoNodesKilled(t *testing.T) {
	t.Parallel()
	_, a, b, c := three(t)
	awaitReady(t, 3, a, b, c)
	w := startWriter(t, b.Supervisor)
	for _, n := range some(a, b, c) {
		w.await(t, w.acked.Load()+5)
		syscall.Kill(n.Pid(), syscall.SIGKILL)
	}
	for range 2 {
		w.await(t, w.acked.Load()+5)
		syscall.Kill(a.Pid(), syscall.SIGKILL)
		syscall.Kill(c.Pid(), syscall.SIGKILL)
	}
	w.await(t, w.acked.Load()+5)
	awaitReady(t, 3, a, b, c)
	w.finish(t)
}

// TestI9_NodeGoneForGood: a fourth node takes the place of one that is gone; that one comes back, and its member, which was
// removed meanwhile, is not started.
func TestI9_NodeGoneForGood(t *testing.T) {
	t.Parallel()
	m, a, b, c := three(t)
	write(t, a.Supervisor, "k", "1")
	old := a.opt.Found[2].Name
	c.stop()
	d := m.node("n4", 1, "n1", "n-2")
	m.start(d) // it has no member
	if got := get(t, d.Supervisor, "k"); got != "1" {
		t.Fatalf("k = %q", got)
	}
	if err := d.Reconcile(testContext(t), d.opt.Drives); err != nil {
		t.Fatal(err)
	}
	poll.Nil(t, poll.Within, "the removal", func() error { return a.Remove(testContext(t), old) }) // when the new one is known to serve
	if err := a.Remove(testContext(t), old); err != nil {
		t.Fatal(err)
	}
	awaitReady(t, 3, a, b, d)
	write(t, d.Supervisor, "k", "2")
	if !hasData(c.opt.Drives[0].Path, old) {
		t.Fatal("the test has no directory of a removed member")
	}
	m.start(c)
	awaitReady(t, 3, a, b, d)
	if hasData(c.opt.Drives[0].Path, old) || c.starts != 0 {
		t.Errorf("I9: %s was started, or could be", old)
	}
	if got := get(t, c.Supervisor, "k"); got != "2" {
		t.Fatalf("k = %q", got)
	}
	if err := c.Reconcile(testContext(t), c.opt.Drives[:1]); err != nil { // the drive is free
		t.Fatal(err)
	}
	awaitReady(t, 4, a, b, c, d)
	if slices.ContainsFunc(c.Members(), func(st Status) bool { return st.Name == old }) {
		t.Errorf("I10: %s is back", old)
	}
}

// TestI10_BlankNodeOfTheSameName: a node lost its drives. What had its name is no member any more; it gets a new one.
func TestI10_BlankNodeOfTheSameName(t *testing.T) {
	t.Parallel()
	m, a, b, c := three(t)
	write(t, a.Supervisor, "k", "1")
	old := b.opt.Found[1]
	b.stop()
	blank := m.node(b.name, 1, "n1", c.name)
	blank.opt.Found = b.opt.Found // a lead that made a mistake
	blank.begin(t)
	if err := blank.Start(testContext(t)); !errors.Is(err, ErrFounding) {
		t.Fatalf("I10: %v, want ErrFounding", err)
	}
	blank.stop()
	blank.opt.Found = nil
	m.start(blank)
	if err := blank.Reconcile(testContext(t), blank.opt.Drives); err != nil {
		t.Fatal(err)
	}
	err := a.await(testContext(t), func() bool { return a.truth.peer(old.Name) == nil })
	if err != nil {
		t.Fatalf("I10: %s is still a member", old.Name)
	}
	awaitReady(t, 3, a, blank, c)
	if got := get(t, blank.Supervisor, "k"); got != "1" {
		t.Fatalf("k = %q", got)
	}
}

func TestPartitionHeals(t *testing.T) {
	t.Parallel()
	m, a, b, c := three(t)
	awaitReady(t, 3, a, b, c)
	for _, n := range some(a, b, c) { // whichever leads is among them
		m.isolate(n.name, true)
		others := slices.DeleteFunc([]*meshNode{a, b, c}, func(o *meshNode) bool { return o == n })
		for i, o := range others {
			write(t, o.Supervisor, "k", fmt.Sprint(n.name, i))
		}
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		if _, err := n.client.Put(ctx, "k", "minority"); err == nil {
			t.Error("a node that is cut off takes writes")
		}
		cancel()
		m.isolate(n.name, false)
		awaitReady(t, 3, a, b, c)
		if got := get(t, n.Supervisor, "k"); got != fmt.Sprint(n.name, 1) {
			t.Errorf("k = %q on %s", got, n.name)
		}
	}
}

// TestGatewayHasNoMembers: a node without drives uses those of others, whichever serve.
func TestGatewayHasNoMembers(t *testing.T) {
	t.Parallel()
	m, a, b, c := three(t)
	write(t, a.Supervisor, "k", "1")
	g := m.node("gateway", 0, "n1", "n-2", c.name)
	a.stop()
	m.start(g)
	if got := get(t, g.Supervisor, "k"); got != "1" {
		t.Fatalf("k = %q", got)
	}
	m.start(a)
	awaitReady(t, 3, g, a)
	for _, n := range some(a, b, c) {
		n.stop()
		write(t, g.Supervisor, "k", n.name)
		m.start(n)
		awaitReady(t, 3, g)
	}
}

// TestOneNodeBecomesThree: members of a node that was alone, made by a version that named no node, go on; others join, and
// take over.
func TestOneNodeBecomesThree(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	a := m.node("n1", 2)
	alone := a.opt
	alone.Node, alone.Dial, alone.Bootstrap, alone.Sole, alone.Want = "", nil, true, true, []ids.Drive{a.opt.Drives[0].Drive, a.opt.Drives[1].Drive}
	s := start(t, alone)
	write(t, s, "k", "1")
	s.Close()
	r, err := readRecord(a.opt.Drives[0], m.cluster)
	if err != nil || r.Version != versionOne || len(r.Peers) != 2 {
		t.Fatalf("%+v, %v", r, err)
	}
	a.opt.Sole = true
	m.start(a)
	awaitReady(t, 2, a)
	err = a.await(testContext(t), func() bool { return a.truth.Node == "n1" })
	if err != nil {
		t.Fatal(err)
	}
	b, c := m.node("n2", 1, "n1"), m.node("n3", 1, "n1")
	m.start(b, c)
	var g sync.WaitGroup
	for _, n := range []*meshNode{b, c} { // both at a time
		g.Go(func() {
			if err := n.Reconcile(testContext(t), n.opt.Drives); err != nil {
				t.Errorf("%s: %v", n.name, err)
			}
		})
	}
	g.Wait()
	awaitReady(t, 4, a, b, c)
	if err := a.Reconcile(testContext(t), a.opt.Drives[:1]); err != nil {
		t.Fatal(err)
	}
	awaitReady(t, 3, a, b, c)
	write(t, b.Supervisor, "k", "2")
	a.stop()
	if got := get(t, c.Supervisor, "k"); got != "2" {
		t.Fatalf("k = %q", got)
	}
	wipe(t, filepath.Join(a.opt.Drives[0].Path, etcdDir))
	wipe(t, filepath.Join(a.opt.Drives[1].Path, etcdDir))
	if _, err := Start(testContext(t), a.opt); !errors.Is(err, ErrNoMembers) {
		t.Fatal(err)
	}
}

func TestI9_OneOfThreeNodesWaits(t *testing.T) {
	t.Parallel()
	m, a, b, c := three(t)
	write(t, a.Supervisor, "k", "1")
	for _, n := range []*meshNode{a, b, c} {
		n.stop()
	}
	a.begin(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if err := a.Start(ctx); !errors.Is(err, ErrNoQuorum) || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("%v, want ErrNoQuorum when the time is over", err)
	}
	a.stop()
	a.begin(t)
	waited := make(chan error, 1)
	go func() { waited <- a.Start(testContext(t)) }()
	poll.True(t, poll.Within, "the member that waits", func() bool { return a.Pid() != 0 })
	m.start(b)
	if err := <-waited; err != nil {
		t.Fatal(err)
	}
	if got := get(t, a.Supervisor, "k"); got != "1" {
		t.Fatalf("k = %q", got)
	}
}

// TestI10_FoundingIsTakenUpAgain: it is cut short before a quorum is there. Another list is refused then, and the same one
// goes on.
func TestI10_FoundingIsTakenUpAgain(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	a, b := m.node("n1", 1), m.node("n2", 1)
	found(a, b)
	a.begin(t)
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() { failed <- a.Start(ctx) }()
	poll.True(t, poll.Within, "the first member", func() bool { return hasData(a.opt.Drives[0].Path, a.opt.Found[0].Name) })
	cancel()
	if err := <-failed; !errors.Is(err, ErrNoQuorum) {
		t.Fatalf("%v, want ErrNoQuorum", err)
	}
	a.stop()
	agreed := a.opt.Found
	a.opt.Found = []Founder{{NewName(), "n1", agreed[0].Drive}, agreed[1]}
	a.begin(t)
	if err := a.Start(testContext(t)); !errors.Is(err, ErrFounding) {
		t.Fatalf("I10: %v, want ErrFounding", err)
	}
	a.stop()
	record, err := os.ReadFile(recordPath(a.opt.Drives[0].Path))
	if err = errors.Join(err, os.Remove(recordPath(a.opt.Drives[0].Path))); err != nil {
		t.Fatal(err)
	}
	a.opt.Found = agreed
	a.begin(t)
	if err := a.Start(testContext(t)); !errors.Is(err, ErrFounding) {
		t.Fatalf("I10: data without a record: %v, want ErrFounding", err)
	}
	a.stop()
	if err := os.WriteFile(recordPath(a.opt.Drives[0].Path), record, 0o600); err != nil {
		t.Fatal(err)
	}
	m.start(a, b)
	awaitReady(t, 2, a, b)
}

// TestI9_RemovedWhileItRuns: members that are removed stop, whoever had it done and when; two nodes may do so together.
func TestI9_RemovedWhileItRuns(t *testing.T) {
	t.Parallel()
	m, a, b, c := three(t)
	awaitReady(t, 3, a, b, c)
	old := a.opt.Found[2].Name
	if err := a.Remove(testContext(t), a.opt.Found[0].Name); err == nil {
		t.Fatal("a node's own member is removed without its record")
	}
	if err := c.Reconcile(testContext(t), nil); err != nil { // it would have it back otherwise
		t.Fatal(err)
	}
	awaitReady(t, 2, a, b, c)
	if err := c.await(testContext(t), func() bool { return c.proc == nil }); err != nil {
		t.Error("a process runs that has no members")
	}
	if err := c.Reconcile(testContext(t), c.opt.Drives); err != nil {
		t.Fatal(err)
	}
	awaitReady(t, 4, a, b, c)
	removed := slices.IndexFunc(c.Members(), func(st Status) bool { return st.Path == c.opt.Drives[0].Path })
	name := c.Members()[removed].Name
	if err := a.Remove(testContext(t), name); err != nil {
		t.Fatal(err)
	}
	if err := c.await(testContext(t), func() bool { return c.truth.peer(name) == nil }); err != nil {
		t.Fatal(err)
	}
	awaitReady(t, 4, a, b, c) // it is wanted there: there is a new one
	if hasData(c.opt.Drives[0].Path, name) || !exists(dataDir(c.opt.Drives[0].Path, name+awaySuffix)) {
		t.Errorf("I9: the directory of %s is not put away", name)
	}
	write(t, c.Supervisor, "k", "1")
	var g sync.WaitGroup
	for _, n := range []*meshNode{a, b} {
		g.Go(func() {
			if err := n.Reconcile(testContext(t), nil); err != nil {
				t.Errorf("%s: %v", n.name, err)
			}
		})
	}
	g.Wait()
	awaitReady(t, 2, a, b, c)
	if got := get(t, a.Supervisor, "k"); got != "1" {
		t.Errorf("k = %q", got)
	}
	if slices.ContainsFunc(c.Members(), func(st Status) bool { return st.Name == old }) {
		t.Errorf("I10: %s is back", old)
	}
	m.start() // and nothing failed
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// TestClientLeavesAMemberThatHangs: this node's member is the first choice, but not when it gives no answers.
func TestClientLeavesAMemberThatHangs(t *testing.T) {
	t.Parallel()
	_, a, b, c := three(t)
	awaitReady(t, 3, a, b, c)
	client, err := a.newClient(a.Dial)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	try := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := client.Put(ctx, "k", "1")
		if errors.Is(err, context.DeadlineExceeded) {
			a.Redial()
		}
		return err
	}
	poll.Nil(t, poll.Within, "a write", try)
	if a.clients.last.node != a.name {
		t.Errorf("a client on %s is connected to %+v", a.name, a.clients.last)
	}
	if err := syscall.Kill(a.Pid(), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer syscall.Kill(a.Pid(), syscall.SIGCONT)
	poll.Nil(t, poll.Within, "a write elsewhere", try)
	poll.Nil(t, poll.Within, "the supervisor's own question", func() error { return a.Remove(t.Context(), "m000000000000") })
}

// TestI4_AloneUntilAnotherNodeHasAMember: a node that has all members goes on without a quorum, and not any more when
// another node has one.
func TestI4_AloneUntilAnotherNodeHasAMember(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	a, b := m.node("n1", 2), m.node("n2", 2, "n1")
	a.opt.Bootstrap, a.opt.Sole, a.opt.Want = true, true, []ids.Drive{a.opt.Drives[0].Drive, a.opt.Drives[1].Drive}
	m.start(a)
	write(t, a.Supervisor, "k", "1")
	wipe(t, filepath.Join(a.opt.Drives[0].Path, etcdDir))
	if err := a.await(testContext(t), func() bool { return a.truth.Generation == 2 }); err != nil {
		t.Fatal(err)
	}
	awaitReady(t, 2, a)
	m.start(b)
	if err := b.Reconcile(testContext(t), b.opt.Drives); err != nil {
		t.Fatal(err)
	}
	awaitReady(t, 4, a, b)
	b.stop() // two of four: as many as the rule would allow to be lost
	a.stop()
	a.begin(t)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	if err := a.Start(ctx); !errors.Is(err, ErrNoQuorum) {
		t.Fatalf("I4: %v, want ErrNoQuorum", err)
	}
	if got, err := Look(a.opt); err != nil || len(got.Members) != 4 || got.Here() != 2 || !got.Spread() || got.Enough {
		t.Errorf("I4: %+v, %v", got, err)
	}
	if a.truth.Generation != 2 || a.truth.Alone {
		t.Errorf("I4: it went on alone: %+v", a.truth)
	}
}

// TestNodeHasAnotherName: a node that has all members keeps them under a new name; a node among others has none of them.
func TestNodeHasAnotherName(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	a := m.node("n1", 2)
	a.opt.Bootstrap, a.opt.Sole, a.opt.Want = true, true, []ids.Drive{a.opt.Drives[0].Drive, a.opt.Drives[1].Drive}
	m.start(a)
	write(t, a.Supervisor, "k", "1")
	a.stop()
	other := a.opt
	other.Node, other.Bootstrap, other.Sole = "n2", false, false
	if _, err := Start(testContext(t), other); !errors.Is(err, ErrNoMembers) {
		t.Fatalf("I9: drives of another node: %v, want ErrNoMembers", err)
	}
	other.Sole = true
	for range 2 {
		s := start(t, other)
		if err := s.await(testContext(t), func() bool { return s.truth.Node == "n2" || s.learned && !s.renamed }); err != nil {
			t.Fatal(err)
		}
		members, err := s.list(testContext(t))
		if err != nil || len(members) != 2 || members[0].Node != "n2" || members[1].Node != "n2" {
			t.Fatalf("etcd has %+v, %v", members, err)
		}
		if got := get(t, s, "k"); got != "1" {
			t.Errorf("k = %q", got)
		}
		s.Close()
		other.Sole = false // it is its name now
	}
}
