package disk_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/sherd-io/sherd/disk"
	"github.com/sherd-io/sherd/disk/chunk"
	"github.com/sherd-io/sherd/disk/disktest"
	"github.com/sherd-io/sherd/internal/growfs"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/internal/poll"
)

// Under its reserve a drive refuses data, and nothing else.
func TestReserve(t *testing.T) {
	mem := vfs.NewMem()
	opt := crashOptions(mem)
	opt.ReserveBytes, opt.BallastBytes = 100<<20, 10<<20
	usage := vfs.DiskUsage{TotalBytes: 1 << 30, AvailBytes: 500 << 20}
	mem.TestingSetDiskUsage(usage)
	format(t, opt)
	d := open(t, opt)
	ctx := context.Background()
	a, b, c := disktest.NewSample(1, 1, 9000), disktest.NewSample(1, 2, 9000), disktest.NewSample(1, 3, 2<<20)
	for _, s := range []*disktest.Sample{a, b} {
		if err := put(d, s); err != nil {
			t.Fatal(err)
		}
	}
	housekeep := func() {
		t.Helper()
		if err := d.Housekeep(ctx); err != nil {
			t.Fatal(err)
		}
	}
	housekeep()
	if s := d.Space(); s.Low || s.Ballast != 10<<20 {
		t.Fatalf("%+v", s)
	}
	usage.AvailBytes = 90 << 20
	mem.TestingSetDiskUsage(usage)
	housekeep()
	if s := d.Space(); !s.Low || s.Ballast != 10<<20 {
		t.Fatalf("%+v", s)
	}
	if err := put(d, disktest.NewSample(1, 4, 100)); !errors.Is(err, disk.ErrFull) {
		t.Fatal(err)
	}
	if err := put(d, c); !errors.Is(err, disk.ErrFull) {
		t.Fatal(err)
	}
	if err := remove(d, a.Header.Key); err != nil {
		t.Fatal(err)
	}
	if err := d.RaiseEpoch(ctx, 1, 1, 7); err != nil {
		t.Fatal(err)
	}
	check(t, d, b)
	usage.AvailBytes = 5 << 20 // now even the ballast goes
	mem.TestingSetDiskUsage(usage)
	housekeep()
	if s := d.Space(); s.Ballast != 0 {
		t.Fatalf("%+v", s)
	}
	usage.AvailBytes = 500 << 20
	mem.TestingSetDiskUsage(usage)
	housekeep()
	if err := put(d, c); err != nil {
		t.Fatal(err)
	}
	if h := d.Health(); h.State != disk.OK {
		t.Fatal(h)
	}
}

// Writes that meet the end of the disk fail as such, what was acknowledged stays, and the drive goes on when there is space again:
// nothing is suspect, and nothing has to be opened again.
func TestNoSpace(t *testing.T) {
	mem := vfs.NewCrashableMem()
	opt := crashOptions(mem)
	format(t, opt)
	var full atomic.Bool
	opt.FS = errorfs.Wrap(growfs.Wrap(mem), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if full.Load() && op.Kind.ReadOrWrite() == errorfs.OpIsWrite && strings.Contains(op.Path, "/chunks") {
			switch op.Kind {
			case errorfs.OpFileWrite, errorfs.OpFileWriteAt, errorfs.OpCreate, errorfs.OpFilePreallocate:
				return syscall.ENOSPC
			}
		}
		return nil
	}))
	d := open(t, opt)
	var stored []*disktest.Sample
	next := uint64(0)
	for round := range 4 {
		full.Store(round%2 == 1)
		for range 8 {
			next++
			size := 9000
			if next%4 == 0 {
				size = 2 << 20
			}
			s := disktest.NewSample(2, next, size)
			err := put(d, s)
			if full.Load() {
				if !errors.Is(err, disk.ErrFull) {
					t.Fatal(err)
				}
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			stored = append(stored, s)
		}
	}
	full.Store(false)
	if h := d.Health(); h.State != disk.OK {
		t.Fatal(h)
	}
	d.Close()
	opt.FS = mem.CrashClone(vfs.CrashCloneCfg{})
	d = open(t, opt)
	for _, s := range stored {
		check(t, d, s)
	}
	if l := d.Lost(); l.Chunks > 0 || len(l.Damages) > 0 {
		t.Fatalf("%+v", l)
	}
}

