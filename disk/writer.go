package disk

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sherd-io/sherd/disk/chunk"
	"github.com/sherd-io/sherd/disk/segment"
)

// Writer writes a chunk that is a file of its own. It is for one goroutine, but for Abort.
type Writer struct {
	d      *Drive
	header chunk.Header
	number uint64
	sum    chunk.Summer
	sums   []byte
	bytes  int64 // of payload so far
	short  bool  // a unit shorter than UnitBytes was written: it was the last

	mu     sync.Mutex // a call that was abandoned may still run
	f      vfs.File
	done   bool // the file is whole and synced: only the record is wanting
	sealed bool
	err    error
}

func (d *Drive) filePath(number uint64) string {
	return d.opt.FS.PathJoin(d.opt.Path, chunksName, fileName(number))
}

// Create begins a chunk of more than chunk.PutMax payload bytes, in a file of its own. shardBytes is how much is expected.
// Errors: ErrFull, ErrEpoch, ErrUnavailable, ErrInvalid.
func (d *Drive) Create(ctx context.Context, h chunk.Header, shardBytes int64) (*Writer, error) {
	if err := h.Check(); err != nil {
		return nil, d.fault("create", fmt.Errorf("%w: %w", ErrInvalid, err))
	}
	if err := d.writable(max(shardBytes, 0)); err != nil {
		return nil, d.fault("create", err)
	}
	if least := d.Epoch(h.Key.Pool, h.Key.PG); h.Epoch < least {
		return nil, d.fault("create", fmt.Errorf("%w: %d, chunk of %d", ErrEpoch, least, h.Epoch))
	}
	w := &Writer{d: d, header: h, number: d.files.Add(1), sum: chunk.NewSummer(h.Key)}
	err := w.do(ctx, func() error { return w.create(shardBytes) })
	if err != nil {
		w.Abort()
		return nil, d.fault("create", err)
	}
	return w, nil
}

// do runs f on a worker; its error is the writer's for good.
func (w *Writer) do(ctx context.Context, f func() error) error {
	var err error
	e := w.d.do(ctx, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if err = w.err; err != nil {
			return
		}
		if err = w.d.writeError(f()); err != nil {
			w.err = err
		}
	}, nil)
	if e != nil {
		return e
	}
	return err
}

func (w *Writer) create(shardBytes int64) error {
	d := w.d
	var opts []vfs.OpenOption
	if !d.opt.Buffered {
		opts = append(opts, segment.Direct)
	}
	if err := d.ours(); err != nil {
		return err
	}
	f, err := d.opt.FS.OpenReadWrite(d.filePath(w.number), vfs.WriteCategoryUnspecified, opts...)
	if err != nil {
		return err
	}
	w.f = f
	if shardBytes > 0 && shardBytes <= chunk.ShardMax {
		if err := f.Preallocate(0, chunk.FileBytes(uint64(shardBytes))); err != nil && vfs.IsNoSpaceError(err) {
			return err // other errors: the file system cannot, and need not
		}
	}
	buf := d.opt.Buffers.Get(chunk.FileHeaderBytes)
	defer buf.Release()
	chunk.AppendFileHeader(buf.B[:0], &w.header)
	return segment.WriteFirst(f, buf.B, 0)
}

// Write appends a unit. All but the last have h.UnitBytes. unit is borrowed until Write returns, unless it returns early with
// ctx's error or ErrUnavailable: then the file, which nothing will name, may still be written from it.
func (w *Writer) Write(ctx context.Context, unit []byte) error {
	switch {
	case w.short || len(unit) > int(w.header.UnitBytes):
		return w.d.fault("write", fmt.Errorf("%w: unit of %d bytes", ErrInvalid, len(unit)))
	case w.bytes+int64(len(unit)) > chunk.ShardMax:
		return w.d.fault("write", fmt.Errorf("%w: chunk of more than %d bytes", ErrInvalid, chunk.ShardMax))
	case w.header.UnitBytes%chunk.BlockBytes != 0 && w.bytes > 0:
		return w.d.fault("write", fmt.Errorf("%w: units of %d bytes", ErrInvalid, w.header.UnitBytes))
	}
	w.short = len(unit) < int(w.header.UnitBytes)
	off := chunk.FileHeaderBytes + w.bytes
	w.sums = w.sum.AppendSums(w.sums, uint64(w.bytes/chunk.BlockBytes), unit)
	if err := w.do(ctx, func() error { return w.write(unit, off) }); err != nil {
		return w.d.fault("write", err)
	}
	w.bytes += int64(len(unit))
	return nil
}

