package disk_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/sherd-io/sherd/disk"
	"github.com/sherd-io/sherd/disk/disktest"
	"github.com/sherd-io/sherd/internal/growfs"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/internal/poll"
)

// Each file-system call fails once, in turn: nothing acknowledged is lost, nothing hangs, the process lives, and opening again
// without the fault brings the drive back.
func TestI12_FailedCalls(t *testing.T) {
	step := int32(1)
	if testing.Short() {
		step = 29
	}
	calls := int32(0)
	for n := int32(0); ; n += step {
		left, err := failedCall(n)
		if err != nil {
			t.Fatalf("call %d: %v", n, err)
		}
		if !left {
			break
		}
		calls = n
	}
	t.Logf("%d calls", calls)
}

func failedCall(n int32) (failed bool, err error) {
	mem := vfs.NewCrashableMem()
	opt := crashOptions(mem)
	if _, err := disk.Format(opt, ids.NewCluster()); err != nil {
		return false, err
	}
	m := newModel()
	fault := &errorfs.Counter{Injector: errorfs.ErrInjected.If(errorfs.OnIndex(n))}
	opt.FS = errorfs.Wrap(growfs.Wrap(mem), fault)
	opt.HangAfter = poll.Within
	d, err := disk.Open(opt)
	if err == nil {
		for i := range uint64(25) {
			size := []int{100, 9000, 70000}[i%3]
			if i == 10 {
				size = 1<<20 + 5000
			}
			s := disktest.NewSample(5, i, size)
			if m.put(d, s) == nil && i%4 == 3 {
				m.delete(d, s.Header.Key)
			}
			if i%8 == 7 {
				d.Flush(context.Background())
				d.Housekeep(context.Background())
				d.Reclaim(context.Background())
			}
			if i == 12 {
				d.Quarantine(context.Background(), s.Header.Key, "test")
				m.mu.Lock()
				m.dying[s.Header.Key] = true
				m.mu.Unlock()
			}
		}
		d.Close()
	}
	opt.FS = mem.CrashClone(vfs.CrashCloneCfg{})
	d, err = disk.Open(opt)
	if err != nil {
		return false, fmt.Errorf("opening again: %w", err)
	}
	defer d.Close()
	return fault.Load() > 0, m.check(d, d.ReplicasLost())
}

// walk lists the files below dir.
func walk(fs vfs.FS, dir string) (files []string) {
	names, err := fs.List(dir)
	if err != nil {
		return nil
	}
	for _, name := range names {
		p := path.Join(dir, name)
		if info, err := fs.Stat(p); err == nil && info.IsDir() {
			files = append(files, walk(fs, p)...)
		} else if err == nil && info.Size() > 0 {
			files = append(files, p)
		}
	}
	return files
}

func filledDrive(t *testing.T, fs vfs.FS) (disk.Options, []*disktest.Sample) {
	opt := crashOptions(fs)
	format(t, opt)
	d := open(t, opt)
	var all []*disktest.Sample
	for i := range uint64(40) {
		size := []int{100, 4096, 20000, 70000}[i%4]
		if i%20 == 10 {
			size = 1<<20 + 5000
		}
		s := disktest.NewSample(8, i, size)
		if err := put(d, s); err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
		if err := d.Rows().Set([]byte{disk.TableMeta, byte(i)}, s.Payload[:100], pebble.NoSync); err != nil {
			t.Fatal(err)
		}
		logged(t, d, s.Payload[:100])
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	return opt, all
}

// A flipped bit in any file under a drive: never wrong bytes, never a crash; an unreadable chunk says so.
func TestI16_FlippedBits(t *testing.T) {
	mem := vfs.NewCrashableMem()
	opt, all := filledDrive(t, mem)
	disk1 := opt.Path
	files := walk(mem, disk1)
	flips := 12
	if testing.Short() {
		flips = 3
	}
	rng := rand.New(rand.NewPCG(11, 12))
	outcomes := make(map[string]int)
	for _, file := range files {
		for range flips {
			fs := cloneAll(t, mem)
			data, err := fs.UnsafeGetFileDataBuffer(file)
			if err != nil {
				t.Fatal(err)
			}
			at, bit := rng.IntN(len(data)), byte(1)<<rng.IntN(8)
			data[at] ^= bit
			outcome, err := readAll(fs, opt, all)
			if err != nil {
				t.Fatalf("%s, byte %d of %d: %v", file, at, len(data), err)
			}
			outcomes[path.Base(path.Dir(file))+": "+outcome]++
		}
	}
	for o, n := range outcomes {
		t.Log(n, o)
	}
}

func cloneAll(t *testing.T, mem *vfs.MemFS) *vfs.MemFS {
	t.Helper()
	return mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))})
}