// Pebble tries for ever to flush where there is no space: it is told of once, not with each try, and goes well when there is space again.
func TestNoSpaceForRows(t *testing.T) {
	mem := vfs.NewMem()
	opt := crashOptions(mem)
	format(t, opt)
	var full atomic.Bool
	var tries atomic.Int64
	opt.FS = errorfs.Wrap(growfs.Wrap(mem), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if full.Load() && op.Kind == errorfs.OpFileWrite && strings.HasSuffix(op.Path, ".sst") {
			tries.Add(1)
			return syscall.ENOSPC
		}
		return nil
	}))
	var log bytes.Buffer
	opt.Logger = slog.New(slog.NewTextHandler(&log, nil))
	opt.HangAfter = time.Hour
	d := open(t, opt)
	full.Store(true)
	if err := d.Rows().Set([]byte{disk.TableMeta, 1}, []byte("x"), pebble.NoSync); err != nil {
		t.Fatal(err)
	}
	flushed := make(chan error, 1)
	go func() { flushed <- d.Rows().Flush() }()
	poll.True(t, poll.Within, "more tries", func() bool { return tries.Load() >= 3 })
	full.Store(false)
	if err := <-flushed; err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(log.String(), "background error"); n != 1 {
		t.Errorf("%d lines for %d tries", n, tries.Load())
	}
}

// A real file system of 64 MiB is filled to its end: data is refused in time, deletes give space back, everything acknowledged is there.
func TestFullFileSystem(t *testing.T) {
	dir := loopMount(t, 64<<20)
	opt := disk.Options{Path: filepath.Join(dir, "d1"), Logger: slog.New(slog.NewTextHandler(t.Output(), nil))}
	format(t, opt)
	d := open(t, opt)
	ctx := context.Background()
	id := d.Identity()
	if id.FSType != "ext4" {
		t.Logf("file system %q", id.FSType)
	}
	var stored []*disktest.Sample
	fill := func() {
		t.Helper()
		for n := uint64(len(stored)) * 1000; ; n++ { // numbers that were not used
			size := []int{100_000, 4096, 2 << 20}[n%3]
			s := disktest.NewSample(3, n, size)
			err := put(d, s)
			if errors.Is(err, disk.ErrFull) {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			stored = append(stored, s)
			if n%8 == 0 {
				if err := d.Housekeep(ctx); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	fill()
	if len(stored) < 20 {
		t.Fatalf("full after %d chunks: %+v", len(stored), d.Space())
	}
	t.Logf("full after %d chunks: %+v", len(stored), d.Space())
	// Somebody else takes the rest.
	giveBack := takeRest(t, dir)
	before := d.Space()
	var keys []ids.Chunk
	var rest []*disktest.Sample
	for i, s := range stored { // of each five, four die
		if i%5 == 0 {
			rest = append(rest, s)
		} else {
			keys = append(keys, s.Header.Key)
		}
	}
	for ; len(keys) > 0; keys = keys[1:] { // one by one: the log grows past what was allotted ahead
		if err := remove(d, keys[0]); err != nil {
			t.Fatal("delete on a full drive: ", err)
		}
		logged(t, d, make([]byte, 1000))
	}
	stored = rest
	if _, err := d.Reclaim(ctx); err != nil {
		t.Fatal(err)
	}
	if err := d.Housekeep(ctx); err != nil {
		t.Fatal(err)
	}
	if after := d.Space(); after.Free <= before.Free {
		t.Fatalf("nothing came free: %+v, was %+v", after, before)
	}
	if h := d.Health(); h.State != disk.OK {
		t.Fatal(h)
	}
	giveBack()
	if err := d.Housekeep(ctx); err != nil {
		t.Fatal(err)
	}
	fill()
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d = open(t, opt)
	for _, s := range stored {
		check(t, d, s)
	}
}

// takeRest writes a file over all free space at once: the ballast that the drive may give back just then it does not take.
func takeRest(t *testing.T, dir string) (giveBack func()) {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, "hog"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var free syscall.Statfs_t
	if err := syscall.Statfs(dir, &free); err != nil {
		t.Fatal(err)
	}
	size := int64(free.Bavail) * free.Bsize
	for err = syscall.ENOSPC; errors.Is(err, syscall.ENOSPC) && size > 0; size -= 64 << 10 {
		err = syscall.Fallocate(int(f.Fd()), 0, 0, size)
	}
	if err != nil {
		t.Fatal(err)
	}
	return func() { os.Remove(f.Name()) }
}

func loopMount(t *testing.T, bytes int64) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root to mount a file system") // a full file system cannot be had otherwise
	}
	image, dir := filepath.Join(t.TempDir(), "image"), t.TempDir()
	f, err := os.Create(image)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Truncate(bytes), f.Close()); err != nil {
		t.Fatal(err)
	}
	for _, cmd := range [][]string{{"mkfs.ext4", "-q", "-F", image}, {"mount", "-o", "loop", image, dir}} {
		if out, err := exec.Command(cmd[0], cmd[1:]...).CombinedOutput(); err != nil {
			t.Skipf("%v: %v %s", cmd, err, out) // a container without loop devices
		}
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v %s", err, out)
		}
	})
	return dir
}

