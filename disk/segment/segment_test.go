package segment_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/sherd-io/sherd/disk/segment"
	"github.com/sherd-io/sherd/internal/bufpool"
	"github.com/sherd-io/sherd/internal/growfs"
	"github.com/sherd-io/sherd/internal/poll"
)

const dir = "/log"

func options(fs vfs.FS) segment.Options {
	if mem, ok := fs.(*vfs.MemFS); ok {
		fs = growfs.Wrap(mem)
	}
	return segment.Options{
		FS: fs, Dir: dir, ID: [16]byte{1, 2, 3}, SegmentBytes: 256 << 10, PrefillBytes: 16 << 10, Logger: slog.New(slog.DiscardHandler),
	}
}

func create(t testing.TB, fs vfs.FS, opt segment.Options) {
	t.Helper()
	if err := fs.MkdirAll(opt.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := segment.Create(opt); err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{"/", opt.Dir} { // the caller's to sync
		f, err := fs.OpenDir(d)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

func open(t testing.TB, opt segment.Options) *segment.Log {
	t.Helper()
	l, err := segment.Open(opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func appendAll(l *segment.Log, recs ...[]byte) ([]segment.Pos, error) {
	var pos []segment.Pos
	done := make(chan error, 1)
	l.Append(recs, func(p []segment.Pos, err error) { pos = p; done <- err })
	err := <-done
	return pos, err
}

func scan(t testing.TB, l *segment.Log) (out []string) {
	t.Helper()
	err := l.Scan(func(_ segment.Pos, b []byte) error { out = append(out, string(b)); return nil })
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func list(t testing.TB, fs vfs.FS) []string {
	t.Helper()
	names, err := fs.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	return names
}

func record(i, size int) []byte {
	return append(fmt.Appendf(nil, "record %d ", i), bytes.Repeat([]byte{byte(i)}, size)...)
}

func TestAppendReadScanReopen(t *testing.T) {
	fs := vfs.NewMem()
	opt := options(fs)
	create(t, fs, opt)
	var want []string
	for range 4 { // four lives of the log
		l := open(t, opt)
		if got := scan(t, l); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("scan gives %d records, want %d", len(got), len(want))
		}
		for i := range 40 {
			recs := [][]byte{record(i, i*100), record(i, 0), {}}
			pos, err := appendAll(l, recs...)
			if err != nil {
				t.Fatal(err)
			}
			for j, p := range pos {
				b, err := l.Read(p)
				if err != nil || !bytes.Equal(b, recs[j]) {
					t.Fatalf("read %v: %v", p, err)
				}
				want = append(want, string(recs[j]))
			}
		}
		l.Close()
		if _, err := appendAll(l, []byte("late")); !errors.Is(err, segment.ErrClosed) {
			t.Fatal(err)
		}
		if d := l.Damages(); len(d) > 0 {
			t.Fatal(d)
		}
	}
}

func TestRelease(t *testing.T) {
	fs := vfs.NewMem()
	opt := options(fs)
	opt.Prefix = true
	create(t, fs, opt)
	l := open(t, opt)
	var last segment.Pos
	for i := range 200 {
		pos, err := appendAll(l, record(i, 8000))
		if err != nil {
			t.Fatal(err)
		}
		last = pos[0]
	}
	first, err := appendAll(l, []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Release(last.Segment); err != nil {
		t.Fatal(err)
	}
	if s := l.Segments(); s[0].Number != last.Segment {
		t.Fatal(s)
	}
	if _, err := l.Read(segment.Pos{Segment: 1, Offset: 4096, Bytes: 4}); !errors.Is(err, segment.ErrNoSegment) {
		t.Fatal(err)
	}
	if err := l.Release(1 << 40); err != nil { // the newest stays
		t.Fatal(err)
	}
	if b, err := l.Read(first[0]); err != nil || string(b) != "x" {
		t.Fatal(err)
	}
	l.Close()
	l = open(t, opt)
	if len(l.Damages()) > 0 {
		t.Fatal(l.Damages())
	}
}

// Bodies, long and short, aligned or not, are where Synced says.
func TestBodies(t *testing.T) {
	for name, fs := range map[string]vfs.FS{"mem": vfs.NewMem(), "os": vfs.Default} {
		t.Run(name, func(t *testing.T) {
			opt := options(fs)
			opt.SegmentBytes = 4 << 20
			if fs == vfs.Default {
				opt.Dir = t.TempDir()
			}
			create(t, fs, opt)
			l := open(t, opt)
			pool := new(bufpool.Pool)
			rng := rand.New(rand.NewPCG(1, 2))
			type stored struct {
				body []byte
				e    *segment.Entry
			}
			var mu sync.Mutex
			var all []stored
			var wg sync.WaitGroup
			for i := range 60 {
				n := []int{0, 1, 4095, 4096, 65535, 65536, 65537, 200_000, 262_144, 300_001}[i%10]
				body := pool.Get(n).B
				for j := range body {
					body[j] = byte(rng.Uint32())
				}
				pieces := [][]byte{body}
				if n > 131072 && i%20 < 10 {
					pieces = [][]byte{body[:131072], body[131072:]}
				}
				if i%3 == 2 && n > 0 {
					pieces = [][]byte{body[:1], body[1:]} // not aligned
				}
				wg.Add(1)
				l.Submit(&segment.Entry{Head: record(i, 50), Body: pieces, Done: func(e *segment.Entry, err error) {
					defer wg.Done()
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					defer mu.Unlock()
					all = append(all, stored{body, e})
				}})
			}
			wg.Wait()
			for _, s := range all {
				b := make([]byte, len(s.body))
				if err := l.ReadAt(s.e.Pos.Segment, b, int64(s.e.BodyAt), false); err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(b, s.body) {
					t.Fatalf("body of %d bytes differs", len(b))
				}
			}
			l.Close()
			l = open(t, opt)
			n := 0
			err := l.Records(segment.Pos{}, func(r segment.Record) error {
				s := all[n]
				if r.Pos != s.e.Pos || r.Seq != s.e.Seq || r.Body != s.e.BodyAt || int(r.BodyBytes) != len(s.body) {
					t.Fatalf("record %d: %+v, want %+v", n, r, s.e)
				}
				n++
				return nil
			})
			if err != nil || n != len(all) || len(l.Damages()) > 0 {
				t.Fatal(err, n, l.Damages())
			}
		})
	}
}

// Records may fill their last block so far that no empty place is left before the bodies: these are not taken for records.
func TestI16_NoGapBeforeBodies(t *testing.T) {
	opt := options(vfs.NewMem())
	opt.SegmentBytes, opt.PrefillBytes = 64<<20, -1
	create(t, opt.FS, opt)
	l := open(t, opt)
	body := new(bufpool.Pool).Get(64 << 10).B
	for i := range body {
		body[i] = 7
	}
	const records = 100
	for i := range records {
		done := make(chan error, 1)
		l.Submit(&segment.Entry{Head: make([]byte, 4096-32-i), Body: [][]byte{body}, Done: func(_ *segment.Entry, err error) { done <- err }})
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	l.Close()
	l = open(t, opt)
	n := 0
	err := l.Records(segment.Pos{}, func(segment.Record) error { n++; return nil })
	if err != nil || n != records || len(l.Damages()) > 0 {
		t.Fatalf("%d of %d records, damages %v, err %v", n, records, l.Damages(), err)
	}
}

// A log that is abandoned between the groups of an Append answers for all of it, once. Run with -race: the answers come from two goroutines.
func TestI12_AbandonMidAppend(t *testing.T) {
	opt := options(vfs.NewMem())
	opt.GroupBytes = 24 << 10 // one or two records of the Append, and the rest later
	begun, queued := make(chan struct{}, 3), make(chan struct{})
	opt.Begin = func() { begun <- struct{}{}; <-queued }
	create(t, opt.FS, opt)
	l, err := segment.Open(opt)
	if err != nil {
		t.Fatal(err)
	}
	submit := func(done func()) {
		l.Submit(&segment.Entry{Head: record(0, 50), Done: func(*segment.Entry, error) { done() }})
	}
	var giveUp sync.WaitGroup
	submit(func() {}) // held up in Begin while the others queue
	<-begun
	submit(func() {
		giveUp.Go(func() { l.Abandon(errors.New("given up")) })
		for l.Err() == nil { // Abandon has what is queued, and answers for it beside what follows here
			runtime.Gosched()
		}
	})
	answers := make(chan error, 6)
	l.Append([][]byte{record(1, 4000), record(2, 4000), record(3, 4000), record(4, 4000), record(5, 4000)},
		func(_ []segment.Pos, err error) { answers <- err })
	close(queued)
	if err := <-answers; err == nil {
		t.Error("acknowledged, though the log was abandoned")
	}
	l.Wait()
	giveUp.Wait()
	l.Close()
	if len(answers) > 0 {
		t.Error("answered twice")
	}
}

// Every cut of power leaves all that was acknowledged, in order, and no damage.
func TestI16_PowerCut(t *testing.T) {
	seeds := uint64(60)
	if testing.Short() {
		seeds = 8
	}
	for seed := range seeds {
		for _, prefix := range []bool{false, true} {
			t.Run(fmt.Sprintf("seed %d prefix %v", seed, prefix), func(t *testing.T) { powerCut(t, seed, prefix) })
		}
	}
}

func powerCut(t *testing.T, seed uint64, prefix bool) {
	rng := rand.New(rand.NewPCG(seed, 7))
	fs := vfs.NewCrashableMem()
	opt := options(fs)
	opt.Prefix = prefix
	opt.SegmentBytes = 64 << 10
	create(t, fs, opt)
	var acked []string
	next := 0
	for range 5 {
		opt.FS = fs
		l, err := segment.Open(opt)
		if err != nil {
			t.Fatal(err)
		}
		if d := l.Damages(); len(d) > 0 {
			t.Fatal("damage", d)
		}
		checkPrefix(t, scan(t, l), acked, prefix)
		if d := l.Damages(); len(d) > 0 {
			t.Fatal("damage", d)
		}
		acked = scan(t, l) // what was found counts from now on
		var mu sync.Mutex
		var clone *vfs.MemFS
		var ackedAtCut []string
		cut := rng.IntN(60)
		var wg sync.WaitGroup
		for i := range 60 {
			if i == cut {
				mu.Lock()
				ackedAtCut = append([]string(nil), acked...)
				clone = fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng})
				mu.Unlock()
			}
			rec := record(next, rng.IntN(9000))
			next++
			wg.Add(1)
			l.Append([][]byte{rec}, func(_ []segment.Pos, err error) {
				defer wg.Done()
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					t.Error(err)
				}
				acked = append(acked, string(rec))
			})
			if rng.IntN(3) == 0 {
				wg.Wait()
			}
		}
		wg.Wait()
		l.Close()
		fs, acked = clone, ackedAtCut
	}
}

func checkPrefix(t *testing.T, got, acked []string, ordered bool) {
	t.Helper()
	if len(got) < len(acked) {
		t.Fatalf("%d records of %d acknowledged", len(got), len(acked))
	}
	for i := range acked {
		if got[i] != acked[i] {
			t.Fatalf("record %d differs", i)
		}
	}
	last := -1
	for i := range got {
		var n int
		fmt.Sscanf(got[i], "record %d ", &n)
		if n <= last || ordered && i >= len(acked) && i > 0 && n != last+1 && len(acked) < i {
			t.Fatalf("record %d after %d", n, last)
		}
		last = n
	}
}

// A flipped bit anywhere is never a wrong record; where later groups prove what was there it is damage, told.
func TestI16_FlippedBit(t *testing.T) {
	fs := vfs.NewMem()
	opt := options(fs)
	opt.SegmentBytes = 64 << 10
	opt.PrefillBytes = 4096
	create(t, fs, opt)
	l := open(t, opt)
	want := make(map[string]bool)
	for i := range 30 {
		recs := [][]byte{record(i, 700), record(i+1000, 30)}
		if _, err := appendAll(l, recs...); err != nil {
			t.Fatal(err)
		}
		want[string(recs[0])], want[string(recs[1])] = true, true
	}
	l.Close()
	names := list(t, fs)
	rng := rand.New(rand.NewPCG(3, 4))
	for _, name := range names {
		data, err := fs.UnsafeGetFileDataBuffer(dir + "/" + name)
		if err != nil {
			t.Fatal(err)
		}
		for range 150 {
			at, bit := rng.IntN(len(data)), byte(1)<<rng.IntN(8)
			data[at] ^= bit
			l, err := segment.Open(opt)
			if err != nil && !errors.Is(err, segment.ErrForeign) && !errors.Is(err, segment.ErrDamaged) {
				t.Fatalf("flip at %d: %v", at, err)
			}
			if err == nil {
				got := scan(t, l)
				for _, r := range got {
					if !want[r] {
						t.Fatalf("flip at %d: a record that was never written", at)
					}
				}
				if lost := len(want) - len(got); lost > 2 || lost > 0 && name != names[len(names)-1] && len(l.Damages()) == 0 {
					t.Fatalf("flip at %d of %s of %v: %d records lost, damages %v", at, name, names, lost, l.Damages())
				}
				l.Close()
			}
			data[at] ^= bit
		}
	}
}

// After each failed call: waiters fail, nothing more is taken, and reopening shows all that was acknowledged.
func TestI12_FailedCalls(t *testing.T) {
	for n := int32(0); ; n++ {
		fs := vfs.NewCrashableMem()
		opt := options(fs)
		opt.SegmentBytes = 64 << 10
		create(t, fs, opt)
		inject := errorfs.OnIndex(n)
		fault := &errorfs.Counter{Injector: errorfs.ErrInjected.If(inject)}
		bad := opt
		bad.FS = errorfs.Wrap(fs, fault)
		failed := make(chan error, 1)
		bad.Failed = func(err error) { failed <- err }
		var acked []string
		l, err := segment.Open(bad)
		if err == nil {
			var lastErr error
			for i := range 30 {
				rec := record(i, 5000)
				_, err := appendAll(l, rec)
				if err == nil && lastErr != nil {
					t.Fatalf("call %d: appended after %v", n, lastErr)
				}
				if lastErr = err; err == nil {
					acked = append(acked, string(rec))
				}
			}
			if lastErr != nil {
				if err := <-failed; err == nil {
					t.Fatal("Failed was not told the cause", n, err)
				}
			}
			l.Close()
		}
		opt.FS = fs.CrashClone(vfs.CrashCloneCfg{})
		l = open(t, opt)
		checkPrefix(t, scan(t, l), acked, true)
		if d := l.Damages(); len(d) > 0 {
			t.Fatalf("call %d: %v", n, d)
		}
		l.Close()
		if fault.Load() == 0 {
			t.Logf("%d calls", n)
			break
		}
	}
}

// TestI12_AbandonGivesMemoryBack: once a submitter was told that the log is abandoned, its memory is its own: nothing reads it any
// more (the race detector looks), and whatever it becomes, no record that reads back is made of it.
func TestI12_AbandonGivesMemoryBack(t *testing.T) {
	for round := range 50 {
		fs := vfs.NewMem()
		opt := options(fs)
		create(t, fs, opt)
		l := open(t, opt)
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				head, body := bytes.Repeat([]byte{'h'}, 100), bytes.Repeat([]byte{'b'}, 3000)
				for told := make(chan error, 1); ; {
					l.Submit(&segment.Entry{Head: head, Body: [][]byte{body}, Done: func(_ *segment.Entry, err error) { told <- err }})
					if err := <-told; err != nil {
						break
					}
				}
				for i := range head {
					head[i] = 'x'
				}
				clear(body)
			})
		}
		poll.True(t, poll.Within, "records", func() bool { return l.Stats().Records > int64(round) })
		l.Abandon(errors.New("given up"))
		wg.Wait()
		l.Close()
		l.Wait()
		for _, head := range scan(t, open(t, opt)) {
			if strings.Contains(head, "x") {
				t.Fatalf("a record holds %q", head)
			}
		}
	}
}

// TestI10_AbandonedRoll: a log that hung while it made a segment, and was abandoned, leaves the log that took its place alone, wherever it hung
// and whether the call fails in the end: nothing is missing then, also when the segments before were released.
func TestI10_AbandonedRoll(t *testing.T) {
	for _, c := range []struct {
		name string
		kind errorfs.OpKind
		err  error
	}{
		{"sync", errorfs.OpFileSync, nil},
		{"failing sync", errorfs.OpFileSync, syscall.EIO},
		{"header", errorfs.OpFileWriteAt, nil},
		{"failing header", errorfs.OpFileWriteAt, syscall.EIO},
		{"creation", errorfs.OpOpen, nil},
	} {
		for _, released := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s released %v", c.name, released), func(t *testing.T) {
				mem := vfs.NewMem()
				opt := options(mem)
				opt.Prefix, opt.SegmentBytes = true, 64<<10
				create(t, mem, opt)
				hanging, gate := make(chan struct{}), make(chan struct{})
				var shut atomic.Bool
				hung := opt
				hung.FS = errorfs.Wrap(opt.FS, errorfs.InjectorFunc(func(op errorfs.Op) error {
					if op.Kind != c.kind || !shut.CompareAndSwap(true, false) {
						return nil
					}
					close(hanging)
					<-gate
					return c.err
				}))
				first := open(t, hung)
				want := fill(t, first, 3)
				shut.Store(true)
				first.Submit(&segment.Entry{Head: make([]byte, 50_000), Done: func(*segment.Entry, error) {}}) // in a segment of its own
				<-hanging
				first.Abandon(errors.New("given up"))
				first.Close()
				second := open(t, opt)
				want = append(want, fill(t, second, 5)...)
				segments := second.Segments()
				if released {
					if err := second.Release(segments[len(segments)-1].Number); err != nil {
						t.Fatal(err)
					}
					want = want[len(want)-1:]
				}
				close(gate)
				first.Wait()
				for range 2 {
					second.Close()
					second = open(t, opt)
					if d := second.Damages(); len(d) > 0 {
						t.Fatalf("%v among %v", d, list(t, mem))
					}
					if got := scan(t, second); !slices.Equal(got, want) {
						t.Fatalf("%d records, want %d", len(got), len(want))
					}
				}
			})
		}
	}
}

