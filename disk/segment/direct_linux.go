package segment

import (
	"golang.org/x/sys/unix"

	"github.com/cockroachdb/pebble/v2/vfs"
)

func setDirect(fd uintptr, on bool) bool {
	flags, err := unix.FcntlInt(fd, unix.F_GETFL, 0)
	if err != nil {
		return false
	}
	want := flags | unix.O_DIRECT
	if !on {
		want = flags &^ unix.O_DIRECT
	}
	_, err = unix.FcntlInt(fd, unix.F_SETFL, want)
	return err == nil
}

// IsDirect reports whether f bypasses the page cache.
func IsDirect(f vfs.File) bool {
	fd := f.Fd()
	if fd == vfs.InvalidFd {
		return false
	}
	flags, err := unix.FcntlInt(fd, unix.F_GETFL, 0)
	return err == nil && flags&unix.O_DIRECT != 0
}

// writev writes pieces one after the other from off on, in one call where f allows it.
// Pieces are on borders of blockBytes in memory and length.
func writev(f vfs.File, vectors bool, pieces [][]byte, off int64) error {
	fd := f.Fd()
	if !vectors || fd == vfs.InvalidFd || len(pieces) == 1 {
		return writeEach(f, pieces, off)
	}
	for len(pieces) > 0 {
		n, err := unix.Pwritev(int(fd), pieces[:min(len(pieces), 1024)], off)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		off += int64(n)
		pieces = skip(pieces, n)
	}
	return nil
}

// skip drops the first n bytes of pieces; it changes pieces' elements.
func skip(pieces [][]byte, n int) [][]byte {
	for len(pieces) > 0 && n >= len(pieces[0]) {
		n -= len(pieces[0])
		pieces = pieces[1:]
	}
	if n > 0 {
		pieces[0] = pieces[0][n:]
	}
	return pieces
}