// Reclaim packs what lone small chunks left with half of it padding, once the drive is at rest and not before.
func TestReclaimPadding(t *testing.T) {
	opt := crashOptions(vfs.NewMem())
	opt.Rest, opt.NoReclaim = time.Hour, true
	format(t, opt)
	d := open(t, opt)
	var all []*disktest.Sample
	for n := range uint64(600) {
		s := disktest.NewSample(4, n, 5000)
		if err := put(d, s); err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	reclaim := func() (removed int) {
		t.Helper()
		removed, err := d.Reclaim(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		return removed
	}
	before := d.Stats().Segments
	if n := reclaim(); n > 1 { // a segment that ended early may be under half
		t.Fatalf("%d segments rewritten while chunks are stored", n)
	}
	d.Close()
	opt.Rest = time.Nanosecond
	d = open(t, opt)
	if n, after := reclaim(), d.Stats().Segments; n == 0 || after > before*3/4 {
		t.Fatalf("%d segments rewritten, %d before, %d after", n, before, after)
	}
	if n := reclaim(); n != 0 {
		t.Fatalf("%d segments rewritten again", n)
	}
	for _, s := range all {
		check(t, d, s)
	}
}

// Reclaim gives the space of dead chunks back, moves the others, and their readers do not notice.
func TestReclaim(t *testing.T) {
	mem := vfs.NewCrashableMem()
	opt := crashOptions(mem)
	format(t, opt)
	d := open(t, opt)
	ctx := context.Background()
	var kept []*disktest.Sample
	var gone []ids.Chunk
	readers := make(map[ids.Chunk]*disk.Reader)
	for n := range uint64(120) {
		s := disktest.NewSample(4, n, []int{500, 9000, 70_000, 100_000}[n%4])
		if err := put(d, s); err != nil {
			t.Fatal(err)
		}
		if n%5 == 0 {
			kept = append(kept, s)
			r, err := d.Open(ctx, s.Header.Key)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			readers[s.Header.Key] = r
		} else {
			gone = append(gone, s.Header.Key)
		}
	}
	if err := d.RaiseEpoch(ctx, 1, 5, 1234); err != nil {
		t.Fatal(err)
	}
	if err := remove(d, gone...); err != nil {
		t.Fatal(err)
	}
	before := d.Stats()
	removed, err := d.Reclaim(ctx)
	if err != nil {
		t.Fatal(err)
	}
	after := d.Stats()
	t.Logf("%d segments removed; records %d → %d bytes, live %d → %d", removed, before.RecordBytes, after.RecordBytes, before.LiveBytes, after.LiveBytes)
	if removed == 0 || after.RecordBytes > before.RecordBytes/2 {
		t.Fatal("too little was reclaimed")
	}
	for _, s := range kept {
		check(t, d, s)
		r := readers[s.Header.Key]
		b, err := r.Read(ctx, 0, min(100, r.Size()))
		if err != nil {
			t.Fatal(err)
		}
		b.Release()
	}
	// Tombstones are told again, or forgotten; either way nothing comes back, index or none.
	d.Close()
	opt.FS = mem.CrashClone(vfs.CrashCloneCfg{})
	if err := opt.FS.RemoveAll(opt.Path + "/rows"); err != nil {
		t.Fatal(err)
	}
	d = open(t, opt)
	for _, k := range gone {
		if _, err := d.Open(ctx, k); !errors.Is(err, disk.ErrNotFound) {
			t.Fatal(err)
		}
	}
	for _, s := range kept {
		check(t, d, s)
	}
	if d.Epoch(1, 5) != 1234 {
		t.Fatal("epoch forgotten")
	}
}

// TestI12_ReclaimPastBadSector: a segment that cannot be read stays; the space of the others is given back.
func TestI12_ReclaimPastBadSector(t *testing.T) {
	var bad atomic.Bool
	const damaged = "/chunks/0000000000000002-" // the first that chunks are in
	opt := crashOptions(errorfs.Wrap(growfs.Wrap(vfs.NewMem()), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if bad.Load() && op.Kind == errorfs.OpFileReadAt && strings.Contains(op.Path, damaged) {
			return syscall.EIO
		}
		return nil
	})))
	format(t, opt)
	d := open(t, opt)
	var keys []ids.Chunk
	for n := range uint64(12) { // three to a segment
		s := disktest.NewSample(7, n, 70_000)
		must(t, put(d, s))
		keys = append(keys, s.Header.Key)
	}
	must(t, remove(d, keys...))
	bad.Store(true)
	removed, err := d.Reclaim(t.Context())
	if !errors.Is(err, syscall.EIO) || removed < 3 { // Format made the first, empty one
		t.Fatalf("%d segments removed, %v", removed, err)
	}
	if removed, err := d.Reclaim(t.Context()); removed > 0 || err != nil {
		t.Fatalf("%d segments removed, %v: the bad one is read again at once", removed, err)
	}
	if h := d.Health(); h.State != disk.OK {
		t.Fatal(h)
	}
}

