package disk

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// rowsFS is the file system that Pebble sees. It is without Pebble's own lock, which goes by path and would outlive a handle that was
// given up: the drive's lock covers rows/. And it keeps a failed sync of a directory to itself: Pebble panics on it in
// goroutines of its own, which would end the process. Here such a sync reports and never returns, as Fatalf does (I12).
// And a handle that was given up, or whose directory was exchanged for another, changes nothing by name any more: what is there now has
// files of the same names. It is a pointer because Pebble compares file systems.
type rowsFS struct {
	vfs.FS
	fatal func(error)
	ours  func() error // why the path is not the handle's any more, or nil
	there bool         // rows/ is opened, not made
}

// Lock takes no lock.
func (*rowsFS) Lock(string) (io.Closer, error) { return io.NopCloser(nil), nil }

// Unwrap gives the file system beneath.
func (fs *rowsFS) Unwrap() vfs.FS { return fs.FS }

// Create creates a file. Before a marker comes into being, what it points to is made durable: Pebble leaves both names to one sync of
// the directory, and a power cut between may keep the marker alone where a file system does not order the two.
func (fs *rowsFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if err := fs.ours(); err != nil {
		return nil, err
	}
	if strings.HasPrefix(fs.PathBase(name), "marker.") {
		if err := syncDir(fs.FS, fs.PathDir(name)); err != nil {
			return nil, err
		}
	}
	return fs.FS.Create(name, category)
}

// OpenReadWrite opens or creates a file.
func (fs *rowsFS) OpenReadWrite(name string, category vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	if err := fs.ours(); err != nil {
		return nil, err
	}
	return fs.FS.OpenReadWrite(name, category, opts...)
}

// ReuseForWrite renames a file and opens it.
func (fs *rowsFS) ReuseForWrite(from, to string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if err := fs.ours(); err != nil {
		return nil, err
	}
	return fs.FS.ReuseForWrite(from, to, category)
}

// Link makes a hard link.
func (fs *rowsFS) Link(from, to string) error {
	if err := fs.ours(); err != nil {
		return err
	}
	return fs.FS.Link(from, to)
}

// Remove removes a file.
func (fs *rowsFS) Remove(name string) error {
	if err := fs.ours(); err != nil {
		return err
	}
	return fs.FS.Remove(name)
}

// RemoveAll removes a directory.
func (fs *rowsFS) RemoveAll(name string) error {
	if err := fs.ours(); err != nil {
		return err
	}
	return fs.FS.RemoveAll(name)
}

// Rename renames a file.
func (fs *rowsFS) Rename(from, to string) error {
	if err := fs.ours(); err != nil {
		return err
	}
	return fs.FS.Rename(from, to)
}

// MkdirAll makes rows/, or what a copy of them is made in, but not the drive's directory with it; see Options.mkdir. Rows that are opened have theirs: the drive's may be
// removed at any moment.
func (fs *rowsFS) MkdirAll(dir string, perm os.FileMode) error {
	if err := fs.ours(); err != nil {
		return err
	}
	if fs.there && fs.PathBase(dir) == rowsName {
		_, err := fs.FS.Stat(dir)
		return err
	}
	if _, err := fs.FS.Stat(fs.PathDir(dir)); err != nil {
		return err
	}
	return fs.FS.MkdirAll(dir, perm)
}

// OpenDir opens a directory for syncing.
func (fs *rowsFS) OpenDir(name string) (vfs.File, error) {
	f, err := fs.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return rowsDir{f, fs.fatal}, nil
}

type rowsDir struct {
	vfs.File
	fatal func(error)
}

// Sync syncs the directory, or does not return.
func (d rowsDir) Sync() error {
	if err := d.File.Sync(); err != nil {
		d.fatal(fmt.Errorf("%w: rows: sync of the directory: %w", ErrUnavailable, err))
		select {}
	}
	return nil
}

// SyncData is Sync.
func (d rowsDir) SyncData() error { return d.Sync() }