// fill appends records that have a segment each.
func fill(t *testing.T, l *segment.Log, records int) (all []string) {
	t.Helper()
	for i := range records {
		rec := record(i, 50_000)
		if _, err := appendAll(l, rec); err != nil {
			t.Fatal(err)
		}
		all = append(all, string(rec))
	}
	return all
}

// TestI10_TwinOfNewest: of two segments of one number that counts which has records, or, before there are any, which was made whole: the log's
// owner noted that there is such a segment.
func TestI10_TwinOfNewest(t *testing.T) {
	for _, salt := range []string{"0000000000000001", "ffffffffffffffff"} { // before and after its twin
		for _, records := range []int{0, 1} {
			t.Run(fmt.Sprintf("twin %s, %d records", salt, records), func(t *testing.T) {
				mem := vfs.NewCrashableMem()
				opt := options(mem)
				opt.Prefix, opt.SegmentBytes = true, 64<<10
				create(t, mem, opt)
				var born *vfs.MemFS
				opt.Rolled = func(uint64) error { born = mem.CrashClone(vfs.CrashCloneCfg{}); return nil }
				l := open(t, opt)
				fill(t, l, 3)
				if records > 0 {
					born = mem.CrashClone(vfs.CrashCloneCfg{})
				}
				end := l.End().Segment
				f, err := born.Create(fmt.Sprintf("%s/%016x-%s.seg", dir, end, salt), vfs.WriteCategoryUnspecified)
				if err == nil {
					err = f.Close()
				}
				if err != nil {
					t.Fatal(err)
				}
				opt.FS = growfs.Wrap(born)
				if l = open(t, opt); l.End().Segment != end || len(l.Damages()) > 0 || len(scan(t, l)) != 2+records {
					t.Fatalf("the log ends at %v, want in %d; %d records, damages %v", l.End(), end, len(scan(t, l)), l.Damages())
				}
			})
		}
	}
}

