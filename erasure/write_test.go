package erasure

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/sherd-io/sherd/disk"
	"github.com/sherd-io/sherd/disk/chunk"
	"github.com/sherd-io/sherd/internal/growfs"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/internal/poll"
	"github.com/sherd-io/sherd/placement"
)

// hookSource calls fn once, when n bytes were read.
type hookSource struct {
	r  io.Reader
	n  int
	fn func()
}

func (s *hookSource) Read(p []byte) (int, error) {
	n, err := s.r.Read(p[:min(len(p), 4096)])
	if s.n -= n; s.n <= 0 && s.fn != nil {
		s.fn()
		s.fn = nil
	}
	return n, err
}

func (s *hookSource) Settle() error { return nil }

// TestI2_CatchUp: a drive comes back while a long body is written; what its first blobs missed is made before the end.
func TestI2_CatchUp(t *testing.T) {
	c := newCluster(t, 4, 2, 64<<10, 0, func(o *Options) { o.BlobBytes = 300_000 })
	c.state(2, placement.DriveDown)
	b := c.random(900_000)
	src := &hookSource{r: bytes.NewReader(b), n: 700_000, fn: func() { c.state(2, placement.DriveUp) }}
	w, err := c.store.Write(context.Background(), c.target(), int64(len(b)), src)
	if err != nil || len(w.Missed) != 0 {
		t.Fatalf("%v, missed %v", err, w.Missed)
	}
	for i := range w.PGs {
		if st, err := c.store.VerifyBlob(context.Background(), w.Blob(i)); err != nil || !st.Clean() {
			t.Errorf("blob %d: %v %v", i, st.Bad, err)
		}
	}
}

// TestI2_CatchUpAfterFailure: a drive fails during a long write, is opened again and counts as up before the end.
func TestI2_CatchUpAfterFailure(t *testing.T) {
	c := newCluster(t, 4, 2, 64<<10, 0, func(o *Options) { o.BlobBytes = 300_000 })
	c.mem[2].set(func() { c.mem[2].putErr = errors.New("input/output error") })
	b := c.random(900_000)
	src := &hookSource{r: bytes.NewReader(b), n: 700_000, fn: func() {
		c.mem[2].heal()
		c.change(func(m *placement.Map) { m.Drives[c.ids[2]].Since = time.Now() }) // it was suspect, and was drained
	}}
	w, err := c.store.Write(context.Background(), c.target(), int64(len(b)), src)
	if err != nil || len(w.Missed) != 0 {
		t.Fatalf("%v, missed %v", err, w.Missed)
	}
}

// TestI2_AwayIsReported: the map holds a drive to be up that cannot be reached: it must turn suspect.
func TestI2_AwayIsReported(t *testing.T) {
	c := newCluster(t, 4, 2, 64<<10, 0, nil)
	c.mu.Lock()
	delete(c.drives, c.ids[2])
	c.mu.Unlock()
	w := c.mustPut("a", 300_000)
	if len(w.Missed) != 1 || len(c.bad) != 1 || c.bad[0].Drive != c.ids[2] || !c.bad[0].Write {
		t.Errorf("missed %v, reported %v", w.Missed, c.bad)
	}
}

// TestVerifyReadsAll: a data shard on a drive that one would rather not ask is read all the same.
func TestVerifyReadsAll(t *testing.T) {
	for _, state := range []placement.DriveState{placement.DriveUp, placement.DriveSuspect, placement.DriveDown} {
		c := newCluster(t, 4, 2, 64<<10, 0, nil)
		ref := c.mustPut("a", 300_000).Blob(0)
		c.lose(ref, 1)
		c.corrupt(ref, 2)
		for i, d := range c.mem {
			if d == c.on(ref, 1) || d == c.on(ref, 2) {
				c.state(i, state)
			}
		}
		st, err := c.store.VerifyBlob(context.Background(), ref)
		if err != nil || !st.Sum || !slices.Equal(st.Bad, []Kind{0, Missing, Corrupt, 0, 0, 0}) {
			t.Errorf("%s: %v %v", state, st.Bad, err)
		}
	}
}

// TestSpareGroups: groups without the drive that is down take the blobs, at full strength.
func TestSpareGroups(t *testing.T) {
	c := newCluster(t, 2, 1, 64<<10, 3, nil)
	c.state(0, placement.DriveDown)
	for range 30 {
		if w := c.mustPut("a", 100_000); len(w.Missed) != 0 {
			t.Fatal("a group with a drive that is down was chosen")
		}
	}
	seen := map[ids.PG]bool{}
	for range 100 {
		seen[c.mustPut("a", 10).PGs[0]] = true
	}
	if len(seen) < 3 {
		t.Errorf("blobs went to %d groups only", len(seen))
	}
}

// TestWriteMemoryIsBounded: a slow drive holds the body back, it does not fill the memory.
func TestWriteMemoryIsBounded(t *testing.T) { synctest.Test(t, writeMemoryIsBounded) }

