package disk

import (
	"slices"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Remains reports whether path holds no more than what was written into a drive's directory just while that was emptied: entries
// that others knows, and this package's own without a file last written before since, when the drive was last seen. It is for
// directories that Probe calls Foreign; a file older than since tells that somebody took away sherd.json, not the drive.
func Remains(fs vfs.FS, path string, since time.Time, others func(name string) bool) (bool, error) {
	names, err := fs.List(path)
	if err != nil {
		return false, err
	}
	for _, name := range names {
		if name == lostFoundName || others(name) {
			continue
		}
		if !own(name) {
			return false, nil
		}
		if fresh, err := writtenSince(fs, fs.PathJoin(path, name), since); !fresh || err != nil {
			return false, err
		}
	}
	return true, nil
}

// own reports whether this package writes an entry of that name into a drive's directory.
func own(name string) bool {
	return slices.Contains([]string{
		identityName, spareName, chunksName, logName, rowsName, verifyName, quarantineName, lockName, ballastName, formattingName,
	}, strings.TrimSuffix(name, tempSuffix))
}

// writtenSince reports whether every file at or under path was last written after t.
func writtenSince(fs vfs.FS, path string, t time.Time) (bool, error) {
	info, err := fs.Stat(path)
	if err != nil {
		return false, err
	}
	if !info.IsDir() {
		return info.ModTime().After(t), nil
	}
	names, err := fs.List(path)
	for _, name := range names {
		if fresh, err := writtenSince(fs, fs.PathJoin(path, name), t); !fresh || err != nil {
			return false, err
		}
	}
	return err == nil, err
}
