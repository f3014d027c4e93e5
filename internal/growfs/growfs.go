package growfs

import (
	"errors"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Wrap gives mem with files that grow at the price of a copy. mem may be used beside it, but a file that is grown through one of them must
// not be grown through the other at the same time.
func Wrap(mem *vfs.MemFS) vfs.FS { return &growFS{FS: mem} }

type growFS struct {
	vfs.FS
	mu sync.Mutex // one file grows at a time: the size must not change between the look at it and the write
}

// Unwrap gives the file system beneath.
func (fs *growFS) Unwrap() vfs.FS { return fs.FS }

// Create implements vfs.FS.
func (fs *growFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return fs.with(name)(fs.FS.Create(name, category))
}

// OpenReadWrite implements vfs.FS.
func (fs *growFS) OpenReadWrite(name string, category vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return fs.with(name)(fs.FS.OpenReadWrite(name, category, opts...))
}

// ReuseForWrite implements vfs.FS.
func (fs *growFS) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return fs.with(newname)(fs.FS.ReuseForWrite(oldname, newname, category))
}

// with adds a handle that grows the file. It is opened at once: later the file may have another name.
func (fs *growFS) with(name string) func(vfs.File, error) (vfs.File, error) {
	return func(f vfs.File, err error) (vfs.File, error) {
		if err != nil {
			return nil, err
		}
		end, err := fs.FS.OpenReadWrite(name, vfs.WriteCategoryUnspecified)
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		return &file{File: f, fs: fs, end: end}, nil
	}
}

type file struct {
	vfs.File
	fs  *growFS
	end vfs.File // its Write appends
	at  int64    // where end is; at most the file's size
}

// Close implements vfs.File.
func (f *file) Close() error { return errors.Join(f.end.Close(), f.File.Close()) }

// WriteAt implements vfs.File.
func (f *file) WriteAt(p []byte, off int64) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	info, err := f.File.Stat()
	if err != nil {
		return 0, err
	}
	size := info.Size()
	if off+int64(len(p)) <= size {
		return f.File.WriteAt(p, off)
	}
	if err := f.advance(size); err != nil {
		return 0, err
	}
	inside, gap := max(size-off, 0), max(off-size, 0)
	if inside > 0 {
		if _, err := f.File.WriteAt(p[:inside], off); err != nil {
			return 0, err
		}
	}
	// A copy: Write of vfs.MemFS changes what it was given, where Pebble checks its invariants, as it does under the race detector.
	grown := append(make([]byte, gap, gap+int64(len(p))-inside), p[inside:]...)
	n, err := f.end.Write(grown)
	f.at += int64(n)
	return len(p), err
}

// advance brings end to the file's size: a handle cannot seek, but it can read.
func (f *file) advance(size int64) error {
	for f.at < size {
		n, err := f.end.Read(make([]byte, min(size-f.at, 64<<10)))
		if f.at += int64(n); err != nil {
			return err
		}
	}
	return nil
}
