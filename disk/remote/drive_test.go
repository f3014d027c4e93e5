package remote

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/sherd-io/sherd/disk"
	"github.com/sherd-io/sherd/disk/chunk"
	"github.com/sherd-io/sherd/disk/disktest"
	"github.com/sherd-io/sherd/internal/bufpool"
	"github.com/sherd-io/sherd/internal/growfs"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/internal/poll"
)

// A drive of another node is held to what a drive of this one promises.
func TestContract(t *testing.T) {
	disktest.Run(t, func(t *testing.T) disktest.Drive {
		n := newNode(t, vfs.NewMem())
		return suiteDrive{n.client(nil).Drive(n.drive.ID())}
	})
}

// A listing of more than a page is whole.
func TestLongListing(t *testing.T) {
	n := newNode(t, vfs.NewMem())
	d := n.client(nil).Drive(n.drive.ID())
	const count = listMost + 10
	var wg sync.WaitGroup
	for i := range uint64(count) {
		s := disktest.NewSample(1, i, 1)
		wg.Add(1)
		d.Put(s.Header, s.Units(), s.Footer, func(err error) {
			if err != nil {
				t.Error(err)
			}
			wg.Done()
		})
		if i%256 == 255 {
			wg.Wait()
		}
	}
	wg.Wait()
	for _, most := range []int{1, listMost - 1, listMost, listMost + 1, count, count + 1} {
		list, err := d.AllChunks(t.Context(), nil, most)
		if err != nil || len(list) != min(most, count) {
			t.Fatalf("%d of at most %d: %v", len(list), most, err)
		}
		seen := map[ids.Chunk]bool{}
		for _, c := range list {
			seen[c.Key] = true
		}
		if len(seen) != len(list) {
			t.Fatalf("%d different ones among %d", len(seen), len(list))
		}
	}
}

// When the connections are lost, what was under way fails, what was half written is gone, and later calls connect again.
func TestConnectionLost(t *testing.T) {
	n := newNode(t, vfs.NewMem())
	d := n.client(nil).Drive(n.drive.ID())
	ctx := t.Context()
	s := disktest.NewSample(1, 1, 3<<20)
	w, err := d.Create(ctx, s.Header, 3<<20)
	must(t, err)
	must(t, w.Write(ctx, s.Units()[0]))
	stored := disktest.NewSample(1, 2, 3<<20)
	must(t, disktest.Put(suiteDrive{d}, stored))
	r, err := d.Open(ctx, stored.Header.Key)
	must(t, err)
	n.cut()
	var sealErr error
	poll.Nil(t, poll.Within, "a connection", func() error {
		sealErr = w.Seal(ctx, s.Footer)
		if errors.Is(sealErr, disk.ErrUnavailable) {
			return sealErr
		}
		return nil
	})
	wantErr(t, sealErr, disk.ErrInvalid) // the writer is gone
	w.Abort()
	if _, err := r.Read(ctx, 0, 1); err == nil {
		t.Error("read from a reader that is gone")
	}
	r.Close()
	_, err = d.Open(ctx, s.Header.Key)
	wantErr(t, err, disk.ErrNotFound)
	disktest.Check(t, suiteDrive{d}, stored)
	must(t, disktest.Put(suiteDrive{d}, s))
	disktest.Check(t, suiteDrive{d}, s)
}

