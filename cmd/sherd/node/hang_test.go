package node

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/sherd-io/sherd/placement"
)

// hangFS is a file system in which everything below one path hangs while it is told to.
type hangFS struct {
	vfs.FS
	at   atomic.Pointer[hang]
	path string
}

type hang struct{ over chan struct{} }

func newHangFS(path string) *hangFS {
	h := &hangFS{path: path}
	h.FS = errorfs.Wrap(vfs.Default, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if at := h.at.Load(); at != nil && strings.HasPrefix(op.Path, path) {
			<-at.over
		}
		return nil
	}))
	return h
}

// Unwrap keeps disk from going round it.
func (h *hangFS) Unwrap() vfs.FS { return nil }

func (h *hangFS) hang(on bool) {
	if on {
		h.at.Store(&hang{make(chan struct{})})
	} else if at := h.at.Swap(nil); at != nil {
		close(at.over)
	}
}

func hangingRig(t *testing.T, drives, i int) (*rig, *hangFS) {
	r := newRigAlone(t, drives, nil)
	fs := newHangFS(r.paths[i])
	r.edit = func(c *Config) {
		c.FS, c.Patience, c.HangAfter = fs, 3*time.Second, 10*time.Second
	}
	t.Cleanup(func() { fs.hang(false) })
	return r, fs
}

// TestI12_HangingPath: a file system that hangs takes one drive out of service. The others are looked after and read all
// the time, the server can be stopped, and the drive comes back when the file system does.
func TestI12_HangingPath(t *testing.T) {
	r, fs := hangingRig(t, 4, 1)
	n := r.start()
	r.fill(3)
	id, other := r.id(1), r.id(2)
	fs.hang(true)
	r.awaitState(id, placement.DriveDown)
	r.check(3)
	r.hide(2, true)
	r.awaitState(other, placement.DriveDown)
	r.hide(2, false)
	eventually(t, "the other drive", func() error {
		if n.bays.drive(other) == nil {
			return errText("it is not in service")
		}
		return nil
	})
	if s := n.status(context.Background()); len(s.Drives) != 4 {
		t.Errorf("status shows %d drives", len(s.Drives))
	}
	fs.hang(false)
	r.awaitState(id, placement.DriveUp)
	r.awaitWhole()
	r.stop()
	noGoroutines(t)
}

// TestI12_StartWithHangingPath: it is passed over, and taken in when it answers.
func TestI12_StartWithHangingPath(t *testing.T) {
	r, fs := hangingRig(t, 4, 1)
	r.start()
	r.fill(3)
	id := r.id(1)
	r.stop()
	fs.hang(true)
	r.start()
	r.check(3)
	r.awaitProblem(1, errSilent.Error())
	fs.hang(false)
	r.awaitState(id, placement.DriveUp)
	r.stop()
	noGoroutines(t)
}

// TestI12_CloseWithHangingPath: closing takes no longer than it is given, and a little for each part that hangs.
func TestI12_CloseWithHangingPath(t *testing.T) {
	r, fs := hangingRig(t, 4, 1)
	n := r.start()
	r.fill(1)
	n.cfg.HangAfter = time.Hour
	fs.hang(true)
	ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer cancel()
	begin := time.Now()
	err := n.Close(ctx)
	r.n = nil
	if took := time.Since(begin); took > within {
		t.Errorf("it took %s", took)
	}
	t.Log(fmt.Sprint("close: ", err))
	fs.hang(false)
	noGoroutines(t)
}

// TestI10_MovedDriveThatIsBeingOpened: a drive that was moved to another bay while the node runs is not given up for the blank one at its old
// path, however long it takes to be opened.
func TestI10_MovedDriveThatIsBeingOpened(t *testing.T) {
	r := newRigAlone(t, 3, nil)
	r.start()
	r.fill(3)
	id := r.id(0)
	r.stop()
	moved := filepath.Join(filepath.Dir(r.paths[0]), "d4")
	r.paths = append(r.paths, moved) // after its old path: the first bay that knows the drive is not the one that has it
	fs := newHangFS(filepath.Join(moved, "chunks"))
	t.Cleanup(func() { fs.hang(false) })
	r.edit = func(c *Config) { c.FS, c.Patience = fs, 2*time.Second }
	n := r.start()
	fs.hang(true)
	must(t, os.Rename(r.paths[0], moved))
	must(t, os.Mkdir(r.paths[0], 0o755))
	eventually(t, "the blank one in service", func() error {
		if d, _, problem := n.bays.list()[0].current(); d == nil || d.ID() == id {
			return errText(problem)
		}
		return nil
	})
	if row := r.row(id); row.State == placement.DriveOut {
		t.Fatalf("the drive that is being opened is %+v", row)
	}
	fs.hang(false)
	eventually(t, "the drive that moved", func() error { return r.serves(3, id) })
	if row := r.row(id); row.State == placement.DriveOut || row.Path != moved {
		t.Fatalf("the drive that moved is %+v", row)
	}
	r.check(3)
}

// TestI12_UnreadableChunks: a drive that cannot be opened is tried again after a while, and a longer one each time: not at once, over and
// over.
func TestI12_UnreadableChunks(t *testing.T) {
	r := newRigAlone(t, 4, nil)
	var failing atomic.Bool
	var tries atomic.Int64
	chunks := filepath.Join(r.paths[1], "chunks")
	fs := errorfs.Wrap(vfs.Default, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if !failing.Load() || !strings.HasPrefix(op.Path, chunks) {
			return nil
		}
		if op.Path == chunks { // what opening a drive begins with there
			tries.Add(1)
		}
		return errorfs.ErrInjected
	}))
	const least = 200 * time.Millisecond
	r.edit = func(c *Config) { c.FS, c.CheckEvery = fs, least }
	r.start()
	id := r.id(1)
	failing.Store(true)
	r.bucket()
	for i := range 8 { // some of them want the drive
		_ = r.put(fmt.Sprint("refused", i))
	}
	r.awaitState(id, placement.DriveDown)
	first, begin := tries.Load(), time.Now()
	const more = 4 // the one that may be under way, and three that wait least, 2 least and 4 least at least
	eventually(t, "more tries", func() error {
		if tries.Load() < first+more {
			return errText("not yet")
		}
		return nil
	})
	if took := time.Since(begin); took < 6*least {
		t.Errorf("%d tries within %v", tries.Load()-first, took)
	}
	failing.Store(false)
	r.awaitState(id, placement.DriveUp)
}