// readAll reads everything from a damaged drive and says in what manner it answered.
func readAll(fs vfs.FS, opt disk.Options, all []*disktest.Sample) (string, error) {
	ctx := context.Background()
	opt.FS = fs
	d, err := disk.Open(opt)
	if err != nil {
		return "refused to open: " + err.Error(), nil
	}
	defer d.Close()
	corrupt, absent := 0, 0
	for _, s := range all {
		r, err := d.Open(ctx, s.Header.Key)
		if err == nil {
			if r.Header() != s.Header || r.Footer() != s.Footer {
				return "", errors.New("wrong header")
			}
			b, readErr := r.Read(ctx, 0, r.Size())
			if err = readErr; err == nil {
				if !bytes.Equal(b.B, s.Payload) {
					return "", errors.New("wrong bytes")
				}
				b.Release()
			}
			r.Close()
		}
		switch {
		case err == nil:
		case errors.Is(err, disk.ErrCorrupt), errors.Is(err, disk.ErrUnavailable):
			corrupt++
		case errors.Is(err, disk.ErrNotFound):
			absent++
		default:
			return "", err
		}
	}
	lost := d.Lost()
	told := lost.Chunks > 0 || lost.Replicas != "" || len(lost.Damages) > 0
	if absent > 1 && !told {
		return "", fmt.Errorf("%d chunks absent, and nothing is said", absent)
	}
	return fmt.Sprintf("corrupt %v, absent %v, replicas lost %v, damage told %v", corrupt > 0, absent > 0, d.ReplicasLost(), told), nil
}

// Each folder of a drive deleted, singly, while it is closed.
func TestI10_FolderLost(t *testing.T) {
	for _, name := range []string{"chunks", "log", "rows", "quarantine"} {
		t.Run(name, func(t *testing.T) {
			mem := vfs.NewCrashableMem()
			opt, all := filledDrive(t, mem)
			if err := mem.RemoveAll(opt.Path + "/" + name); err != nil {
				t.Fatal(err)
			}
			before, _, err := disk.Probe(mem, opt.Path)
			if err != nil {
				t.Fatal(err)
			}
			d := open(t, opt)
			replicas := name == "log" || name == "rows"
			if d.ReplicasLost() != replicas || (d.Incarnation() != before.Incarnation) != replicas {
				t.Fatalf("replicas lost: %v, incarnation %s, was %s", d.ReplicasLost(), d.Incarnation(), before.Incarnation)
			}
			if name == "chunks" && d.Lost().Chunks != int64(len(all)) {
				t.Fatalf("%+v", d.Lost())
			}
			for _, s := range all {
				if name == "chunks" {
					if _, err := d.Open(context.Background(), s.Header.Key); !errors.Is(err, disk.ErrNotFound) {
						t.Fatal(err)
					}
					if err := put(d, s); err != nil { // healed
						t.Fatal(err)
					}
				}
				check(t, d, s)
			}
			d.Close()
			// The loss is told until somebody takes note, and only then forgotten.
			d = open(t, opt)
			if d.ReplicasLost() != replicas {
				t.Fatal("forgotten")
			}
			for _, s := range all {
				check(t, d, s)
			}
			if err := d.AckReplicasLost(); err != nil {
				t.Fatal(err)
			}
			if err := d.Check(); err != nil {
				t.Fatal(err)
			}
			d.Close()
			if d = open(t, opt); d.ReplicasLost() {
				t.Fatal("told again")
			}
		})
	}
}