// TestI12_ManyTombstonesForgotten: the log has the rows of so many keys at most to look at in one group, however many a segment tells of.
func TestI12_ManyTombstonesForgotten(t *testing.T) {
	opt := crashOptions(vfs.NewMem()) // tombstones are not kept for their own sake
	opt.SegmentBytes = 1 << 20
	format(t, opt)
	d := open(t, opt)
	const ops = 3
	keys := make([]ids.Chunk, ops*chunk.KeysMax)
	for i := range keys {
		keys[i] = disktest.NewSample(8, uint64(i), 1).Header.Key
	}
	must(t, remove(d, keys...))
	var fill []ids.Chunk
	for n := range uint64(14) { // ends the segment
		s := disktest.NewSample(9, n, 70_000)
		must(t, put(d, s))
		fill = append(fill, s.Header.Key)
	}
	must(t, remove(d, fill...))
	before := d.Stats().Chunks
	if removed, err := d.Reclaim(t.Context()); err != nil || removed < 2 { // Format made the first, empty one
		t.Fatalf("%d segments removed, %v", removed, err)
	}
	after := d.Stats().Chunks
	if records, groups := after.Records-before.Records, after.Groups-before.Groups; records < ops || groups < ops {
		t.Errorf("%d keys were forgotten by %d records in %d groups", len(keys), records, groups)
	}
	for _, i := range []int{0, chunk.KeysMax, len(keys) - 1} {
		must(t, put(d, disktest.NewSample(8, uint64(i), 1))) // no row refuses it
	}
}