func writeMemoryIsBounded(t *testing.T) {
	const unit = 16 << 10
	c := newCluster(t, 4, 2, unit, 0, func(o *Options) { o.wholeMax = 1 })
	body := c.random(4 << 20)
	most := int64(0)
	var reads int
	watch := readerFunc(func(p []byte) (int, error) {
		most = max(most, c.buffers.Lent())
		if reads++; reads%50 == 0 {
			synctest.Wait() // the drives have taken what they can
		}
		n := copy(p[:min(len(p), 4096)], body)
		body = body[n:]
		if n == 0 {
			return 0, io.EOF
		}
		return n, nil
	})
	if _, err := c.store.Write(context.Background(), c.target(), 4<<20, plainSource{watch}); err != nil {
		t.Fatal(err)
	}
	// Three stripes in flight, and as many that wait for the source to settle; a stripe's buffers are powers of two.
	if limit := int64(2 * 3 * (4*unit + 2*unit)); most > limit {
		t.Errorf("%d bytes lent at once, want at most %d", most, limit)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// TestReadCancelled: a reader whose client goes away leaves nothing behind.
func TestReadCancelled(t *testing.T) {
	c := newCluster(t, 4, 2, 16<<10, 0, func(o *Options) { o.BlobBytes = 500_000 })
	c.mustPut("a", 2_000_000)
	before := runtime.NumGoroutine()
	for stop := range 40 {
		ctx, cancel := context.WithCancel(context.Background())
		left := stop * 50_000
		w := writerFunc(func(p []byte) (int, error) {
			if left -= len(p); left < 0 {
				if stop%2 == 0 {
					return 0, errGone
				}
				cancel()
			}
			return len(p), nil
		})
		_, err := c.store.Read(ctx, c.bodies["a"].w.Extent, 0, 2_000_000, w)
		if !errors.Is(err, errGone) && !errors.Is(err, context.Canceled) {
			t.Errorf("stopped after %d: %v", stop, err)
		}
		cancel()
		c.awaitBuffers()
	}
	poll.Nil(t, poll.Within, "the end of all readers", func() error {
		if n := runtime.NumGoroutine(); n > before {
			return fmt.Errorf("%d goroutines, %d before", n, before)
		}
		return nil
	})
}

var errGone = errors.New("client gone")

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// TestFileSystemFaults fails the n-th write-side file-system call of one drive, n = 0, 1, …: a body is stored without that
// drive and says so, and reads back; or it is refused.
func TestFileSystemFaults(t *testing.T) {
	step := int32(1)
	if testing.Short() {
		step = 7
	}
	for n := int32(0); ; n += step {
		if !faultAt(t, n) {
			break
		}
	}
}

func faultAt(t *testing.T, n int32) (hit bool) {
	inj := errorfs.OnIndex(-1)
	counter := &errorfs.Counter{Injector: errorfs.ErrInjected.If(errorfs.And(errorfs.Writes, inj))}
	var drives []*disk.Drive
	long, wholeMax := 3<<20, int64(chunk.PutMax)
	if testing.Short() {
		long, wholeMax = 400_000, 160<<10
	}
	c := newClusterOf(t, 2, 2, 64<<10, 0, func(o *Options) { o.wholeMax = wholeMax }, func(c *cluster, i int) (ids.Drive, Drive) {
		fs := growfs.Wrap(vfs.NewMem())
		if i == 1 {
			fs = errorfs.Wrap(fs, counter)
		}
		id, err := disk.Format(diskOptions(c, fs, "d"), ids.Cluster{1})
		if err != nil {
			t.Fatal(err)
		}
		d, err := disk.Open(diskOptions(c, fs, "d"))
		if err != nil {
			t.Fatal(err)
		}
		drives = append(drives, d)
		return id.Drive, Local(d)
	})
	defer func() {
		for _, d := range drives {
			d.Close()
		}
	}()
	inj.Store(n)
	for i, size := range []int{100, 300_000, long} { // the last goes to files of their own
		name := string('a' + rune(i))
		w, err := c.put(name, size)
		if err != nil {
			t.Errorf("fault %d: put of %d bytes with one bad drive: %v", n, size, err)
			continue
		}
		c.mustGet(name)
		for i := range w.PGs {
			st, err := c.store.VerifyBlob(context.Background(), w.Blob(i))
			if err != nil {
				t.Fatal(err)
			}
			for _, slot := range st.Slots(Missing, Corrupt, Unavailable) {
				if !slices.Contains(w.Missed, Missed{uint32(i), slot}) && drives[1].Health().State != disk.Failed {
					t.Errorf("fault %d: slot %d is %v, and was not said to be missed (%v)", n, slot, st.Bad[slot], st.Errs[slot])
				}
			}
		}
	}
	return counter.Load() > 0
}

// TestI2_NeededSuspect: a suspect drive without which a long blob has too few chunks is waited for as any other.
func TestI2_NeededSuspect(t *testing.T) { synctest.Test(t, neededSuspect) }

func neededSuspect(t *testing.T) {
	c := newCluster(t, 4, 2, 64<<10, 0, func(o *Options) { o.wholeMax, o.SuspectWait = 1, time.Millisecond })
	c.state(0, placement.DriveDown)
	c.state(5, placement.DriveSuspect)
	c.mem[5].set(func() { c.mem[5].hung = make(chan struct{}) })
	time.AfterFunc(time.Second, c.mem[5].heal) // long after SuspectWait
	if w, err := c.put("a", 300_000); err != nil || len(w.Missed) != 1 {
		t.Errorf("%v, missed %v", err, w.Missed)
	}
}
