//go:build !linux

package segment

import "github.com/cockroachdb/pebble/v2/vfs"

func setDirect(uintptr, bool) bool { return false }

// IsDirect reports whether f bypasses the page cache.
func IsDirect(vfs.File) bool { return false }

func writev(f vfs.File, _ bool, pieces [][]byte, off int64) error { return writeEach(f, pieces, off) }
