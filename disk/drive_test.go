package disk_test

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sherd-io/sherd/disk"
	"github.com/sherd-io/sherd/disk/disktest"
	"github.com/sherd-io/sherd/disk/segment"
	"github.com/sherd-io/sherd/internal/growfs"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/internal/poll"
)

func options(fs vfs.FS, path string) disk.Options {
	if mem, ok := fs.(*vfs.MemFS); ok {
		fs = growfs.Wrap(mem)
	}
	return disk.Options{
		FS: fs, Path: path, SegmentBytes: 8 << 20, LogSegmentBytes: 4 << 20, PrefillBytes: 64 << 10,
		HangAfter: poll.Within, // a busy machine is no drive that hangs
		Logger:    slog.New(slog.DiscardHandler),
	}
}

func format(t testing.TB, opt disk.Options) {
	t.Helper()
	if _, err := disk.Format(opt, ids.NewCluster()); err != nil {
		t.Fatal(err)
	}
}

func open(t testing.TB, opt disk.Options) *disk.Drive {
	t.Helper()
	d, err := disk.Open(opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func put(d *disk.Drive, s *disktest.Sample) error { return disktest.Put(disktest.Local(d), s) }

func check(t testing.TB, d *disk.Drive, s *disktest.Sample) {
	t.Helper()
	disktest.Check(t, disktest.Local(d), s)
}

func TestPutOpenReopen(t *testing.T) {
	for name, fs := range map[string]vfs.FS{"mem": vfs.NewMem(), "os": vfs.Default} {
		t.Run(name, func(t *testing.T) {
			path := "/drive"
			if fs == vfs.Default {
				path = t.TempDir()
			}
			opt := options(fs, path)
			format(t, opt)
			d := open(t, opt)
			var all []*disktest.Sample
			for i, n := range []int{0, 1, 4096, 5000, 16384, 16385, 65536, 100000, 262144, 262145, 1 << 20, 1<<20 + 1, 3<<20 + 77} {
				s := disktest.NewSample(1, uint64(i), n)
				if err := put(d, s); err != nil {
					t.Fatal(n, err)
				}
				check(t, d, s)
				all = append(all, s)
			}
			d.Close()
			d = open(t, opt)
			for _, s := range all {
				check(t, d, s)
				if _, _, err := d.Verify(context.Background(), s.Header.Key); err != nil {
					t.Fatal(err)
				}
			}
			if err := remove(d, all[2].Header.Key, all[12].Header.Key); err != nil {
				t.Fatal(err)
			}
			if _, err := d.Open(context.Background(), all[2].Header.Key); !errors.Is(err, disk.ErrNotFound) {
				t.Fatal(err)
			}
			if err := put(d, all[2]); !errors.Is(err, disk.ErrDeleted) {
				t.Fatal(err)
			}
		})
	}
}

// TestI7_OneContentHoweverOld: a key keeps its one content when the drive has forgotten that it changed it lately, whatever the
// order of the uploads' stamps, and after a clean and an unclean end.
func TestI7_OneContentHoweverOld(t *testing.T) {
	const keys = 6000 // more than a drive remembers
	fs := vfs.NewCrashableMem()
	opt := options(fs, "/drive")
	format(t, opt)
	d := open(t, opt)
	sample := func(seed, n uint64) *disktest.Sample {
		s := disktest.NewSample(seed, n, 100)
		stamp := 1000 + n - n%7*3 // nearly in order
		s.Header.Key.Blob.Upload = ids.Upload{}
		binary.BigEndian.PutUint64(s.Header.Key.Blob.Upload[:], stamp)
		return s
	}
	putAll := func(from, to uint64) {
		answers := make(chan error, to-from)
		for n := from; n < to; n++ {
			s := sample(1, n)
			d.Put(s.Header, s.Units(), s.Footer, func(err error) { answers <- err })
		}
		for range to - from {
			if err := <-answers; err != nil {
				t.Fatal(err)
			}
		}
	}
	refused := func(to uint64) {
		t.Helper()
		for n := uint64(0); n < to; n += 61 {
			if err := put(d, sample(2, n)); !errors.Is(err, disk.ErrExists) {
				t.Fatalf("another content under key %d: %v", n, err)
			}
		}
	}
	putAll(0, keys/2)
	refused(keys / 2)
	d.Close()
	d = open(t, opt)
	refused(keys / 2)
	putAll(keys/2, keys)
	refused(keys)
	d.Abandon()
	opt.FS = fs.CrashClone(vfs.CrashCloneCfg{})
	d = open(t, opt)
	refused(keys)
}

// logged appends a record to the Raft log, and waits until it is durable.
func logged(t *testing.T, d *disk.Drive, record []byte) {
	t.Helper()
	done := make(chan error, 1)
	d.Log().Append([][]byte{record}, func(_ []segment.Pos, err error) { done <- err })
	if err := <-done; err != nil {
		t.Fatal("an append to the log: ", err)
	}
}

// TestLockNamesItsHolder: a drive that this very process is still closing is not another's.
func TestLockNamesItsHolder(t *testing.T) {
	path := t.TempDir()
	held, err := disk.Lock(vfs.Default, path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := disk.Lock(vfs.Default, path); !errors.Is(err, disk.ErrLocked) || !strings.Contains(err.Error(), "this process") {
		t.Error(err)
	}
	if err := os.WriteFile(filepath.Join(path, "lock"), []byte("1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := disk.Lock(vfs.Default, path); !errors.Is(err, disk.ErrLocked) || !strings.Contains(err.Error(), "another sherd (pid 1)") {
		t.Error(err)
	}
	held.Close()
}
