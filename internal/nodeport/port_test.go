package nodeport

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sherd-io/sherd/internal/poll"
	"github.com/sherd-io/sherd/internal/trust"
)

// lines is a log whose lines are counted.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) count(what string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), what)
}

func identity(t testing.TB, a *trust.Authority, node string) *trust.Identity {
	t.Helper()
	request, key, err := trust.Request(node)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := a.Sign(request, node, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	id, err := trust.Load(cert, key, a.Certificate(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// cluster is some nodes' ports on loopback that know each other.
type cluster struct {
	authority *trust.Authority

	ports   map[string]*Port
	log     *lines
	removed sync.Map // names of nodes
}

func newCluster(t testing.TB, plain bool, nodes ...string) *cluster {
	t.Helper()
	a, err := trust.New()
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{authority: a, ports: map[string]*Port{}, log: &lines{}}
	addrs := map[string]string{}
	for _, n := range nodes {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addrs[n] = l.Addr().String()
		opt := Options{
			Self: n, Listener: l, Plain: plain, HandshakeTimeout: poll.Within,
			Member: func(name string) bool {
				_, removed := c.removed.Load(name)
				return addrs[name] != "" && !removed
			},
			JoinsMax: 2,
			Addr:     func(name string) string { return addrs[name] },
			Logger:   slog.New(slog.NewTextHandler(c.log, nil)),
		}
		if !plain {
			own := identity(t, a, n)
			opt.Identity = func() *trust.Identity { return own }
		}
		p, err := New(opt)
		if err != nil {
			t.Fatal(err)
		}
		c.ports[n] = p
	}
	return c
}

// serve starts all ports; each answers on the protocol with its name, the peer's and what it is sent.
func (c *cluster) serve(t testing.TB, protocols ...Protocol) {
	for name, p := range c.ports {
		for _, q := range protocols {
			l := p.Listen(q)
			go func() {
				for {
					nc, err := l.Accept()
					if err != nil {
						return
					}
					go func() {
						defer nc.Close()
						b, _ := io.ReadAll(nc)
						io.WriteString(nc, name+" hears "+nc.(*Conn).Node+" on "+string(q)+": "+string(b))
					}()
				}
			}()
		}
		served := make(chan error, 1)
		go func() { served <- p.Serve() }()
		t.Cleanup(func() {
			p.Close()
			if err := <-served; err != nil {
				t.Error(err)
			}
		})
	}
}

func ask(t *testing.T, nc net.Conn, what string) string {
	t.Helper()
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(poll.Within))
	if _, err := io.WriteString(nc, what); err != nil {
		t.Fatal(err)
	}
	if err := nc.(*Conn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(nc)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestEachProtocolReachesItsHandler(t *testing.T) {
	for _, plain := range []bool{false, true} {
		c := newCluster(t, plain, "n1", "n2")
		c.serve(t, Drive, Etcd)
		for _, q := range []Protocol{Drive, Etcd} {
			nc, err := c.ports["n1"].Dial(t.Context(), "n2", q)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := ask(t, nc, "hello"), "n2 hears n1 on "+string(q)+": hello"; got != want {
				t.Errorf("plain %v: %q, want %q", plain, got, want)
			}
		}
	}
}

// What a silent machine holds up is bounded by the system, most of all a client's way to etcd, by which it learns which nodes are away.
func TestDeadPeersAreGivenUp(t *testing.T) {
	c := newCluster(t, false, "n1", "n2")
	c.serve(t, Drive, Etcd)
	n1 := c.ports["n1"]
	dial, last := n1.opt.Dial, net.Conn(nil)
	n1.opt.Dial = func(ctx context.Context, network, addr string) (nc net.Conn, err error) {
		last, err = dial(ctx, network, addr)
		return last, err
	}
	for protocol, want := range map[Protocol]time.Duration{Drive: deadAfter, Etcd: etcdDeadAfter} {
		nc, err := n1.Dial(t.Context(), "n2", protocol)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := last.(*net.TCPConn).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		err = raw.Control(func(fd uintptr) {
			got, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT)
			if err != nil || got != int(want.Milliseconds()) {
				t.Errorf("%s: %d ms (%v), want %s", protocol, got, err, want)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		nc.Close()
	}
}

// I24: what is not of the cluster reaches no handler, is logged once, and nothing of it stays.
func TestI24_StrangersAreRefused(t *testing.T) {
	c := newCluster(t, false, "n1", "n2")
	c.serve(t, Drive, Join)
	addr := c.ports["n2"].Addr().String()

	other, _ := trust.New()
	false1 := identity(t, other, "n1")
	stranger, err := New(Options{
		Self: "n1", Identity: func() *trust.Identity { return false1 },
		Member: func(string) bool { return true }, Addr: func(string) string { return addr },
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stranger.Dial(t.Context(), "n2", Drive); !errors.Is(err, trust.ErrPeer) {
		t.Errorf("another authority: %v", err)
	}
	if _, err := c.ports["n1"].Dial(t.Context(), "n3", Drive); !errors.Is(err, ErrUnknown) {
		t.Errorf("unknown node: %v", err)
	}
	if _, err := c.ports["n1"].DialAddr(t.Context(), addr, "n3", Drive); !errors.Is(err, trust.ErrPeer) {
		t.Errorf("n2 taken for n3: %v", err)
	}
	for range 5 {
		nc, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(nc, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		nc.SetReadDeadline(time.Now().Add(poll.Within))
		if _, err := io.ReadAll(nc); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error("garbage is kept connected")
		}
		nc.Close()
	}
	p := c.ports["n2"]
	poll.True(t, poll.Within, "no handshake under way", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return len(p.waiting) == 0 && len(p.places) <= 1
	})
	if n := c.log.count("refused"); n != 1 {
		t.Errorf("said %d times", n)
	}
}

// One who connects and says nothing holds his place for HandshakeTimeout only.
func TestSilentStrangerIsDropped(t *testing.T) {
	for _, plain := range []bool{false, true} {
		c := newCluster(t, plain, "n1")
		c.ports["n1"].opt.HandshakeTimeout = time.Second
		c.serve(t, Drive)
		nc, err := net.Dial("tcp", c.ports["n1"].Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		nc.SetReadDeadline(time.Now().Add(poll.Within))
		if _, err := io.ReadAll(nc); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error("it is still connected")
		}
	}
}

// TestSilentStrangersKeepNobodyOut: when there are too many handshakes the oldest gives way: a node's is over at once.
func TestSilentStrangersKeepNobodyOut(t *testing.T) {
	for _, plain := range []bool{false, true} {
		c := newCluster(t, plain, "n1", "n2")
		p := c.ports["n2"]
		p.opt.HandshakeTimeout, p.places = time.Hour, make(chan struct{}, 2)
		c.serve(t, Drive)
		for range 5 {
			silent, err := net.Dial("tcp", p.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer silent.Close()
		}
		nc, err := c.ports["n1"].Dial(t.Context(), "n2", Drive)
		if err != nil {
			t.Fatalf("plain %v: %v", plain, err)
		}
		if got, want := ask(t, nc, "hello"), "n2 hears n1 on "+string(Drive)+": hello"; got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// I24: a node that is taken out of the cluster keeps none of its connections, and the others keep theirs.
func TestI24_RemovedNodesAreExpelled(t *testing.T) {
	for _, plain := range []bool{false, true} {
		c := newCluster(t, plain, "n1", "n2", "n3")
		c.serve(t, Drive)
		conns := map[string]net.Conn{}
		for _, n := range []string{"n1", "n3"} {
			nc, err := c.ports[n].Dial(t.Context(), "n2", Drive)
			if err != nil {
				t.Fatal(err)
			}
			conns[n] = nc
		}
		p := c.ports["n2"]
		poll.True(t, poll.Within, "two connections", func() bool {
			p.mu.Lock()
			defer p.mu.Unlock()
			return len(p.held) == 2
		})
		c.removed.Store("n1", true)
		p.Expel()
		conns["n1"].SetReadDeadline(time.Now().Add(poll.Within))
		if b, err := io.ReadAll(conns["n1"]); len(b) > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("plain %v: it is still served: %q, %v", plain, b, err)
		}
		if got := ask(t, conns["n3"], "x"); got != "n2 hears n3 on sherd-drive/1: x" {
			t.Errorf("plain %v: %q", plain, got)
		}
		poll.True(t, poll.Within, "no connection", func() bool {
			p.mu.Lock()
			defer p.mu.Unlock()
			return len(p.held) == 0
		})
	}
}

// I24: those who are no nodes have a few connections, however many they make, and are in no node's way.
func TestI24_JoinersAreBounded(t *testing.T) {
	c := newCluster(t, false, "n1", "n2")
	c.serve(t, Drive, Join)
	connect := func() net.Conn {
		nc, err := tls.Dial("tcp", c.ports["n2"].Addr().String(), trust.Joining(c.authority.Hash(), string(Join)))
		if err != nil {
			t.Fatal(err)
		}
		nc.SetDeadline(time.Now().Add(poll.Within))
		return nc
	}
	joining := func(n int) {
		t.Helper()
		p := c.ports["n2"]
		poll.True(t, poll.Within, "those who join", func() bool {
			p.mu.Lock()
			defer p.mu.Unlock()
			return p.joining == n
		})
	}
	kept := []net.Conn{connect(), connect()}
	joining(2)
	for range 3 {
		if b, err := io.ReadAll(connect()); len(b) > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("one too many is served: %q, %v", b, err)
		}
	}
	nc, err := c.ports["n1"].Dial(t.Context(), "n2", Drive)
	if err != nil {
		t.Fatal(err)
	}
	if got := ask(t, nc, "x"); got != "n2 hears n1 on sherd-drive/1: x" {
		t.Error(got)
	}
	for _, nc := range kept {
		nc.Close()
	}
	joining(0)
	connect().Close()
	joining(0)
}

func FuzzPlainLine(f *testing.F) {
	f.Add("sherd-plain/1 n1 n2 h2")
	f.Add("sherd-plain/1 - n2 sherd-join/1")
	p, err := New(Options{Self: "n2", Plain: true, Member: func(n string) bool { return n == "n1" }, Addr: func(string) string { return "" }})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, line string) {
		from, protocol, err := p.parsePlain(line)
		if err == nil && (from != "n1" && protocol != Join || !isKnown(protocol)) {
			t.Errorf("%q is let in as %q for %q", line, from, protocol)
		}
	})
}