// A reader or writer of before the connections were lost is never taken for one of after: its bytes are another chunk's.
func TestHandlesOfLostConnections(t *testing.T) {
	n := newNode(t, vfs.NewMem())
	d := n.client(nil).Drive(n.drive.ID())
	ctx := t.Context()
	const unit = 100 << 10
	first, second := disktest.NewSample(1, 1, 3<<20), disktest.NewSample(1, 2, 3<<20)
	must(t, disktest.Put(suiteDrive{d}, first))
	must(t, disktest.Put(suiteDrive{d}, second))
	for _, opened := range []uint64{10, 20} { // before and after: each with numbers that the other side may have had
		r, err := d.Open(ctx, first.Header.Key)
		must(t, err)
		w, err := d.Create(ctx, disktest.NewSample(2, opened, 3<<20).Header, 3<<20)
		must(t, err)
		n.cut()
		poll.Nil(t, poll.Within, "a connection", func() error { return disktest.Put(suiteDrive{d}, disktest.NewSample(3, opened, 1)) })
		var readers []*Reader
		var writers []*Writer
		for i := range opened {
			if opened == 10 {
				after, err := d.Open(ctx, second.Header.Key)
				must(t, err)
				readers = append(readers, after)
				continue
			}
			after, err := d.Create(ctx, disktest.NewSample(4, i, 3<<20).Header, 3<<20)
			must(t, err)
			writers = append(writers, after)
		}
		if b, err := r.Read(ctx, 0, unit); err == nil {
			t.Errorf("a reader that is gone gave bytes; of another chunk: %t", bytes.Equal(b.B, second.Payload[:unit]))
			b.Release()
		}
		wantErr(t, w.Write(ctx, first.Units()[0]), disk.ErrInvalid)
		for _, after := range readers {
			after.Close()
		}
		for _, after := range writers {
			after.Abort()
		}
		r.Close()
		w.Abort()
	}
}

// What a node opened for a client is closed there when it was sealed, when the call was given up or its answer came too late, and when
// it is closed after its drive went out of service: a client may have so many open and no more.
func TestNothingStaysOpen(t *testing.T) {
	var hang atomic.Bool
	gate := make(chan struct{})
	n := newNode(t, errorfs.Wrap(growfs.Wrap(vfs.NewMem()), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if hang.Load() && strings.Contains(op.Path, "chunks") {
			<-gate
		}
		return nil
	})))
	d := n.client(nil).Drive(n.drive.ID())
	var late sync.RWMutex
	n.wrap = func(c net.Conn) net.Conn { return &lateConn{c, &late} }
	quick := n.client(func(o *Options) { o.CallTimeout = 200 * time.Millisecond }).Drive(n.drive.ID())
	s, fresh := disktest.NewSample(1, 1, 3<<20), disktest.NewSample(1, 2, 3<<20)
	must(t, disktest.Put(suiteDrive{d}, s))
	n.awaitHandles(0)
	stays, err := d.Open(t.Context(), s.Header.Key)
	must(t, err)
	try := func(ctx context.Context, d *Drive, want error) {
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := d.Open(ctx, s.Header.Key)
			wantErr(t, err, want)
		})
		wg.Go(func() {
			_, err := d.Create(ctx, fresh.Header, 3<<20)
			wantErr(t, err, want)
		})
		wg.Wait()
	}
	late.Lock()
	try(t.Context(), quick, disk.ErrUnavailable)
	late.Unlock()
	hang.Store(true)
	ctx, cancel := context.WithCancel(t.Context()) // the node does not know when it ends
	time.AfterFunc(200*time.Millisecond, cancel)
	try(ctx, d, context.Canceled)
	hang.Store(false)
	close(gate)
	disktest.Check(t, suiteDrive{d}, s) // behind the others in the drive's queue
	n.awaitHandles(1)
	n.gone.Store(true)
	stays.Close()
	n.awaitHandles(0)
}

// lateConn keeps what it has read while late is locked.
type lateConn struct {
	net.Conn
	late *sync.RWMutex
}

func (c *lateConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.late.RLock()
	defer c.late.RUnlock()
	return n, err
}