// stall is a file system whose calls on matching paths block while it is shut.
type stall struct {
	match string
	shut  atomic.Bool
	gate  chan struct{}
	once  sync.Once
}

func (s *stall) MaybeError(op errorfs.Op) error {
	if s.shut.Load() && strings.Contains(op.Path, s.match) {
		<-s.gate
	}
	return nil
}

func (s *stall) String() string { return "stall" }

func (s *stall) free() {
	s.shut.Store(false)
	s.once.Do(func() { close(s.gate) })
}

// A drive that hangs fails its callers within its deadline and keeps no goroutine for each of them.
func TestI12_Hang(t *testing.T) {
	mem := vfs.NewMem()
	gate := &stall{match: "/chunks/", gate: make(chan struct{})}
	defer gate.free()
	opt := crashOptions(mem)
	format(t, opt)
	opt.FS = errorfs.Wrap(growfs.Wrap(mem), gate)
	opt.HangAfter = 3 * time.Second // what does not hang takes less, however busy the machine is
	var told atomic.Int32
	opt.OnHealth = func(h disk.Health) {
		if h.State == disk.Failed {
			told.Add(1)
		}
	}
	d := open(t, opt)
	s := disktest.NewSample(1, 1, 4096)
	if err := put(d, s); err != nil {
		t.Fatal(err)
	}
	gate.shut.Store(true)
	var wg sync.WaitGroup
	began := time.Now()
	for i := range uint64(200) {
		wg.Go(func() {
			var err error
			if i%2 == 0 {
				err = put(d, disktest.NewSample(2, i, 4096))
			} else {
				_, err = d.Open(context.Background(), s.Header.Key)
			}
			if !errors.Is(err, disk.ErrUnavailable) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	t.Log("callers came back after", time.Since(began))
	if d.Health().State != disk.Failed || told.Load() != 1 {
		t.Fatal(d.Health(), told.Load())
	}
	if err := put(d, s); !errors.Is(err, disk.ErrUnavailable) {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil { // does not wait for it
		t.Fatal(err)
	}
	gate.free()
	opt.FS = mem
	d = open(t, opt)
	check(t, d, s)
}

// TestI12_HangingUnlink: whoever asks a drive for its counters, as each status does, does not wait for its file system.
func TestI12_HangingUnlink(t *testing.T) {
	stalled, gate := make(chan struct{}), make(chan struct{})
	var once sync.Once
	defer close(gate)
	opt := crashOptions(errorfs.Wrap(growfs.Wrap(vfs.NewMem()), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpRemove && strings.HasSuffix(op.Path, ".chunk") {
			once.Do(func() { close(stalled) })
			<-gate
		}
		return nil
	})))
	opt.HangAfter = poll.Within
	format(t, opt)
	d := open(t, opt)
	s := disktest.NewSample(1, 1, 2<<20)
	if err := put(d, s); err != nil {
		t.Fatal(err)
	}
	if err := remove(d, s.Header.Key); err != nil {
		t.Fatal(err)
	}
	<-stalled
	asked := make(chan disk.Stats, 1)
	go func() { asked <- d.Stats() }()
	select {
	case <-asked:
	case <-time.After(poll.Within):
		t.Fatal("the counters wait for the unlink")
	}
}

// TestI12_ManyUnlinks: a drive that unlinks as it should, but many files, is not one that hangs.
func TestI12_ManyUnlinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // its clock stands still while the machine is busy
		const files, each = 40, 20 * time.Millisecond
		opt := crashOptions(errorfs.Wrap(growfs.Wrap(vfs.NewMem()), errorfs.InjectorFunc(func(op errorfs.Op) error {
			if op.Kind == errorfs.OpRemove && strings.HasSuffix(op.Path, ".chunk") {
				time.Sleep(each)
			}
			return nil
		})))
		opt.HangAfter = 300 * time.Millisecond
		format(t, opt)
		d := open(t, opt)
		var keys []ids.Chunk
		for n := range uint64(files) {
			s := disktest.NewSample(1, n, 1<<20+1)
			must(t, put(d, s))
			keys = append(keys, s.Header.Key)
		}
		must(t, remove(d, keys...))
		if n := d.Stats().DeadFiles; n != files {
			t.Fatalf("%d files wait to be unlinked", n)
		}
		began := time.Now()
		for d.Stats().DeadFiles > 0 && d.Health().State == disk.OK {
			time.Sleep(each)
		}
		if h := d.Health(); h.State != disk.OK {
			t.Fatal(h)
		}
		if took := time.Since(began); took > 2*time.Second+2*files*each { // until the next look, and then one after the other
			t.Errorf("%d files took %v", files, took)
		}
	})
}

