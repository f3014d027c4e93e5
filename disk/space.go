package disk

import (
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Space is how full a drive's file system is, in bytes.
type Space struct {
	Total, Free, Reserve, Ballast int64
	Low                           bool // under the reserve: only deletes, Raft and compaction
}

// space watches the file system's free space and keeps the ballast: a file whose space is given up
// when everything else is gone, so that deletes, Raft and compaction go on.
type space struct {
	d       *Drive
	total   atomic.Int64
	free    atomic.Int64
	ballast atomic.Int64 // bytes the ballast file takes now
	mu      sync.Mutex   // one change of the ballast at a time
	lacking bool         // under mu: it could not be written, and that was logged
}

func (s *space) open(d *Drive) {
	s.d = d
	if info, err := d.opt.FS.Stat(s.path()); err == nil && info.Size() > 0 {
		s.ballast.Store(info.Size())
	}
	s.refresh()
}

func (s *space) path() string { return s.d.opt.FS.PathJoin(s.d.opt.Path, ballastName) }

// refresh asks the file system. It keeps the last figures if it gets no answer.
func (s *space) refresh() {
	usage, err := s.d.opt.FS.GetDiskUsage(s.d.opt.Path)
	if err != nil {
		return
	}
	s.total.Store(int64(usage.TotalBytes))
	s.free.Store(int64(usage.AvailBytes))
}

// take counts bytes that are about to be written, so that the figures hold between two looks at the file system.
func (s *space) take(bytes int64) { s.free.Add(-bytes) }

// low says whether bytes more would touch the reserve.
func (s *space) low(bytes int64) bool {
	return s.total.Load() > 0 && s.free.Load()-bytes < s.d.opt.ReserveBytes
}

// keep gives up the ballast when even it is needed, and takes it back when there is space again.
func (s *space) keep() {
	s.refresh()
	want := s.d.opt.BallastBytes
	if want <= 0 || s.total.Load() <= 0 {
		return
	}
	switch free := s.free.Load(); {
	case free < s.d.opt.ReserveBytes/4:
		s.makeRoom()
	case s.ballast.Load() < want && free > s.d.opt.ReserveBytes+want:
		s.fill(want)
	}
}

// makeRoom gives up the ballast; false if there is none.
func (s *space) makeRoom() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ballast.Load() == 0 {
		return false
	}
	err := s.d.opt.FS.Remove(s.path())
	if err == nil {
		err = syncDir(s.d.opt.FS, s.d.opt.Path) // the space comes free with it
	}
	if err != nil {
		s.d.opt.Logger.Warn("cannot give up the ballast", "err", err)
		return false
	}
	s.d.opt.Logger.Warn("drive is full: the ballast is given up for deletes, metadata and compaction", "bytes", s.ballast.Load())
	s.ballast.Store(0)
	s.refresh()
	return true
}

func (s *space) fill(want int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, err := s.d.opt.FS.Create(s.path(), vfs.WriteCategoryUnspecified)
	if err == nil {
		// The length is written, so that the next opening knows it.
		if err = f.Preallocate(0, want); err == nil {
			_, err = f.WriteAt([]byte{0}, want-1)
		}
		if closeErr := f.Close(); err == nil {
			err = closeErr
		}
	}
	if err != nil {
		s.d.opt.FS.Remove(s.path()) // a partial ballast is none
		s.ballast.Store(0)
		if !s.lacking {
			s.d.opt.Logger.Warn("no ballast", "err", err)
		}
		s.lacking = true
		return
	}
	s.lacking = false
	s.ballast.Store(want)
}

// Space is how full the drive is, as of the last second or so.
func (d *Drive) Space() Space {
	return Space{
		Total: d.space.total.Load(), Free: d.space.free.Load(), Reserve: d.opt.ReserveBytes,
		Ballast: d.space.ballast.Load(), Low: d.space.low(0),
	}
}