// A drive that hangs costs its callers their time-out and nobody else anything.
func TestI12_HangingDrive(t *testing.T) {
	mem := vfs.NewMem()
	var hang atomic.Bool
	gate := make(chan struct{})
	n := newNodeThat(t, errorfs.Wrap(growfs.Wrap(mem), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if hang.Load() && strings.Contains(op.Path, "chunks") && op.Kind == errorfs.OpFileSyncData {
			<-gate
		}
		return nil
	})), time.Second)
	defer close(gate)
	c := n.client(func(o *Options) { o.CallTimeout = time.Hour }) // it is the drive's time-out that ends the call
	d := c.Drive(n.drive.ID())
	hang.Store(true)
	s := disktest.NewSample(1, 1, 5000)
	began := time.Now()
	wantErr(t, disktest.Put(suiteDrive{d}, s), disk.ErrUnavailable)
	if took := time.Since(began); took > poll.Within {
		t.Errorf("it took %s", took)
	}
	poll.Nil(t, poll.Within, "its health", func() error {
		if h := d.Health(); h.State == disk.OK {
			return errors.New("it is said to be well")
		}
		return nil
	})
	if _, err := c.Reachable(); err != nil {
		t.Error("its node: ", err)
	}
}

// What is to be read first comes with the answer to Open, whatever the range, and all else as ever.
func TestOpenAt(t *testing.T) {
	n := newNode(t, vfs.NewMem())
	d := n.client(nil).Drive(n.drive.ID())
	for _, size := range []int{1, 5000, 64 << 10, 256 << 10, 1 << 20, 6 << 20} {
		s := disktest.NewSample(1, uint64(size), size)
		must(t, disktest.Put(suiteDrive{d}, s))
		for _, first := range [][2]int{{0, 0}, {0, 1}, {0, size}, {size / 2, size / 3}, {size - 1, 1}, {size - 1, 100}, {size, 1}, {size + 5, 7}, {0, 5 << 20}} {
			r, err := d.OpenAt(t.Context(), s.Header.Key, int64(first[0]), int64(first[1]))
			must(t, err)
			for _, span := range [][2]int{first, {0, size}, first, {size / 2, size / 3}} {
				off := min(span[0], size)
				end := min(off+span[1], size)
				b, err := r.Read(t.Context(), int64(off), int64(end-off))
				must(t, err)
				if !bytes.Equal(b.B, s.Payload[off:end]) {
					t.Fatalf("%d bytes, first %v: [%d, %d) is wrong", size, first, off, end)
				}
				b.Release()
			}
			r.Close()
		}
	}
	if r, err := d.OpenAt(t.Context(), disktest.NewSample(1, 5, 1).Header.Key, -1, 100); err == nil {
		r.Close()
		t.Error("a chunk that is not there was opened")
	}
}

// A long list of keys is deleted, though no frame holds it.
func TestLongDelete(t *testing.T) {
	n := newNode(t, vfs.NewMem())
	d := suiteDrive{n.client(nil).Drive(n.drive.ID())}
	keys := make([]ids.Chunk, 2*chunk.KeysMax+1)
	for i := range keys {
		keys[i] = disktest.NewSample(1, uint64(i), 0).Header.Key
	}
	last := disktest.NewSample(1, uint64(len(keys)-1), 0)
	must(t, disktest.Put(d, last))
	must(t, disktest.Delete(d, keys...))
	_, err := d.Open(t.Context(), last.Header.Key)
	wantErr(t, err, disk.ErrNotFound)
}

// A call ends by its deadline though the node is silent, and a drive of a silent node is suspect.
func TestSilentNode(t *testing.T) {
	n := newNode(t, vfs.NewMem())
	var deaf atomic.Bool
	n.wrap = func(c net.Conn) net.Conn { return &deafConn{c, &deaf} }
	c := n.client(func(o *Options) {
		o.CallTimeout, o.WriteTimeout, o.DialTimeout = time.Second, time.Second, time.Second
	})
	d := c.Drive(n.drive.ID())
	deaf.Store(true)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := d.Open(ctx, disktest.NewSample(1, 1, 1).Header.Key)
	wantErr(t, err, disk.ErrUnavailable)
	wantErr(t, disktest.Put(suiteDrive{d}, disktest.NewSample(1, 1, 5000)), disk.ErrUnavailable)
	poll.Nil(t, poll.Within, "suspicion", func() error {
		if d.Health().State != disk.Suspect {
			return errors.New(d.Health().Reason)
		}
		return nil
	})
	deaf.Store(false)
	n.cut()
	poll.Nil(t, poll.Within, "its return", func() error {
		if h := d.Health(); h.State != disk.OK {
			return errors.New(h.Reason)
		}
		return nil
	})
}

