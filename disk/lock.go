package disk

import (
	"io"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Lock takes the lock of the drive at path without opening it: for tools that want no server beside them.
// Errors: ErrLocked.
func Lock(fs vfs.FS, path string) (io.Closer, error) { return lock(fs, path) }