// TestI16_TombstonesOutliveWhatTheyCover: a tombstone is told again as long as the record that it covers is somewhere, in a segment too full
// to be rewritten. A drive whose index is lost finds that record.
func TestI16_TombstonesOutliveWhatTheyCover(t *testing.T) {
	mem := vfs.NewCrashableMem()
	opt := crashOptions(mem) // tombstones are not kept for their own sake
	format(t, opt)
	d := open(t, opt)
	ctx := context.Background()
	n := uint64(0)
	fill := func(count int) (all []*disktest.Sample, keys []ids.Chunk) { // three to a segment
		for range count {
			s := disktest.NewSample(6, n, 70_000)
			n++
			if err := put(d, s); err != nil {
				t.Fatal(err)
			}
			all, keys = append(all, s), append(keys, s.Header.Key)
		}
		return all, keys
	}
	kept, _ := fill(12)
	deleted := kept[4].Header.Key
	kept = slices.Delete(kept, 4, 5)
	_, before := fill(12)
	if err := remove(d, deleted); err != nil {
		t.Fatal(err)
	}
	_, after := fill(12)
	if err := remove(d, slices.Concat(before, after)...); err != nil {
		t.Fatal(err)
	}
	last, _ := fill(4) // the newest segment is not rewritten
	if removed, err := d.Reclaim(ctx); err != nil || removed < 6 {
		t.Fatalf("%d segments removed, %v", removed, err)
	}
	d.Close()
	opt.FS = mem.CrashClone(vfs.CrashCloneCfg{})
	if err := opt.FS.RemoveAll(opt.Path + "/rows"); err != nil {
		t.Fatal(err)
	}
	d = open(t, opt)
	if _, err := d.Open(ctx, deleted); !errors.Is(err, disk.ErrNotFound) {
		t.Errorf("what was deleted: %v", err)
	}
	for _, s := range slices.Concat(kept, last) {
		check(t, d, s)
	}
}