// Calls under way to a node that went silent fail as soon as that is noticed, however long they might take, and those after its
// return succeed though nobody closed a connection.
func TestSilenceEndsCalls(t *testing.T) {
	n := newNode(t, vfs.NewMem())
	var deaf atomic.Bool
	n.wrap = func(c net.Conn) net.Conn { return &deafConn{c, &deaf} }
	c := n.client(func(o *Options) { o.CallTimeout, o.DialTimeout = time.Hour, time.Second })
	d := c.Drive(n.drive.ID())
	put := func(s *disktest.Sample) { // again where the machine was so busy that the node seemed silent
		t.Helper()
		poll.Nil(t, poll.Within, "a put", func() error { return disktest.Put(suiteDrive{d}, s) })
	}
	put(disktest.NewSample(1, 1, 500_000)) // so that there is a second connection
	deaf.Store(true)
	for _, bytes := range []int{5000, 500_000} {
		wantErr(t, disktest.Put(suiteDrive{d}, disktest.NewSample(2, 1, bytes)), disk.ErrUnavailable)
	}
	deaf.Store(false)
	poll.Nil(t, poll.Within, "its return", func() error {
		_, err := c.Reachable()
		return err
	})
	for _, bytes := range []int{5000, 500_000} {
		put(disktest.NewSample(uint64(bytes), 1, bytes))
	}
}

// deafConn takes what is written, and sends nothing on while deaf.
type deafConn struct {
	net.Conn
	deaf *atomic.Bool
}

func (c *deafConn) Write(b []byte) (int, error) {
	if c.deaf.Load() {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

// A node of another cluster is not spoken to.
func TestOtherCluster(t *testing.T) {
	n := newNode(t, vfs.NewMem())
	var pool bufpool.Pool
	c := NewClient(Options{Dial: n.dial, Cluster: ids.NewCluster(), Buffers: &pool, DialTimeout: poll.Within})
	defer c.Close()
	_, err := c.Drive(n.drive.ID()).Open(t.Context(), disktest.NewSample(1, 1, 1).Header.Key)
	if !errors.Is(err, disk.ErrInvalid) || !strings.Contains(err.Error(), n.cluster.String()) {
		t.Error(err)
	}
}

// A drive that the node does not have is not there; others are.
func TestUnknownDrive(t *testing.T) {
	n := newNode(t, vfs.NewMem())
	d := n.client(nil).Drive(ids.NewDrive())
	wantErr(t, disktest.Put(suiteDrive{d}, disktest.NewSample(1, 1, 100)), disk.ErrUnavailable)
	if h := d.Health(); h.State != disk.Failed {
		t.Error(h)
	}
}

// The server's budget bounds what it holds, and all calls get through.
func TestBudget(t *testing.T) {
	n := newNode(t, vfs.NewMem())
	n.server.opt.Budget = 2 << 20
	n.server.budget = newBudget(2 << 20)
	d := suiteDrive{n.client(nil).Drive(n.drive.ID())}
	var wg sync.WaitGroup
	for i := range uint64(20) {
		wg.Go(func() {
			s := disktest.NewSample(1, i, 1<<20)
			if err := disktest.Put(d, s); err != nil {
				t.Error(err)
				return
			}
			disktest.Check(t, d, s)
		})
	}
	wg.Wait()
}

// I12: while a drive that hangs has all of the budget, its node says how its drives are, and does what needs no room.
func TestI12_NoBudgetNeeded(t *testing.T) {
	var hang atomic.Bool
	gate := make(chan struct{})
	n := newNodeThat(t, errorfs.Wrap(growfs.Wrap(vfs.NewMem()), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if hang.Load() && strings.Contains(op.Path, "chunks") && op.Kind == errorfs.OpFileSyncData {
			<-gate
		}
		return nil
	})), poll.Within)
	n.server.opt.Budget = 1 << 20
	n.server.budget = newBudget(1 << 20)
	c := n.client(nil)
	d := c.Drive(n.drive.ID())
	hang.Store(true)
	var wg sync.WaitGroup
	for i := range uint64(8) {
		wg.Go(func() {
			if err := disktest.Put(suiteDrive{d}, disktest.NewSample(1, i, 1<<20)); err != nil {
				t.Error(err)
			}
		})
	}
	poll.True(t, poll.Within, "somebody to wait for the budget", func() bool {
		free := n.server.budget.TryAcquire(1)
		if free {
			n.server.budget.Release(1)
		}
		return !free
	})
	_, err := d.Open(t.Context(), disktest.NewSample(1, 100, 1).Header.Key)
	wantErr(t, err, disk.ErrNotFound)
	if _, err := c.stat(); err != nil {
		t.Error(err)
	}
	close(gate)
	wg.Wait()
}

