package disk_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/sherd-io/sherd/disk"
	"github.com/sherd-io/sherd/disk/disktest"
	"github.com/sherd-io/sherd/internal/growfs"
)

const fileChunk = 2 << 20 // a chunk of so many bytes is a file of its own

// mustPut stores the n-th chunk that is a file.
func mustPut(t *testing.T, d *disk.Drive, n uint64) *disktest.Sample {
	t.Helper()
	s := disktest.NewSample(21, n, fileChunk)
	if err := put(d, s); err != nil {
		t.Fatal(err)
	}
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestI16_FileNumbersAreUsedOnce: the log's old records and copies in quarantine name chunk files by number. A number that a deleted
// file had is not given to another after the drive was opened again, or what is said of the one would be done to the other.
func TestI16_FileNumbersAreUsedOnce(t *testing.T) {
	ctx := context.Background()
	opt := options(vfs.NewMem(), "/drive")
	opt.NoReclaim = true
	format(t, opt)
	d := open(t, opt)
	aside, dead := mustPut(t, d, 1), mustPut(t, d, 2)
	must(t, d.Quarantine(ctx, aside.Header.Key, "test"))
	must(t, remove(d, dead.Header.Key))
	must(t, d.Housekeep(ctx)) // both files are unlinked
	must(t, d.Close())
	d = open(t, opt)
	live := []*disktest.Sample{mustPut(t, d, 3), mustPut(t, d, 4)}
	must(t, d.RestoreQuarantined(ctx, aside.Header.Key))
	live = append(live, aside)
	for _, s := range live {
		check(t, d, s)
	}
	must(t, d.Close())
	must(t, opt.FS.RemoveAll("/drive/rows")) // the index is made anew from the whole log
	d = open(t, opt)
	must(t, d.Housekeep(ctx))
	for _, s := range live {
		check(t, d, s)
	}
}

// TestChunkFileNotOpened: a chunk file that is gone is a chunk to repair; one that cannot be opened for the want of open files says nothing of
// the chunk, nor of the drive, and is there a moment later.
func TestChunkFileNotOpened(t *testing.T) {
	ctx := context.Background()
	var scarce atomic.Bool
	opt := options(errorfs.Wrap(growfs.Wrap(vfs.NewMem()), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if scarce.Load() && op.Kind == errorfs.OpOpen && strings.HasSuffix(op.Path, ".chunk") {
			return &os.PathError{Op: "open", Path: op.Path, Err: syscall.EMFILE}
		}
		return nil
	})), "/drive")
	opt.NoReclaim = true
	format(t, opt)
	d := open(t, opt)
	s := mustPut(t, d, 1)
	scarce.Store(true)
	if _, err := d.Open(ctx, s.Header.Key); !errors.Is(err, disk.ErrUnavailable) || errors.Is(err, disk.ErrCorrupt) {
		t.Error("open:", err)
	}
	if _, _, err := d.Verify(ctx, s.Header.Key); !errors.Is(err, disk.ErrUnavailable) || errors.Is(err, disk.ErrCorrupt) {
		t.Error("verify:", err)
	}
	if h := d.Health(); h.State != disk.OK {
		t.Error(h)
	}
	scarce.Store(false)
	check(t, d, s)
	for _, name := range walk(opt.FS, "/drive/chunks") {
		if strings.HasSuffix(name, ".chunk") {
			must(t, opt.FS.Remove(name))
		}
	}
	if _, err := d.Open(ctx, s.Header.Key); !errors.Is(err, disk.ErrCorrupt) {
		t.Error("gone:", err)
	}
}

// TestQuarantineWithoutOpenFiles: a copy in quarantine is of what the drive holds, never zeros for what could not be opened just then.
func TestQuarantineWithoutOpenFiles(t *testing.T) {
	ctx := context.Background()
	var scarce atomic.Bool
	opt := options(errorfs.Wrap(growfs.Wrap(vfs.NewMem()), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if scarce.Load() && op.Kind == errorfs.OpOpen && strings.HasSuffix(op.Path, ".seg") {
			return &os.PathError{Op: "open", Path: op.Path, Err: syscall.EMFILE}
		}
		return nil
	})), "/drive")
	opt.NoReclaim = true
	format(t, opt)
	d := open(t, opt)
	s := disktest.NewSample(22, 1, 40_000)
	must(t, put(d, s)) // its segment is open for writing, and was not read yet
	scarce.Store(true)
	if err := d.Quarantine(ctx, s.Header.Key, "test"); !errors.Is(err, disk.ErrUnavailable) {
		t.Fatal(err)
	}
	if err := put(d, s); !errors.Is(err, disk.ErrUnavailable) { // whether it is there already cannot be seen
		t.Error(err)
	}
	if h := d.Health(); h.State != disk.OK {
		t.Error(h)
	}
	scarce.Store(false)
	check(t, d, s)
	must(t, d.Quarantine(ctx, s.Header.Key, "test"))
	must(t, d.RestoreQuarantined(ctx, s.Header.Key))
	check(t, d, s)
}