// I16: a deleted key refuses writes as long as Options say, whatever is reclaimed meanwhile.
func TestI16_TombstonesOutlive(t *testing.T) {
	opt := crashOptions(vfs.NewMem())
	opt.TombstoneKeep = 0 // the default, two days
	format(t, opt)
	d := open(t, opt)
	ctx := context.Background()
	var all []*disktest.Sample
	for n := range uint64(40) {
		s := disktest.NewSample(5, n, 30_000)
		if err := put(d, s); err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	for _, s := range all {
		if err := remove(d, s.Header.Key); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		if _, err := d.Reclaim(ctx); err != nil {
			t.Fatal(err)
		}
		for _, s := range all {
			if err := put(d, s); !errors.Is(err, disk.ErrDeleted) {
				t.Fatal(err)
			}
		}
		d.Close()
		d = open(t, opt)
	}
	if st := d.Stats(); st.LiveBytes != 0 {
		t.Fatalf("%+v", st)
	}
}

// Salvage reads everything back from a bare directory, rows and identity gone, and says which blocks are bad.
func TestSalvage(t *testing.T) {
	mem := vfs.NewCrashableMem()
	opt, all := filledDrive(t, mem)
	d := open(t, opt)
	if err := remove(d, all[0].Header.Key); err != nil {
		t.Fatal(err)
	}
	if err := d.Quarantine(context.Background(), all[1].Header.Key, "test"); err != nil {
		t.Fatal(err)
	}
	d.Close()
	for _, name := range []string{"rows", "log", "sherd.json", "sherd.json.bak"} {
		if err := mem.RemoveAll(opt.Path + "/" + name); err != nil {
			t.Fatal(err)
		}
	}
	found := make(map[ids.Chunk]*disk.Salvaged)
	report, err := disk.Salvage(mem, opt.Path, func(s *disk.Salvaged) error {
		if len(s.Bad) > 0 {
			t.Fatalf("%v: bad blocks %v", s.Header.Key, s.Bad)
		}
		found[s.Header.Key] = s
		return nil
	})
	if err != nil || len(report.Errs) > 0 || len(report.Damages) > 0 {
		t.Fatal(report, err)
	}
	for _, s := range all {
		got := found[s.Header.Key]
		if got == nil || got.Header != s.Header || got.Footer != s.Footer {
			t.Fatalf("%v: %+v", s.Header.Key, got)
		}
		b, err := got.ReadPayload()
		if err != nil || string(b) != string(s.Payload) {
			t.Fatal("payload differs", err)
		}
	}
	if !report.Deleted[all[0].Header.Key] || len(report.Deleted) != 1 {
		t.Fatal(report.Deleted)
	}
	// One bad block is told, and the others are given.
	big := found[all[3].Header.Key] // 70,000 bytes
	data, err := mem.UnsafeGetFileDataBuffer(big.Path)
	if err != nil {
		t.Fatal(err)
	}
	data[big.Offset+2*chunk.BlockBytes+1] ^= 4
	_, err = disk.Salvage(mem, opt.Path, func(s *disk.Salvaged) error {
		if bad := len(s.Bad) > 0; bad != (s.Header.Key == big.Header.Key) || bad && s.Bad[0] != 2 {
			t.Fatalf("%v: bad %v", s.Header.Key, s.Bad)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A damaged chunk can be put aside as it is, and a good one written in its place.
func TestQuarantineDamaged(t *testing.T) {
	mem := vfs.NewCrashableMem()
	opt, all := filledDrive(t, mem)
	ctx := context.Background()
	report := make(map[ids.Chunk]*disk.Salvaged)
	if _, err := disk.Salvage(mem, opt.Path, func(s *disk.Salvaged) error { report[s.Header.Key] = s; return nil }); err != nil {
		t.Fatal(err)
	}
	victims := []*disktest.Sample{all[1], all[3], all[10]}
	for _, s := range victims {
		at := report[s.Header.Key]
		data, err := mem.UnsafeGetFileDataBuffer(at.Path)
		if err != nil {
			t.Fatal(err)
		}
		data[at.Offset+5] ^= 1
	}
	d := open(t, opt)
	for _, s := range victims {
		if _, _, err := d.Verify(ctx, s.Header.Key); !errors.Is(err, disk.ErrCorrupt) {
			t.Fatal(err)
		}
		if err := d.Quarantine(ctx, s.Header.Key, "corrupt"); err != nil {
			t.Fatal(err)
		}
		if err := d.RestoreQuarantined(ctx, s.Header.Key); !errors.Is(err, disk.ErrCorrupt) {
			t.Fatal(err)
		}
		if err := put(d, s); err != nil {
			t.Fatal(err)
		}
		check(t, d, s)
	}
	// A repair that comes without quarantine replaces what is bad, too.
	s := all[5]
	at := report[s.Header.Key]
	data, err := mem.UnsafeGetFileDataBuffer(at.Path)
	if err != nil {
		t.Fatal(err)
	}
	data[at.Offset+5] ^= 1
	if err := put(d, s); err != nil {
		t.Fatal(err)
	}
	check(t, d, s)
}

// A chunk file that comes back from quarantine is not unlinked as the one that was put aside, nor as a second copy of itself.
func TestRestoredFileStays(t *testing.T) {
	var stuck atomic.Bool
	opt := crashOptions(errorfs.Wrap(growfs.Wrap(vfs.NewMem()), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if stuck.Load() && op.Kind == errorfs.OpRemove && strings.Contains(op.Path, "quarantine") {
			return errorfs.ErrInjected
		}
		return nil
	})))
	format(t, opt)
	d := open(t, opt)
	ctx := t.Context()
	s := disktest.NewSample(1, 1, 3<<20)
	if err := put(d, s); err != nil {
		t.Fatal(err)
	}
	for _, again := range []bool{false, true} {
		if err := d.Quarantine(ctx, s.Header.Key, "test"); err != nil {
			t.Fatal(err)
		}
		if stuck.Store(again); again {
			if err := d.RestoreQuarantined(ctx, s.Header.Key); err == nil {
				t.Fatal("the copy could not be removed, and nobody said so")
			}
			stuck.Store(false)
		}
		if err := d.RestoreQuarantined(ctx, s.Header.Key); err != nil {
			t.Fatal(err)
		}
		if err := d.Housekeep(ctx); err != nil {
			t.Fatal(err)
		}
		check(t, d, s)
	}
	if n := d.Stats().DeadFiles; n != 0 {
		t.Errorf("%d files wait to be unlinked", n)
	}
}