// I23: a caller that waits no longer learns that, whoever noticed first, and nothing of the drive.
func TestI23_ImpatienceIsNoFault(t *testing.T) {
	var hang atomic.Bool
	gate := make(chan struct{})
	n := newNode(t, errorfs.Wrap(growfs.Wrap(vfs.NewMem()), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if hang.Load() && strings.Contains(op.Path, "chunks") && op.Kind == errorfs.OpFileReadAt {
			<-gate
		}
		return nil
	})))
	defer close(gate)
	d := suiteDrive{n.client(nil).Drive(n.drive.ID())}
	s := disktest.NewSample(1, 1, 200_000)
	must(t, disktest.Put(d, s))
	hang.Store(true)
	for i := range 30 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*time.Millisecond/2)
		_, err := d.Open(ctx, s.Header.Key)
		if !errors.Is(err, context.DeadlineExceeded) || ctx.Err() == nil {
			t.Errorf("%v while the context says %v", err, ctx.Err())
		}
		cancel()
	}
}

// A caller that gives up has its bytes back when the call returns, and no other call on the connection suffers.
func TestBytesOfACancelledCall(t *testing.T) {
	n := newNode(t, vfs.NewMem())
	var slow atomic.Bool
	n.wrap = func(c net.Conn) net.Conn { return &slowConn{c, &slow} }
	d := suiteDrive{n.client(func(o *Options) { o.Conns = 1 }).Drive(n.drive.ID())}
	s := disktest.NewSample(1, 1, 3<<20)
	w, err := d.Create(t.Context(), s.Header, int64(len(s.Payload)))
	must(t, err)
	slow.Store(true)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	unit := s.Units()[0]
	wantErr(t, w.Write(ctx, unit), context.DeadlineExceeded)
	clear(unit)
	slow.Store(false)
	w.Abort()
	must(t, disktest.Put(d, disktest.NewSample(1, 2, 5000)))
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.ended) > 0 {
		t.Errorf("connections ended: %v", n.ended)
	}
}

// slowConn sends a little at a time.
type slowConn struct {
	net.Conn
	slow *atomic.Bool
}

func (c *slowConn) Write(b []byte) (n int, err error) {
	for n < len(b) && err == nil && c.slow.Load() {
		time.Sleep(5 * time.Millisecond)
		var k int
		k, err = c.Conn.Write(b[n:min(n+16<<10, len(b))])
		n += k
	}
	if err != nil || n == len(b) {
		return n, err
	}
	k, err := c.Conn.Write(b[n:])
	return n + k, err
}