// write writes what is on borders from where it is, the rest through a buffer.
func (w *Writer) write(unit []byte, off int64) error {
	whole := len(unit) &^ (chunk.AlignBytes - 1)
	if !isAligned(unit) {
		whole = 0
	}
	if whole > 0 {
		if _, err := w.f.WriteAt(unit[:whole], off); err != nil {
			return err
		}
	}
	if whole == len(unit) {
		return nil
	}
	rest := len(unit) - whole
	buf := w.d.opt.Buffers.Get((rest + chunk.AlignBytes - 1) &^ (chunk.AlignBytes - 1))
	defer buf.Release()
	clear(buf.B[copy(buf.B, unit[whole:]):])
	_, err := w.f.WriteAt(buf.B, off+int64(whole))
	return err
}

// Seal makes the chunk durable, and lets it be found. Errors: ErrEpoch if the PG has a newer epoch (I5), ErrExists, ErrDeleted, ErrFull,
// ErrUnavailable, ErrInvalid if f does not fit what was written. After an error the chunk is not there. After ErrEpoch it may be
// renewed and sealed again; after others it is gone.
func (w *Writer) Seal(ctx context.Context, f chunk.Footer) error {
	if f.ShardBytes != uint64(w.bytes) {
		return w.d.fault("seal", fmt.Errorf("%w: %d bytes written, footer says %d", ErrInvalid, w.bytes, f.ShardBytes))
	}
	if err := w.do(ctx, func() error { return w.finish(&f) }); err != nil {
		w.Abort()
		return w.d.fault("seal", err)
	}
	o := w.d.newOp(chunk.KindFile, nil)
	o.header, o.footer, o.file = w.header, f, w.number
	o.head = chunk.AppendFile(o.head, w.number, &w.header, &f)
	err := w.d.await(ctx, o)
	if err == nil {
		w.d.stats.puts.Add(1)
		w.d.stats.writtenBytes.Add(w.bytes)
	}
	// When the answer did not come the record may be there yet: the file stays, and the next opening tells.
	w.mu.Lock()
	w.sealed = err == nil || ctx.Err() != nil || errors.Is(err, ErrUnavailable)
	w.mu.Unlock()
	if err != nil && !errors.Is(err, ErrEpoch) {
		w.Abort()
	}
	return w.d.fault("seal", err)
}

// Renew puts the chunk under a newer epoch of its PG, when Seal said ErrEpoch and the map still names this drive for the slot
// (I5): the writer acts under that epoch from now on. The caller seals again, or aborts.
func (w *Writer) Renew(epoch uint64) { w.header.Epoch = max(w.header.Epoch, epoch) }

// Abort gives the chunk up, unless it was sealed. It does not wait for the drive. Idempotent.
func (w *Writer) Abort() {
	remove := func() {
		if w.drop() && w.d.ours() == nil {
			w.d.opt.FS.Remove(w.d.filePath(w.number)) // else the next opening does
		}
	}
	if !w.d.async(remove, nil) {
		go func() { // no worker has room: it waits at most as long as the call that still has the file
			if w.drop() {
				w.d.dead.add(w.number)
			}
		}()
	}
}

// drop closes the file, and reports whether it is to go.
func (w *Writer) drop() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.sealed {
		return false
	}
	w.sealed, w.err = true, ErrInvalid
	if w.f != nil {
		w.f.Close()
		w.f = nil
	}
	return true
}

// finish writes the trailer and syncs file and directory, in this order before any record names it.
func (w *Writer) finish(f *chunk.Footer) error {
	if w.done {
		return nil
	}
	buf := w.d.opt.Buffers.Get(chunk.TrailerBytes(f.ShardBytes))
	defer buf.Release()
	chunk.PutTrailer(buf.B, w.sums, w.number, f)
	if _, err := w.f.WriteAt(buf.B, chunk.TrailerOffset(f.ShardBytes)); err != nil {
		return err
	}
	if err := w.f.Sync(); err != nil {
		return err
	}
	err := w.f.Close()
	w.f = nil
	if err != nil {
		return err
	}
	if err := syncDir(w.d.opt.FS, w.d.opt.FS.PathJoin(w.d.opt.Path, chunksName)); err != nil {
		return err
	}
	w.done = true
	return nil
}
