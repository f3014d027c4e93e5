package erasure

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/bits"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sherd-io/sherd/disk"
	"github.com/sherd-io/sherd/disk/chunk"
	"github.com/sherd-io/sherd/disk/remote"
	"github.com/sherd-io/sherd/disk/remote/remotetest"
	"github.com/sherd-io/sherd/internal/growfs"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/placement"
)

// real is a cluster of disk.Drives, in memory or under dir.
type real struct {
	*cluster
	fs   []vfs.FS
	path []string
	disk []*disk.Drive
	far  []*remote.Client // where drives are on other nodes: drive i on far[i%len(far)]
}

// eachPlace runs test with drives of this process, and with such of two other nodes.
func eachPlace(t *testing.T, test func(*testing.T, place)) {
	t.Run("local", func(t *testing.T) { test(t, place{}) })
	t.Run("remote", func(t *testing.T) { test(t, place{nodes: 2}) })
}

// place says where a cluster's drives are.
type place struct {
	dir   string // "": in memory
	nodes int    // 0: in this process
	wrap  func(net.Conn) net.Conn
}

// scaled is n; under -short, where the race detector makes bytes dear, an eighth of it: newReal's unit, and the length from which a shard has
// a file of its own, are scaled too, so that a body has as many stripes.
func scaled(n int) int {
	if testing.Short() {
		return n / 8
	}
	return n
}

// newReal has units of scaled(256 KiB).
func newReal(t testing.TB, k, m, spare int, at place, change func(*Options)) *real {
	r, dir := &real{}, at.dir
	scale := func(o *Options) {
		o.wholeMax = int64(scaled(chunk.PutMax))
		if change != nil {
			change(o)
		}
	}
	r.cluster = newClusterOf(t, k, m, scaled(256<<10), spare, scale, func(c *cluster, i int) (ids.Drive, Drive) {
		fs, path := growfs.Wrap(vfs.NewMem()), "d"
		if dir != "" {
			fs, path = vfs.Default, fmt.Sprintf("%s/d%d", dir, i)
		}
		r.fs, r.path = append(r.fs, fs), append(r.path, path)
		id, err := disk.Format(diskOptions(c, fs, path), ids.Cluster{1})
		if err != nil {
			t.Fatal(err)
		}
		d, err := disk.Open(diskOptions(c, fs, path))
		if err != nil {
			t.Fatal(err)
		}
		r.disk = append(r.disk, d)
		return id.Drive, Local(d)
	})
	t.Cleanup(func() {
		for _, d := range r.disk {
			d.Close()
		}
	})
	r.serve(at)
	return r
}

// serve puts the drives on other nodes.
func (r *real) serve(at place) {
	for n := range at.nodes {
		client, stop := remotetest.Serve(r.t, remotetest.Options{
			Cluster: ids.Cluster{1}, Buffers: &r.buffers, Wrap: at.wrap,
			Drives: func() (list []*disk.Drive) {
				r.mu.Lock()
				defer r.mu.Unlock()
				for i := n; i < len(r.disk); i += at.nodes {
					list = append(list, r.disk[i])
				}
				return list
			},
			Change: func(o *remote.Options) { o.CallTimeout = time.Minute },
		})
		r.t.Cleanup(stop)
		r.far = append(r.far, client)
	}
	for i := range r.disk {
		r.bring(i)
	}
}

// bring makes drive i reachable.
func (r *real) bring(i int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.far == nil {
		r.drives[r.ids[i]] = Local(r.disk[i])
		return
	}
	r.drives[r.ids[i]] = Remote(r.far[i%len(r.far)].Drive(r.ids[i]))
}

func diskOptions(c *cluster, fs vfs.FS, path string) disk.Options {
	return disk.Options{
		FS: fs, Path: path, Buffers: &c.buffers, SegmentBytes: 64 << 20, LogSegmentBytes: 4 << 20, PrefillBytes: 64 << 10,
		BallastBytes: -1, Logger: slog.New(slog.DiscardHandler),
	}
}

// reopen closes drive i and opens it again.
func (r *real) reopen(i int) {
	r.t.Helper()
	if err := r.disk[i].Close(); err != nil {
		r.t.Fatal(err)
	}
	d, err := disk.Open(diskOptions(r.cluster, r.fs[i], r.path[i]))
	if err != nil {
		r.t.Fatal(err)
	}
	r.mu.Lock()
	r.disk[i] = d
	r.mu.Unlock()
	r.bring(i)
}

var realSizes = []int{1, 4096, 5000, 64 << 10, 1<<20 - 1, 1 << 20, 1<<20 + 1, 4 << 20, 4<<20 + 1, 11 << 20, 12<<20 + 12345}

