package disk

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/cockroachdb/errors/oserror"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sherd-io/sherd/disk/chunk"
	"github.com/sherd-io/sherd/disk/segment"
	"github.com/sherd-io/sherd/internal/bufpool"
	"github.com/sherd-io/sherd/internal/ids"
)

// wholeRead is up to how many payload bytes Open reads a chunk whole, with its head, in one call.
const wholeRead = 64 << 10

// Reader reads one chunk. It is for one goroutine.
type Reader struct {
	d      *Drive
	row    row
	header chunk.Header
	footer chunk.Footer
	sums   []byte
	sum    chunk.Summer

	whole   *bufpool.Buf // record of a chunk that was read whole; nil after Read gave it away
	payload int          // where the payload starts in it
	file    vfs.File     // rowFile
	left    bool         // a Read was abandoned: the worker that may still be at it closes the reader
}

// Open finds a chunk and reads its head. Errors: ErrNotFound, ErrCorrupt, ErrUnavailable.
func (d *Drive) Open(ctx context.Context, key ids.Chunk) (*Reader, error) {
	d.stats.opens.Add(1)
	r := &Reader{d: d}
	var err error
	if e := d.do(ctx, func() { err = r.open(key) }, r.Close); e != nil {
		return nil, d.fault("open chunk", e)
	}
	if err != nil {
		r.Close()
		return nil, d.fault("open chunk", d.readError(err))
	}
	return r, nil
}

// open is tried again when reclaim moved the chunk between the look-up and the read.
func (r *Reader) open(key ids.Chunk) (err error) {
	for range 3 {
		var ok bool
		if r.row, ok, err = r.d.lookup(key, false); err != nil {
			return err
		}
		if !ok || !r.row.live() {
			return ErrNotFound
		}
		if r.row.kind == rowFile {
			err = r.openFile(key)
		} else {
			err = r.openRecord(key)
		}
		if !errors.Is(err, segment.ErrNoSegment) {
			return err
		}
	}
	return fmt.Errorf("%w: %w", ErrCorrupt, err)
}

// openRecord reads the record's head and, of a short chunk, its payload.
func (r *Reader) openRecord(key ids.Chunk) error {
	pos := r.row.pos
	n := segment.HeadOffset + int(pos.Bytes)
	follows := r.row.place == uint64(pos.Offset)+uint64(n)
	whole := follows && r.row.footer.ShardBytes <= wholeRead
	if whole {
		n += int(r.row.footer.ShardBytes)
	}
	buf := r.d.opt.Buffers.Get(n)
	rec, err := r.readHead(buf, key)
	if err == nil && rec.Kind != chunk.KindChunk {
		err = fmt.Errorf("%w: record is no chunk", ErrCorrupt)
	}
	if err != nil {
		buf.Release()
		return err
	}
	r.sums = rec.Sums
	r.whole, r.payload = buf, n
	if whole {
		r.payload = n - int(r.row.footer.ShardBytes)
	} else {
		r.sums = append([]byte(nil), rec.Sums...)
		buf.Release()
		r.whole = nil
	}
	return nil
}

// readHead reads len(buf.B) bytes of the record and parses its head; a mismatch is read once more from the disk itself.
func (r *Reader) readHead(buf *bufpool.Buf, key ids.Chunk) (rec chunk.Record, err error) {
	for _, direct := range []bool{false, true} {
		if err = r.d.readSegment(r.row.pos.Segment, buf.B, int64(r.row.pos.Offset), direct); err != nil {
			continue
		}
		var head []byte
		if head, err = r.d.log().Decode(r.row.pos, buf.B); err != nil {
			continue
		}
		if rec, err = chunk.ParseRecord(head); err == nil && rec.Header.Key == key && rec.Footer == r.row.footer {
			r.header, r.footer, r.sum = rec.Header, rec.Footer, chunk.NewSummer(key)
			return rec, nil
		}
		err = fmt.Errorf("%w: record of another chunk", ErrCorrupt)
	}
	return rec, err
}

