package remote

import (
	"net"
	"sync"
)

// links are the connections between nodes. Each direction of a pair can be held, as by a network that loses all packets,
// and a pair can be cut, as by one that refuses them.
type links struct {
	mu    sync.Mutex
	conns []*link
	held  map[[2]string]chan struct{} // closed when the direction is let go
	cuts  map[[2]string]bool
	after map[[2]string]int // bytes until the direction is held
}

func newLinks() *links {
	return &links{held: map[[2]string]chan struct{}{}, cuts: map[[2]string]bool{}, after: map[[2]string]int{}}
}

// link is the dialing side's end of a connection.
type link struct {
	net.Conn
	all      *links
	from, to string
	once     sync.Once
	closed   chan struct{}
}

func (l *links) add(from, to string, conn net.Conn) net.Conn {
	c := &link{Conn: conn, all: l, from: from, to: to, closed: make(chan struct{})}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns = append(l.conns, c)
	return c
}

// wait waits while the direction is held. False: the connection ended.
func (c *link) wait(from, to string) bool {
	for {
		c.all.mu.Lock()
		held := c.all.held[[2]string{from, to}]
		c.all.mu.Unlock()
		if held == nil {
			return true
		}
		select {
		case <-held:
		case <-c.closed:
			return false
		}
	}
}

func (c *link) Write(p []byte) (int, error) {
	if !c.wait(c.from, c.to) {
		return 0, net.ErrClosed
	}
	c.all.count(c.from, c.to, len(p))
	return c.Conn.Write(p)
}

func (c *link) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if !c.wait(c.to, c.from) {
		return 0, net.ErrClosed
	}
	return n, err
}

func (c *link) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// hold stops everything on its way from one node to another, on connections of either.
func (l *links) hold(from, to string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held[[2]string{from, to}] == nil {
		l.held[[2]string{from, to}] = make(chan struct{})
	}
}

func (l *links) letGo(from, to string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if held := l.held[[2]string{from, to}]; held != nil {
		close(held)
		delete(l.held, [2]string{from, to})
	}
}

// cut ends all connections between two nodes and refuses new ones.
func (l *links) cut(a, b string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cuts[[2]string{a, b}], l.cuts[[2]string{b, a}] = true, true
	for _, c := range l.conns {
		if c.from == a && c.to == b || c.from == b && c.to == a {
			_ = c.Close()
		}
	}
}

func (l *links) join(a, b string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.cuts, [2]string{a, b})
	delete(l.cuts, [2]string{b, a})
}

func (l *links) isCut(from, to string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cuts[[2]string{from, to}]
}

func (l *links) closeAll() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.conns {
		_ = c.Close()
	}
}

// holdAfter holds a direction once so many bytes more have gone that way.
func (l *links) holdAfter(from, to string, bytes int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.after[[2]string{from, to}] = bytes
}

func (l *links) isHeld(from, to string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.held[[2]string{from, to}] != nil
}

// count holds a direction when it is time.
func (l *links) count(from, to string, bytes int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := [2]string{from, to}
	left, ok := l.after[key]
	if !ok {
		return
	}
	if left -= bytes; left > 0 {
		l.after[key] = left
		return
	}
	delete(l.after, key)
	l.held[key] = make(chan struct{})
}

// healAll mends everything.
func (l *links) healAll() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, held := range l.held {
		close(held)
		delete(l.held, key)
	}
	clear(l.cuts)
}