// TestRealDrives puts bodies of every shape on real drives, opens these again, and reads with any two of them away.
func TestRealDrives(t *testing.T) { eachPlace(t, realDrives) }

func realDrives(t *testing.T, at place) {
	r := newReal(t, 4, 2, 0, at, func(o *Options) { o.BlobBytes = int64(scaled(8 << 20)) })
	sizes := realSizes
	if testing.Short() {
		sizes = []int{1, 5000, 1<<17 + 1, 4 << 17, 12<<17 + 12345}
	}
	for _, size := range sizes {
		r.mustPut(fmt.Sprint(size), size)
	}
	for i := range r.disk {
		r.reopen(i)
	}
	for lost := range 1 << 6 {
		if bits.OnesCount(uint(lost)) > 2 || testing.Short() && lost%5 > 0 {
			continue
		}
		for i := range r.ids {
			state := placement.DriveUp
			if lost>>i&1 == 1 {
				state = placement.DriveDown
				r.mu.Lock()
				delete(r.drives, r.ids[i])
				r.mu.Unlock()
			}
			r.state(i, state)
		}
		for _, size := range sizes {
			r.mustGet(fmt.Sprint(size))
		}
		for i := range r.disk {
			r.bring(i)
		}
	}
}

// TestRealRebuild gives slots a new, empty owner and fills it, for short and long shards.
func TestRealRebuild(t *testing.T) { eachPlace(t, realRebuild) }

func realRebuild(t *testing.T, at place) {
	r := newReal(t, 4, 2, 1, at, nil)
	ctx := context.Background()
	for _, size := range []int{3000, scaled(1 << 20), scaled(9 << 20)} {
		name := fmt.Sprint(size)
		ref := r.mustPut(name, size).Blob(0)
		r.change(func(m *placement.Map) {
			pg := m.Pools[testPool].PGs[ref.PG]
			spare := r.ids[(int(ref.PG)+6)%7]
			pg.Epoch++
			pg.Slots[0] = placement.Slot{Drive: spare, Since: pg.Epoch}
			pg.Slots[5], pg.Epoch = placement.Slot{Drive: pg.Slots[4].Drive, Since: pg.Epoch}, pg.Epoch+1
		})
		if err := r.store.Rebuild(ctx, ref, []uint8{0, 5}); err != nil {
			t.Fatal(err)
		}
		st, err := r.store.VerifyBlob(ctx, ref)
		if err != nil || !st.Clean() {
			t.Fatalf("%d bytes: %+v %v", size, st, err)
		}
		r.mustGet(name)
		if err := r.store.Delete(ctx, ref); err != nil {
			t.Fatal(err)
		}
		if err := r.store.Rebuild(ctx, ref, []uint8{0}); err == nil {
			t.Fatal("a deleted blob was rebuilt")
		}
	}
}

// TestRealConcurrent writes and reads from many goroutines while drives come and go in the map.
func TestRealConcurrent(t *testing.T) { eachPlace(t, realConcurrent) }

func realConcurrent(t *testing.T, at place) {
	r := newReal(t, 2, 2, 2, at, func(o *Options) { o.BlobBytes = int64(scaled(3 << 20)) })
	rounds := 8
	if testing.Short() {
		rounds = 2
	}
	var wg sync.WaitGroup
	stop := make(chan struct{})
	go func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
				r.state(i%len(r.ids), placement.DriveDown)
				r.state((i+len(r.ids)-1)%len(r.ids), placement.DriveUp)
			}
		}
	}()
	for g := range 4 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range rounds {
				size := []int{100, 70_000, scaled(1 << 20), scaled(7 << 20)}[(g+i)%4]
				b := bytes.Repeat([]byte{byte(g), byte(i), 3}, size/3+1)[:size]
				w, err := r.store.Write(context.Background(), r.target(), int64(size), &source{r: bytes.NewReader(b), t: t})
				if err != nil {
					t.Errorf("put: %v", err)
					return
				}
				var out bytes.Buffer
				if _, err := r.store.Read(context.Background(), w.Extent, 0, int64(size), &out); err != nil || !bytes.Equal(out.Bytes(), b) {
					t.Errorf("get: %v", err)
				}
			}
		}()
	}
	wg.Wait()
	close(stop)
}

type plainSource struct{ io.Reader }

func (plainSource) Settle() error { return nil }