// readSegment reads a part of a segment; direct reads go past the page cache, whatever the borders of b and off.
func (d *Drive) readSegment(number uint64, b []byte, off int64, direct bool) error {
	if !direct {
		return d.log().ReadAt(number, b, off, false)
	}
	start := off &^ (bufpool.Align - 1)
	end := (off + int64(len(b)) + bufpool.Align - 1) &^ (bufpool.Align - 1)
	buf := d.opt.Buffers.Get(int(end - start))
	defer buf.Release()
	if err := d.log().ReadAt(number, buf.B, start, true); err != nil {
		return err
	}
	copy(b, buf.B[off-start:])
	return nil
}

// openFile reads a chunk file's header and trailer.
func (r *Reader) openFile(key ids.Chunk) (err error) {
	d := r.d
	if r.file, err = d.opt.FS.Open(d.filePath(r.row.place), vfs.RandomReadsOption); err != nil {
		return missing(err)
	}
	shard := r.row.footer.ShardBytes
	buf := d.opt.Buffers.Get(chunk.FileHeaderBytes + chunk.TrailerBytes(shard))
	defer buf.Release()
	if err := readFull(r.file, buf.B[:chunk.FileHeaderBytes], 0); err != nil {
		return err
	}
	if r.header, err = chunk.ParseFileHeader(buf.B); err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	trailer := buf.B[chunk.FileHeaderBytes:]
	if err := readFull(r.file, trailer, chunk.TrailerOffset(shard)); err != nil {
		return err
	}
	sums, file, footer, err := chunk.ParseTrailer(trailer)
	if err != nil || file != r.row.place || footer != r.row.footer || r.header.Key != key {
		return fmt.Errorf("%w: file of another chunk", ErrCorrupt)
	}
	r.footer, r.sum, r.sums = footer, chunk.NewSummer(key), append([]byte(nil), sums...)
	return nil
}

