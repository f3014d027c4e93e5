package erasure

import (
	"context"

	"github.com/sherd-io/sherd/disk"
	"github.com/sherd-io/sherd/disk/chunk"
	"github.com/sherd-io/sherd/disk/remote"
	"github.com/sherd-io/sherd/internal/bufpool"
	"github.com/sherd-io/sherd/internal/ids"
)

// Drive is what the store needs of a drive, local or not. disk.Drive documents each method; Local and Remote adapt what there is.
type Drive interface {
	// Remote reports a drive of another node: a slow read of it may be hedged (I23).
	Remote() bool
	Health() disk.Health
	Space() disk.Space
	// Epoch is the epoch of a PG under which, or an older one, the drive gave its last answer (I5).
	Epoch(pool ids.Pool, pg ids.PG) uint64
	Put(h chunk.Header, units [][]byte, f chunk.Footer, done func(error))
	Create(ctx context.Context, h chunk.Header, shardBytes int64) (Writer, error)
	// Open opens a chunk of which bytes [off, off+n) will be read first: a drive of another node sends them along.
	Open(ctx context.Context, key ids.Chunk, off, n int64) (Reader, error)
	Delete(keys []ids.Chunk, done func(error))
	Quarantine(ctx context.Context, key ids.Chunk, reason string) error
}

// Writer is a chunk that is being written; disk.Writer documents it.
type Writer interface {
	Write(ctx context.Context, unit []byte) error
	Seal(ctx context.Context, f chunk.Footer) error
	Renew(epoch uint64)
	Abort()
}

// Reader is a stored chunk; disk.Reader documents it.
type Reader interface {
	Header() chunk.Header
	Footer() chunk.Footer
	Size() int64
	Read(ctx context.Context, off, n int64) (*bufpool.Buf, error)
	Close()
}

// Local presents a drive of this process, to the store and to the healer.
func Local(d *disk.Drive) LocalDrive { return LocalDrive{d} }

// LocalDrive is a disk.Drive with the interfaces of this package.
type LocalDrive struct{ *disk.Drive }

// Remote implements Drive.
func (LocalDrive) Remote() bool { return false }

// Create is disk.Drive's.
func (l LocalDrive) Create(ctx context.Context, h chunk.Header, shardBytes int64) (Writer, error) {
	w, err := l.Drive.Create(ctx, h, shardBytes)
	if err != nil {
		return nil, err
	}
	return w, nil
}

// Open is disk.Drive's.
func (l LocalDrive) Open(ctx context.Context, key ids.Chunk, _, _ int64) (Reader, error) {
	r, err := l.Drive.Open(ctx, key)
	if err != nil {
		return nil, err
	}
	return r, nil
}

// Remote presents a drive of another node, to the store and to the healer.
func Remote(d *remote.Drive) RemoteDrive { return RemoteDrive{d} }

// RemoteDrive is a remote.Drive with the interfaces of this package.
type RemoteDrive struct{ *remote.Drive }

// Remote implements Drive.
func (RemoteDrive) Remote() bool { return true }

// Create is remote.Drive's.
func (r RemoteDrive) Create(ctx context.Context, h chunk.Header, shardBytes int64) (Writer, error) {
	w, err := r.Drive.Create(ctx, h, shardBytes)
	if err != nil {
		return nil, err
	}
	return w, nil
}

// Open is remote.Drive's OpenAt.
func (r RemoteDrive) Open(ctx context.Context, key ids.Chunk, off, n int64) (Reader, error) {
	rd, err := r.Drive.OpenAt(ctx, key, off, n)
	if err != nil {
		return nil, err
	}
	return rd, nil
}