// BenchmarkStore measures the store with real drives in a directory, without digests: `-benchtime 2000x -cpu 2`.
func BenchmarkStore(b *testing.B) {
	r := newReal(b, 4, 2, 0, place{dir: b.TempDir()}, func(o *Options) { o.ViewTTL = 0 })
	for _, size := range []int{4 << 10, 1 << 20, 16 << 20} {
		body := r.random(size)
		last := r.mustPut("last", size)
		b.Run(fmt.Sprintf("put/%d", size), func(b *testing.B) {
			b.SetBytes(int64(size))
			b.ReportAllocs()
			cpu := cpuTime()
			b.SetParallelism(8)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					w, err := r.store.Write(context.Background(), r.target(), int64(size), plainSource{bytes.NewReader(body)})
					if err != nil {
						b.Error(err)
						return
					}
					last = w
				}
			})
			b.ReportMetric(float64((cpuTime()-cpu).Microseconds())/float64(b.N), "cpu-us/op")
		})
		b.Run(fmt.Sprintf("get/%d", size), func(b *testing.B) {
			b.SetBytes(int64(size))
			b.ReportAllocs()
			cpu := cpuTime()
			b.SetParallelism(8)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := r.store.Read(context.Background(), last.Extent, 0, int64(size), io.Discard); err != nil {
						b.Error(err)
						return
					}
				}
			})
			b.ReportMetric(float64((cpuTime()-cpu).Microseconds())/float64(b.N), "cpu-us/op")
		})
		runtime.GC()
	}
}

// TestI5_RealEpochMoves: a slot of every group gets another owner, and all owners know it, while a long body is written.
func TestI5_RealEpochMoves(t *testing.T) { eachPlace(t, realEpochMoves) }

func realEpochMoves(t *testing.T, at place) {
	r := newReal(t, 4, 2, 1, at, nil)
	ctx := context.Background()
	b := r.random(scaled(9 << 20))
	move := func() {
		r.change(func(m *placement.Map) {
			for i, pg := range m.Pools[testPool].PGs {
				pg.Epoch++
				pg.Slots[1] = placement.Slot{Drive: r.ids[(i+6)%7], Since: pg.Epoch}
				for _, d := range r.disk {
					if err := d.RaiseEpoch(ctx, testPool, ids.PG(i), pg.Epoch); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	w, err := r.store.Write(ctx, r.target(), int64(len(b)), &hookSource{r: bytes.NewReader(b), n: scaled(5 << 20), fn: move})
	if err != nil || len(w.Missed) != 0 {
		t.Fatalf("%v, missed %v", err, w.Missed)
	}
	if st, err := r.store.VerifyBlob(ctx, w.Blob(0)); err != nil || !st.Clean() {
		t.Errorf("%v %v %v", st.Bad, st.Errs, err)
	}
	var out bytes.Buffer
	if _, err := r.store.Read(ctx, w.Extent, 0, w.Size, &out); err != nil || !bytes.Equal(out.Bytes(), b) {
		t.Error(err)
	}
}

// delayed is a connection whose bytes arrive so much later, without a bound of its own on how many are under way.
type delayed struct {
	net.Conn
	queue chan parcel
}

type parcel struct {
	at time.Time
	b  []byte
}

func delay(c net.Conn, by time.Duration) net.Conn {
	d := &delayed{c, make(chan parcel, 1<<16)}
	go func() {
		for p := range d.queue {
			time.Sleep(time.Until(p.at.Add(by)))
			if _, err := c.Write(p.b); err != nil {
				return // the reader notices
			}
		}
	}()
	return d
}

func (d *delayed) Write(b []byte) (int, error) {
	d.queue <- parcel{time.Now(), bytes.Clone(b)}
	return len(b), nil
}

// BenchmarkFar measures one request at a time over nodes that are a round trip away: `-benchtime 200x`.
func BenchmarkFar(b *testing.B) {
	for _, trip := range []time.Duration{0, 200 * time.Microsecond, time.Millisecond, 50 * time.Millisecond} {
		at := place{dir: b.TempDir(), nodes: 3, wrap: func(c net.Conn) net.Conn { return delay(c, trip) }}
		r := newReal(b, 4, 2, 0, at, func(o *Options) { o.ViewTTL = 0 })
		for _, size := range []int{4 << 10, 1 << 20, 16 << 20} {
			body := r.random(size)
			last := r.mustPut("last", size)
			b.Run(fmt.Sprintf("%s/put/%d", trip, size), func(b *testing.B) {
				b.SetBytes(int64(size))
				for range b.N {
					w, err := r.store.Write(context.Background(), r.target(), int64(size), plainSource{bytes.NewReader(body)})
					if err != nil {
						b.Fatal(err)
					}
					last = w
				}
			})
			b.Run(fmt.Sprintf("%s/get/%d", trip, size), func(b *testing.B) {
				b.SetBytes(int64(size))
				for range b.N {
					if _, err := r.store.Read(context.Background(), last.Extent, 0, int64(size), io.Discard); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
