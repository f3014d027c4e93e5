package segment

import (
	"io"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sherd-io/sherd/internal/bufpool"
)

// IsSegment tells whether a file's name is that of a segment.
func IsSegment(name string) bool {
	_, _, ok := parseName(name)
	return ok
}

// ScanFile walks one segment without its log: for tools that read bare directories. It trusts the name where the header is damaged, takes every
// record whose checksum holds, and goes on past all else. fn's error ends it.
func ScanFile(fs vfs.FS, dir, name string, fn func(f io.ReaderAt, r Record) error) ([]Damage, error) {
	number, salt, ok := parseName(name)
	if !ok {
		return nil, ErrForeign
	}
	f, err := fs.Open(fs.PathJoin(dir, name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	stat, err := f.Stat()
	if err != nil {
		return nil, err
	}
	s := scanner{
		f: f, seal: seal{segment: number, salt: salt}, size: stat.Size(), fn: func(r Record) error { return fn(f, r) },
		win: window{f: f, size: stat.Size(), pool: new(bufpool.Pool)},
	}
	err = s.walk(HeaderBytes)
	return append(s.out.Bad, s.bad...), err
}
