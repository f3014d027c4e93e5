package member

import (
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// tunnels are the connections that are copied to and from other nodes. Each is of a class (one member, one node, one kind),
// and a class has at most tunnelsMax: a new one puts the one that was used least recently out, so that the half-open ones of
// a node that died are not in the way of those that it makes when it is back.
type tunnels struct {
	mu      sync.Mutex
	closed  bool
	open    map[*tunnel]struct{}
	running sync.WaitGroup
}

// tunnel copies between two connections, which it owns.
type tunnel struct {
	class     tunnelClass
	near, far net.Conn
	used      atomic.Int64 // when bytes came last, in ns since 1970
}

type tunnelClass struct {
	node, member string
	kind         Kind
	in           bool
}

const (
	tunnelsMax  = 32               // two members have about ten between them, one node's clients about five
	tunnelIdle  = 2 * time.Minute  // without a byte either way; peers and clients send something every few seconds
	tunnelStall = 15 * time.Second // of a write that nobody takes
	tunnelBytes = 16 << 10
)

func newTunnels() *tunnels { return &tunnels{open: make(map[*tunnel]struct{})} }

// run copies both ways until one end closes or fails, or close is called. It closes both connections.
func (ts *tunnels) run(class tunnelClass, near, far net.Conn) {
	t := &tunnel{class: class, near: near, far: far}
	t.used.Store(time.Now().UnixNano())
	if !ts.add(t) {
		t.end()
		return
	}
	defer ts.remove(t)
	var back sync.WaitGroup
	back.Go(func() {
		t.copy(near, far)
		t.end()
	})
	t.copy(far, near)
	t.end()
	back.Wait()
}

// add takes a tunnel in, in the place of an old one where there are too many. It fails after close.
func (ts *tunnels) add(t *tunnel) bool {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.closed {
		return false
	}
	var oldest *tunnel
	same := 0
	for o := range ts.open {
		if o.class == t.class {
			same++
			if oldest == nil || o.used.Load() < oldest.used.Load() {
				oldest = o
			}
		}
	}
	if same >= tunnelsMax {
		oldest.end() // its own run removes it
		delete(ts.open, oldest)
	}
	ts.open[t] = struct{}{}
	ts.running.Add(1)
	return true
}

func (ts *tunnels) remove(t *tunnel) {
	ts.mu.Lock()
	delete(ts.open, t)
	ts.mu.Unlock()
	ts.running.Done()
}

// drop ends the tunnels of which cond holds.
func (ts *tunnels) drop(cond func(tunnelClass) bool) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	for t := range ts.open {
		if cond(t.class) {
			t.end()
		}
	}
}

// close ends all, now and later, and waits for them.
func (ts *tunnels) close() {
	ts.mu.Lock()
	ts.closed = true
	ts.mu.Unlock()
	ts.drop(func(tunnelClass) bool { return true })
	ts.running.Wait()
}

func (t *tunnel) end() {
	t.near.Close()
	t.far.Close()
}

// copy moves bytes one way until either end fails.
func (t *tunnel) copy(to, from net.Conn) {
	buf := make([]byte, tunnelBytes)
	for {
		from.SetReadDeadline(time.Now().Add(tunnelIdle)) // fails only on what is closed: so does the read
		n, err := from.Read(buf)
		if n > 0 {
			t.used.Store(time.Now().UnixNano())
			to.SetWriteDeadline(time.Now().Add(tunnelStall))
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		busy := time.Since(time.Unix(0, t.used.Load())) < tunnelIdle // the other way
		if err != nil && !(busy && errors.Is(err, os.ErrDeadlineExceeded)) {
			return
		}
	}
}
