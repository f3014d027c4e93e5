package remote

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/sherd-io/sherd/disk"
	"github.com/sherd-io/sherd/disk/chunk"
	"github.com/sherd-io/sherd/internal/bufpool"
)

// Reader reads one chunk; see disk.Reader. It is for one goroutine.
type Reader struct {
	d       *Drive
	number  uint64 // 0: nothing is open there
	header  chunk.Header
	footer  chunk.Footer
	ahead   *bufpool.Buf // what came with the answer to Open, from aheadAt: all of a short chunk; nil: nothing
	aheadAt int64
}

// Header is the chunk's.
func (r *Reader) Header() chunk.Header { return r.header }

// Footer is the chunk's.
func (r *Reader) Footer() chunk.Footer { return r.footer }

// Size is the chunk's payload in bytes.
func (r *Reader) Size() int64 { return int64(r.footer.ShardBytes) }

// Read is disk.Reader's: n bytes from off, verified, in a buffer that the caller releases and does not write to.
func (r *Reader) Read(ctx context.Context, off, n int64) (*bufpool.Buf, error) {
	if off < 0 || n < 0 || off > r.Size() || n > r.Size()-off {
		return nil, fmt.Errorf("%w: bytes %d+%d of %d", disk.ErrInvalid, off, n, r.Size())
	}
	if b := r.here(off, n); b != nil {
		return b, nil
	}
	if n <= payloadMax {
		return r.fetch(ctx, off, n)
	}
	all := r.d.c.opt.Buffers.Get(int(n))
	for at := int64(0); at < n; {
		b, err := r.fetch(ctx, off+at, min(n-at, payloadMax))
		if err != nil {
			all.Release()
			return nil, err
		}
		at += int64(copy(all.B[at:], b.B))
		b.Release()
	}
	return all, nil
}

// here gives bytes that came with the answer to Open; nil: they did not. Those that were asked for are shared, not copied.
func (r *Reader) here(off, n int64) *bufpool.Buf {
	held := bytesOf(r.ahead)
	at := off - r.aheadAt
	switch {
	case n == 0:
		return r.d.c.opt.Buffers.Get(0)
	case at < 0 || at+n > int64(len(held)):
		return nil
	case n == int64(len(held)):
		r.ahead.Retain()
		return r.ahead
	}
	b := r.d.c.opt.Buffers.Get(int(n))
	copy(b.B, held[at:])
	return b
}

func (r *Reader) fetch(ctx context.Context, off, n int64) (*bufpool.Buf, error) {
	args := binary.LittleEndian.AppendUint64(nil, r.number)
	args = binary.LittleEndian.AppendUint64(args, uint64(off))
	args = binary.LittleEndian.AppendUint64(args, uint64(n))
	got, err := r.d.c.do(ctx, request{op: opRead, drive: r.d.id, about: groupOf(r.header.Key), args: args}, int(n))
	if err == nil && int64(len(bytesOf(got.payload))) != n {
		got.payload.Release()
		err = fmt.Errorf("%w: %d bytes for %d", disk.ErrUnavailable, len(bytesOf(got.payload)), n)
	}
	return got.payload, err
}

// Close releases what the reader holds. Idempotent.
func (r *Reader) Close() {
	r.ahead.Release()
	r.ahead = nil
	if r.number != 0 {
		r.d.c.tell(closing(opCloseReader, r.number))
		r.number = 0
	}
}