// TestI12_FullQuarantine: as TestI12_ManyUnlinks, of quarantine's files, rows of lost replicas among them.
func TestI12_FullQuarantine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const chunks, rows, each = 40, 40, 20 * time.Millisecond
		var slow atomic.Bool
		opt := crashOptions(errorfs.Wrap(growfs.Wrap(vfs.NewMem()), errorfs.InjectorFunc(func(op errorfs.Op) error {
			if slow.Load() && (op.Kind == errorfs.OpRemove || op.Kind == errorfs.OpOpen) && strings.Contains(op.Path, "/quarantine/") {
				time.Sleep(each)
			}
			return nil
		})))
		opt.HangAfter = 300 * time.Millisecond
		format(t, opt)
		d := open(t, opt)
		for n := range uint64(chunks) {
			s := disktest.NewSample(1, n, 5000)
			must(t, put(d, s))
			must(t, d.Quarantine(t.Context(), s.Header.Key, "test"))
		}
		lost := opt.Path + "/quarantine/" + time.Now().UTC().Format(time.DateOnly) + "/rows-lost"
		must(t, opt.FS.MkdirAll(lost, 0o755))
		for n := range rows {
			f, err := opt.FS.Create(fmt.Sprintf("%s/%d.sst", lost, n), vfs.WriteCategoryUnspecified)
			must(t, err)
			must(t, f.Close())
		}
		slow.Store(true)
		if entries, err := d.Quarantined(t.Context()); err != nil || len(entries) != chunks {
			t.Fatalf("%d entries, %v", len(entries), err)
		}
		if n, err := d.ExpireQuarantine(t.Context(), time.Now().AddDate(0, 0, 1)); err != nil || n != chunks {
			t.Fatalf("%d chunks expired, %v", n, err)
		}
		if days, err := opt.FS.List(opt.Path + "/quarantine"); err != nil || len(days) > 0 {
			t.Errorf("left: %v, %v", days, err)
		}
		if h := d.Health(); h.State != disk.OK {
			t.Fatal(h)
		}
	})
}

// A drive whose memory of rows cannot be written any more fails, and the process goes on.
func TestI12_RowsFatal(t *testing.T) {
	mem := vfs.NewCrashableMem()
	opt := crashOptions(mem)
	format(t, opt)
	var bad atomic.Bool
	opt.FS = errorfs.Wrap(growfs.Wrap(mem), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if bad.Load() && strings.Contains(op.Path, "MANIFEST") && op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			return errorfs.ErrInjected
		}
		return nil
	}))
	d := open(t, opt)
	s := disktest.NewSample(1, 1, 4096)
	if err := put(d, s); err != nil {
		t.Fatal(err)
	}
	bad.Store(true)
	ctx, cancel := context.WithTimeout(context.Background(), poll.Within)
	defer cancel()
	if err := d.Flush(ctx); err == nil {
		t.Fatal("flushed")
	}
	<-d.Down()
	if err := put(d, s); !errors.Is(err, disk.ErrUnavailable) {
		t.Fatal(err)
	}
	d.Close()
	opt.FS = mem.CrashClone(vfs.CrashCloneCfg{})
	check(t, open(t, opt), s)
}
