package disk_test

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
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
	"github.com/sherd-io/sherd/internal/poll"
)

// A group whose sync comes back after the drive was given up and closed meets open rows: they are closed after it.
func TestI12_SyncOutlivesClose(t *testing.T) { synctest.Test(t, syncOutlivesClose) }

func syncOutlivesClose(t *testing.T) {
	mem := vfs.NewMem()
	var syncing atomic.Bool
	gate, reached := make(chan struct{}), make(chan struct{})
	opt := crashOptions(mem)
	format(t, opt)
	opt.FS = errorfs.Wrap(growfs.Wrap(mem), errorfs.InjectorFunc(func(op errorfs.Op) error {
		isSync := op.Kind == errorfs.OpFileSyncData || op.Kind == errorfs.OpFileSync
		if isSync && strings.Contains(op.Path, "/chunks/") && syncing.CompareAndSwap(true, false) {
			close(reached)
			<-gate
		}
		return nil
	}))
	opt.HangAfter = 100 * time.Millisecond
	d := open(t, opt)
	if err := put(d, disktest.NewSample(1, 0, 4096)); err != nil { // makes the segment
		t.Fatal(err)
	}
	syncing.Store(true)
	if err := put(d, disktest.NewSample(1, 1, 4096)); !errors.Is(err, disk.ErrUnavailable) {
		t.Fatal(err)
	}
	<-reached
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	synctest.Wait() // rows that do not wait would be closed now
	close(gate)
	synctest.Wait() // and the group panic
	opt.FS = mem
	open(t, opt)
}