// missing makes of a file that is not there one that is corrupt. What else keeps it from being opened tells nothing of it.
func missing(err error) error {
	if oserror.IsNotExist(err) {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return err
}

// readFull fills b; a file too short is corrupt.
func readFull(f io.ReaderAt, b []byte, off int64) error {
	n, err := f.ReadAt(b, off)
	switch {
	case n == len(b):
		return nil
	case err == nil || errors.Is(err, io.EOF):
		return fmt.Errorf("%w: file ends at %d", ErrCorrupt, off+int64(n))
	}
	return err
}

// Header is the chunk's header.
func (r *Reader) Header() chunk.Header { return r.header }

// Footer is the chunk's footer.
func (r *Reader) Footer() chunk.Footer { return r.footer }

// Size is the chunk's payload bytes.
func (r *Reader) Size() int64 { return int64(r.footer.ShardBytes) }

// Read returns payload bytes [off, off+n), verified; the caller releases the buffer. It reads the 16 KiB blocks around them.
// Errors: ErrCorrupt, ErrNotFound if the chunk was deleted meanwhile, ErrUnavailable, ErrInvalid outside of the chunk.
func (r *Reader) Read(ctx context.Context, off, n int64) (*bufpool.Buf, error) {
	if off < 0 || n < 0 || off+n > r.Size() {
		return nil, r.d.fault("read", fmt.Errorf("%w: [%d, %d) of a chunk of %d bytes", ErrInvalid, off, off+n, r.Size()))
	}
	r.d.stats.reads.Add(1)
	r.d.stats.readBytes.Add(n)
	if r.left {
		return nil, r.d.fault("read", fmt.Errorf("%w: an earlier read was abandoned", ErrUnavailable))
	}
	if r.whole != nil {
		buf, err := r.readWhole(off, n)
		return buf, r.d.fault("read", err)
	}
	first := off / chunk.BlockBytes
	start := first * chunk.BlockBytes
	end := min((off+n+chunk.BlockBytes-1)/chunk.BlockBytes*chunk.BlockBytes, r.Size())
	buf := r.d.opt.Buffers.Get(int(max(end-start, 0)))
	var err error
	if e := r.d.do(ctx, func() { err = r.blocks(buf.B, first, start) }, func() { buf.Release(); r.closeFile() }); e != nil {
		r.left = true
		return nil, r.d.fault("read", e)
	}
	if err != nil {
		buf.Release()
		return nil, r.d.fault("read", r.d.readError(err))
	}
	buf.B = buf.B[off-start:][:n]
	return buf, nil
}

// readWhole serves from the record that Open read; the first caller who wants all of it gets the buffer itself.
func (r *Reader) readWhole(off, n int64) (*bufpool.Buf, error) {
	payload := r.whole.B[r.payload:][:r.Size()]
	first := off / chunk.BlockBytes
	end := min((off+n+chunk.BlockBytes-1)/chunk.BlockBytes*chunk.BlockBytes, r.Size())
	start := min(first*chunk.BlockBytes, end)
	if !r.sum.Verify(r.sums, uint64(first), payload[start:end]) {
		r.d.stats.corrupt.Add(1)
		return nil, ErrCorrupt
	}
	if off == 0 && n == r.Size() {
		buf := r.whole
		buf.B = payload
		r.sums = append([]byte(nil), r.sums...)
		r.whole = nil
		return buf, nil
	}
	buf := r.d.opt.Buffers.Get(int(n))
	copy(buf.B, payload[off:])
	return buf, nil
}

// blocks fills b from the payload's offset start, where block number first begins, and verifies it.
// What does not verify is read once more past the page cache, so that only the disk's word counts.
func (r *Reader) blocks(b []byte, first, start int64) (err error) {
	for _, direct := range []bool{false, true} {
		if r.file != nil {
			err = readFull(r.file, b, chunk.FileHeaderBytes+start)
		} else {
			err = r.readPayload(b, start, direct)
		}
		if err == nil && r.sum.Verify(r.sums, uint64(first), b) {
			return nil
		}
	}
	if err != nil {
		return err
	}
	r.d.stats.corrupt.Add(1)
	return fmt.Errorf("%w: chunk %v, block %d or later", ErrCorrupt, r.header.Key, first)
}

// readPayload reads from the segment; if that was reclaimed meanwhile, from where the chunk is now.
func (r *Reader) readPayload(b []byte, start int64, direct bool) error {
	err := r.d.readSegment(r.row.pos.Segment, b, int64(r.row.place)+start, direct)
	if !errors.Is(err, segment.ErrNoSegment) {
		return err
	}
	now, ok, lookErr := r.d.lookup(r.header.Key, false)
	switch {
	case lookErr != nil:
		return lookErr
	case !ok || !now.live() || now.footer != r.footer:
		return ErrNotFound
	}
	r.row = now
	return r.d.readSegment(r.row.pos.Segment, b, int64(r.row.place)+start, direct)
}

// Close releases what the reader holds. Idempotent.
func (r *Reader) Close() {
	r.whole.Release()
	r.whole = nil
	if !r.left {
		r.closeFile()
	}
}

func (r *Reader) closeFile() {
	if r.file != nil {
		r.file.Close()
		r.file = nil
	}
}

// Verify reads all of a chunk, from the disk itself. Errors as of Open.
func (d *Drive) Verify(ctx context.Context, key ids.Chunk) (chunk.Header, chunk.Footer, error) {
	var h chunk.Header
	var f chunk.Footer
	var err error // no result: see quarantine
	e := d.do(ctx, func() {
		r, ok, lookErr := d.lookup(key, false)
		switch {
		case lookErr != nil:
			err = lookErr
		case !ok || !r.live():
			err = ErrNotFound
		default:
			h, f, err = d.verifyRow(&r)
		}
	}, nil)
	if e != nil {
		return chunk.Header{}, chunk.Footer{}, d.fault("verify", e)
	}
	return h, f, d.fault("verify", d.readError(err))
}

// verifyRow reads all of the chunk that an index row names.
func (d *Drive) verifyRow(at *row) (chunk.Header, chunk.Footer, error) {
	r := &Reader{d: d}
	defer r.Close()
	if err := r.open(at.header.Key); err != nil {
		return r.header, r.footer, err
	}
	if r.whole != nil {
		buf, err := r.readWhole(0, r.Size())
		buf.Release()
		return r.header, r.footer, err
	}
	const step = 16 * chunk.BlockBytes
	buf := d.opt.Buffers.Get(step)
	defer buf.Release()
	for off := int64(0); off < r.Size(); off += step {
		b := buf.B[:min(step, r.Size()-off)]
		if err := r.blocks(b, off/chunk.BlockBytes, off); err != nil {
			return r.header, r.footer, err
		}
	}
	return r.header, r.footer, nil
}
