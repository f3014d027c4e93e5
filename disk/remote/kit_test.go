package remote

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sherd-io/sherd/disk"
	"github.com/sherd-io/sherd/disk/chunk"
	"github.com/sherd-io/sherd/disk/disktest"
	"github.com/sherd-io/sherd/internal/bufpool"
	"github.com/sherd-io/sherd/internal/growfs"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/internal/poll"
)

// node is a server with one drive, on loopback, and what connects to it.
type node struct {
	t       testing.TB
	cluster ids.Cluster
	drive   *disk.Drive
	server  *Server
	buffers bufpool.Pool
	listen  net.Listener

	mu    sync.Mutex
	conns []net.Conn // the client's ends
	wrap  func(net.Conn) net.Conn
	ended []error // what Serve said

	gone atomic.Bool // the drive is out of service
}

func newNode(t testing.TB, fs vfs.FS) *node { return newNodeThat(t, fs, poll.Within) }

// newNodeThat has a drive that counts as hanging after the given time.
func newNodeThat(t testing.TB, fs vfs.FS, hangAfter time.Duration) *node {
	t.Helper()
	if mem, ok := fs.(*vfs.MemFS); ok {
		fs = growfs.Wrap(mem)
	}
	n := &node{t: t, cluster: ids.NewCluster(), wrap: func(c net.Conn) net.Conn { return c }}
	opt := disk.Options{FS: fs, Path: "d1", SegmentBytes: 8 << 20, LogSegmentBytes: 1 << 20, PrefillBytes: 64 << 10, Buffers: &n.buffers, HangAfter: hangAfter, Logger: slog.New(slog.DiscardHandler)}
	_, err := disk.Format(opt, n.cluster)
	must(t, err)
	n.drive, err = disk.Open(opt)
	must(t, err)
	n.server = NewServer(ServerOptions{
		Drives: func() []*disk.Drive { return []*disk.Drive{n.drive} },
		Drive: func(id ids.Drive) *disk.Drive {
			if id == n.drive.ID() && !n.gone.Load() {
				return n.drive
			}
			return nil
		},
		Cluster: func() (ids.Cluster, error) { return n.cluster, nil },
		Buffers: &n.buffers,
	})
	n.listen, err = net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := n.listen.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				err := n.server.Serve(c)
				n.mu.Lock()
				defer n.mu.Unlock()
				n.ended = append(n.ended, err)
			})
		}
	})
	t.Cleanup(func() {
		n.listen.Close()
		n.server.Close()
		serving.Wait()
		n.drive.Close()
		if t.Failed() {
			return
		}
		poll.Nil(t, poll.Within, "the end of what hung in the drive", func() error {
			if lent := n.buffers.Lent(); lent != 0 {
				return fmt.Errorf("%d bytes of buffers were not given back", lent)
			}
			return nil
		})
	})
	return n
}

func (n *node) dial(ctx context.Context) (net.Conn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", n.listen.Addr().String())
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	c = n.wrap(c)
	n.conns = append(n.conns, c)
	return c, nil
}

// cut ends all connections that are there, and lets none begin before the node has noticed: what a client has open stays as long as it has one.
func (n *node) cut() {
	n.t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range n.conns {
		c.Close()
	}
	n.conns = nil
	poll.Nil(n.t, poll.Within, "the sessions' end", func() error {
		n.server.mu.Lock()
		defer n.server.mu.Unlock()
		if left := len(n.server.sessions); left != 0 {
			return fmt.Errorf("%d left", left)
		}
		return nil
	})
}

// awaitHandles waits until so many readers and writers are open.
func (n *node) awaitHandles(want int) {
	n.t.Helper()
	poll.Nil(n.t, poll.Within, "the number of what is open", func() error {
		n.server.mu.Lock()
		defer n.server.mu.Unlock()
		open := 0
		for _, s := range n.server.sessions {
			s.mu.Lock()
			open += len(s.open)
			s.mu.Unlock()
		}
		if open != want {
			return fmt.Errorf("%d readers and writers are open, not %d", open, want)
		}
		return nil
	})
}

// client connects, and waits until it knows the drive.
func (n *node) client(change func(*Options)) *Client {
	n.t.Helper()
	opt := Options{
		Dial: n.dial, Cluster: n.cluster, Buffers: &n.buffers, StatEvery: 20 * time.Millisecond,
		DialTimeout: poll.Within, CallTimeout: poll.Within, WriteTimeout: poll.Within, // a busy machine is not silent
	}
	if change != nil {
		change(&opt)
	}
	c := NewClient(opt)
	n.t.Cleanup(c.Close)
	poll.Nil(n.t, poll.Within, "the node", func() error { _, err := c.Reachable(); return err })
	return c
}

// suiteDrive is a Drive as disktest wants it.
type suiteDrive struct{ *Drive }

func (d suiteDrive) Create(ctx context.Context, h chunk.Header, shardBytes int64) (disktest.Writer, error) {
	w, err := d.Drive.Create(ctx, h, shardBytes)
	if err != nil {
		return nil, err
	}
	return w, nil
}

func (d suiteDrive) Open(ctx context.Context, key ids.Chunk) (disktest.Reader, error) {
	r, err := d.Drive.Open(ctx, key)
	if err != nil {
		return nil, err
	}
	return r, nil
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantErr(t testing.TB, err, is error) {
	t.Helper()
	if !errors.Is(err, is) {
		t.Errorf("%v, want %v", err, is)
	}
}