// A scrubber that finds chunks gone while the drive's directory is removed puts nothing into it.
func TestNothingQuarantinedIntoRemovedDrive(t *testing.T) {
	path := filepath.Join(t.TempDir(), "drive")
	opt := options(vfs.Default, path)
	format(t, opt)
	d := open(t, opt)
	s := disktest.NewSample(1, 1, 100_000)
	if err := put(d, s); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(path, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Quarantine(context.Background(), s.Header.Key, "missing"); !errors.Is(err, disk.ErrGone) && !errors.Is(err, disk.ErrUnavailable) {
		t.Fatal(err)
	}
	if _, state, err := disk.Probe(vfs.Default, path); state != disk.Blank {
		t.Fatal(state, err)
	}
}

// Closing a drive whose directory was removed, which nobody noticed yet, ends.
func TestCloseOfRemovedDrive(t *testing.T) {
	path := filepath.Join(t.TempDir(), "drive")
	opt := options(vfs.Default, path)
	format(t, opt)
	d := open(t, opt)
	if err := put(d, disktest.NewSample(1, 1, 4096)); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
	closed := make(chan struct{})
	go func() { defer close(closed); d.Close() }()
	select {
	case <-closed:
	case <-time.After(poll.Within):
		t.Fatal("Close hangs")
	}
}

// Two drives whose directories are exchanged while they are open leave each other's files alone: sherd.json, rows, and chunk files of
// the same numbers.
func TestExchangedDrivesLeaveEachOtherAlone(t *testing.T) {
	dir := t.TempDir()
	var drives [2]*disk.Drive
	var paths [2]string
	var samples [2]*disktest.Sample
	for i := range drives {
		paths[i] = filepath.Join(dir, string('a'+rune(i)))
		opt := options(vfs.Default, paths[i])
		format(t, opt)
		drives[i] = open(t, opt)
		samples[i] = disktest.NewSample(uint64(i), 1, 9<<20) // a file of its own
		if err := put(drives[i], samples[i]); err != nil {
			t.Fatal(err)
		}
	}
	exchange := func() {
		for _, move := range [][2]string{{paths[0], dir + "/x"}, {paths[1], paths[0]}, {dir + "/x", paths[1]}} {
			if err := os.Rename(move[0], move[1]); err != nil {
				t.Fatal(err)
			}
		}
	}
	before := [2]map[string]int64{tree(t, paths[0]), tree(t, paths[1])}
	exchange()
	ctx, cancel := context.WithTimeout(context.Background(), poll.Within)
	defer cancel()
	for i, d := range drives {
		_ = d.AckReplicasLost()
		_ = d.Housekeep(ctx)
		if err := put(d, disktest.NewSample(uint64(10+i), 1, 9<<20)); err == nil {
			t.Error("a chunk file was written into another drive")
		}
		d.DiscardReplicas("test")
		_ = d.Rows().Set([]byte("\xf0key"), []byte("value"), pebble.NoSync)
		_, _ = d.Rows().AsyncFlush()
		if err := d.Check(); err == nil {
			t.Error("nobody noticed")
		}
	}
	time.Sleep(200 * time.Millisecond) // time is what is tested: flushes are tried again and again, and that none acts cannot be awaited
	for i, d := range drives {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		if got := tree(t, paths[1-i]); !maps.Equal(got, before[i]) {
			t.Errorf("drive %d had %v, has %v", i, before[i], got)
		}
	}
	for i := range drives {
		d := open(t, options(vfs.Default, paths[1-i]))
		if d.ReplicasLost() {
			t.Errorf("drive %d lost its replicas", i)
		}
		check(t, d, samples[i])
	}
}

// tree is the files below a directory, with their sizes; logs and manifests, which are written through open files, without.
func tree(t *testing.T, dir string) map[string]int64 {
	t.Helper()
	files := map[string]int64{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		switch {
		case err != nil, filepath.Ext(path) == ".seg": // these come and go
		case strings.HasPrefix(e.Name(), "MANIFEST"):
			files[strings.TrimPrefix(path, dir)] = 0
		default:
			files[strings.TrimPrefix(path, dir)] = info.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// A drive that is being opened while its directory is removed does not make it again: whatever was left there would be nobody's drive.
func TestRemovedWhileOpened(t *testing.T) {
	for _, at := range []string{"rows", "log", "chunks"} {
		t.Run(at, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "d1")
			opt := options(vfs.Default, path)
			format(t, opt)
			var once sync.Once
			opt.FS = errorfs.Wrap(vfs.Default, errorfs.InjectorFunc(func(op errorfs.Op) error {
				if strings.HasPrefix(op.Path, filepath.Join(path, at)) {
					once.Do(func() {
						if err := os.RemoveAll(path); err != nil {
							t.Error(err)
						}
					})
				}
				return nil
			}))
			if d, err := disk.Open(opt); err == nil {
				d.Close()
				t.Error("it was opened")
			}
			if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("its directory: %v, want none", err)
			}
		})
	}
}

// The same where rows/ is gone and is to be made anew, right before a directory is made, or whatever else is done.
func TestRemovedWhileRenewed(t *testing.T) {
	for n, hit := 0, true; hit; n++ {
		path := filepath.Join(t.TempDir(), "d1")
		opt := options(vfs.Default, path)
		format(t, opt)
		if err := os.RemoveAll(filepath.Join(path, "rows")); err != nil {
			t.Fatal(err)
		}
		var seen atomic.Int64
		hit = false
		opt.FS = errorfs.Wrap(vfs.Default, errorfs.InjectorFunc(func(op errorfs.Op) error {
			if op.Kind == errorfs.OpMkdirAll && strings.HasPrefix(op.Path, path) && seen.Add(1) == int64(n+1) {
				hit = true
				if err := os.RemoveAll(path); err != nil {
					t.Error(err)
				}
			}
			return nil
		}))
		d, err := disk.Open(opt)
		if err == nil {
			d.Close()
		}
		if !hit {
			if err != nil || n == 0 {
				t.Errorf("after %d: %v", n, err)
			}
			break
		}
		if err == nil {
			t.Errorf("removed before directory %d is made: it was opened", n)
		}
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			entries, _ := os.ReadDir(path)
			t.Errorf("removed before directory %d is made: its directory has %v: %v", n, entries, err)
		}
	}
}