// TestI10_SecondSegmentMissing: the segment that a log begins with is empty, and what is missing after it is told.
func TestI10_SecondSegmentMissing(t *testing.T) {
	mem := vfs.NewMem()
	opt := options(mem)
	opt.Prefix, opt.SegmentBytes = true, 64<<10
	create(t, mem, opt)
	l := open(t, opt)
	fill(t, l, 3)
	l.Close()
	if err := mem.Remove(dir + "/" + list(t, mem)[1]); err != nil {
		t.Fatal(err)
	}
	if d := open(t, opt).Damages(); len(d) != 1 {
		t.Fatalf("damages %v", d)
	}
}

func TestForeignAndMissing(t *testing.T) {
	fs := vfs.NewMem()
	opt := options(fs)
	if err := fs.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := segment.Open(opt); !errors.Is(err, segment.ErrNoSegment) {
		t.Fatal(err)
	}
	create(t, fs, opt)
	opt.ID[0]++
	if _, err := segment.Open(opt); !errors.Is(err, segment.ErrForeign) {
		t.Fatal(err)
	}
}

// Bytes that a user chose inside a record cannot be taken for a record after damage.
func TestI16_ForgedRecord(t *testing.T) {
	fs := vfs.NewMem()
	opt := options(fs)
	create(t, fs, opt)
	l := open(t, opt)
	pos, err := appendAll(l, []byte("the true record"))
	if err != nil {
		t.Fatal(err)
	}
	genuine := make([]byte, 64)
	if err := l.ReadAt(pos[0].Segment, genuine, int64(pos[0].Offset), false); err != nil {
		t.Fatal(err)
	}
	// The forgery sits on a border of 64 bytes: 32 of header, 32 of filler, then the copy.
	outer := append(make([]byte, 32), genuine...)
	pos, err = appendAll(l, outer)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := appendAll(l, []byte("later")); err != nil {
		t.Fatal(err)
	}
	l.Close()
	names := list(t, fs)
	data, err := fs.UnsafeGetFileDataBuffer(dir + "/" + names[len(names)-1])
	if err != nil {
		t.Fatal(err)
	}
	data[pos[0].Offset] ^= 1
	l = open(t, opt)
	if got := scan(t, l); len(got) != 2 || got[1] != "later" || len(l.Damages()) != 1 {
		t.Fatal(got, l.Damages())
	}
}

func FuzzScanFile(f *testing.F) {
	fs := vfs.NewMem()
	opt := options(fs)
	create(f, fs, opt)
	l := open(f, opt)
	for i := range 5 {
		if _, err := appendAll(l, record(i, 300)); err != nil {
			f.Fatal(err)
		}
	}
	l.Close()
	names := list(f, fs)
	name := names[len(names)-1]
	data, _ := fs.UnsafeGetFileDataBuffer(dir + "/" + name)
	f.Add(data[:16<<10])
	f.Fuzz(func(t *testing.T, b []byte) {
		fs := vfs.NewMem()
		if err := fs.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		file, err := fs.Create(dir+"/"+name, vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		file.Write(append([]byte(nil), b...))
		file.Close()
		if _, err := segment.ScanFile(fs, dir, name, func(io.ReaderAt, segment.Record) error { return nil }); err != nil {
			t.Fatal(err)
		}
		opt := options(fs)
		if l, err := segment.Open(opt); err == nil {
			l.Close()
		}
	})
}
