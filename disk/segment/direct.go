package segment

import (
	"errors"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sherd-io/sherd/internal/bufpool"
)

// Direct opens a file with O_DIRECT where its file system has that, else as usual. Reads and writes must then
// be on borders of 4,096 bytes, in memory, file and length.
var Direct vfs.OpenOption = directOption{}

type directOption struct{}

// Apply sets the flag on an open file. A file system that refuses it, then or with the first read, leaves the file buffered.
func (directOption) Apply(f vfs.File) {
	fd := f.Fd()
	if fd == vfs.InvalidFd || !setDirect(fd, true) {
		return
	}
	var pool bufpool.Pool
	b := pool.Get(blockBytes)
	if _, err := f.ReadAt(b.B, 0); isInvalid(err) {
		setDirect(fd, false)
	}
}

// WriteFirst makes the first write to a file that was opened with Direct. Some file systems take the flag and refuse the write: then
// the file is buffered from here on.
func WriteFirst(f vfs.File, b []byte, off int64) error {
	_, err := f.WriteAt(b, off)
	if isInvalid(err) && IsDirect(f) && setDirect(f.Fd(), false) {
		_, err = f.WriteAt(b, off)
	}
	return err
}

func isInvalid(err error) bool { return errors.Is(err, syscall.EINVAL) }
