package nodeport

import (
	"bufio"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

const (
	readBatch  = 64 << 10  // bytes taken off the socket at once: four TLS records
	writeBatch = 128 << 10 // bytes that wait for a write at most
)

// batched is the transport below TLS. TLS reads and writes a record of 16 KiB at a time; here several share a system call.
type batched struct {
	net.Conn
	r *bufio.Reader // TLS reads from one goroutine at a time

	closing atomic.Bool

	mu      sync.Mutex
	held    bool
	waiting []byte // while held
}

func batch(nc net.Conn) *batched { return &batched{Conn: nc, r: bufio.NewReaderSize(nc, readBatch)} }

// Read implements net.Conn.
func (b *batched) Read(p []byte) (int, error) { return b.r.Read(p) }

// Write implements net.Conn. While held, an error may come with a later call.
func (b *batched) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.held {
		return b.Conn.Write(p)
	}
	if len(b.waiting)+len(p) > writeBatch {
		if err := b.flush(); err != nil {
			return 0, err
		}
	}
	b.waiting = append(b.waiting, p...)
	return len(p), nil
}

// hold keeps back what is written until release.
func (b *batched) hold() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.held = true
}

func (b *batched) release() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.held = false
	return b.flush()
}

func (b *batched) flush() error {
	if len(b.waiting) == 0 {
		return nil
	}
	_, err := b.Conn.Write(b.waiting)
	b.waiting = b.waiting[:0]
	return err
}

// goodbyeWithin is what TLS may take to say that a connection ends. Where the peer's machine takes nothing any more it would be five seconds,
// for which all that waits on the connection would wait too.
const goodbyeWithin = 100 * time.Millisecond

// SetWriteDeadline implements net.Conn. TLS sets one before its goodbye.
func (b *batched) SetWriteDeadline(t time.Time) error {
	if soon := time.Now().Add(goodbyeWithin); b.closing.Load() && soon.Before(t) {
		t = soon
	}
	return b.Conn.SetWriteDeadline(t)
}

// CloseWrite ends what is sent, as *net.TCPConn's does.
func (b *batched) CloseWrite() error {
	if half, ok := b.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return b.Conn.Close()
}
