package remote

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/sherd-io/sherd/disk"
	"github.com/sherd-io/sherd/disk/chunk"
	"github.com/sherd-io/sherd/internal/bufpool"
	"github.com/sherd-io/sherd/internal/ids"
)

// call does what a request asks for. The payload of the answer is the taker's to release.
func (q *query) call(ctx context.Context, d *disk.Drive) (args []byte, payload *bufpool.Buf, err error) {
	switch q.op {
	case opOpen:
		return q.openChunk(ctx, d)
	case opRead:
		payload, err = q.read(ctx)
	case opCreate:
		args, err = q.create(ctx, d)
	case opWrite:
		err = q.write(ctx)
	case opSeal:
		err = q.seal(ctx)
	case opChunks, opAllChunks:
		payload, err = q.list(ctx, d)
	case opVerify, opQuarantine, opRestore:
		args, err = q.ofKey(ctx, d)
	case opQuarantined:
		list, listErr := d.Quarantined(ctx)
		b, jsonErr := json.Marshal(list)
		payload, err = q.pooled(b, firstOf(listErr, jsonErr))
	case opExpire:
		args, err = q.expire(ctx, d)
	case opEpoch:
		err = q.raiseEpoch(ctx, d)
	case opDrop:
		err = q.drop(ctx, d)
	default:
		err = fmt.Errorf("%w: request %d", disk.ErrInvalid, q.op)
	}
	return args, payload, err
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// parseArgs decodes a record that came as arguments.
func parseArgs(b []byte) (chunk.Record, error) {
	rec, err := chunk.ParseRecord(b)
	if err == nil && rec.Kind != chunk.KindFile {
		err = chunk.ErrMalformed
	}
	if err != nil {
		return rec, fmt.Errorf("%w: %w", disk.ErrInvalid, err)
	}
	return rec, nil
}

// fields takes numbers of 8 bytes from the arguments, which are no more than that.
func (q *query) fields(n int) ([]uint64, error) {
	if len(q.args) != 8*n {
		return nil, fmt.Errorf("%w: %d bytes of arguments", disk.ErrInvalid, len(q.args))
	}
	out := make([]uint64, n)
	for i := range out {
		out[i] = binary.LittleEndian.Uint64(q.args[8*i:])
	}
	return out, nil
}

// key takes a chunk's key from the beginning of the arguments.
func (q *query) key() (key ids.Chunk, rest []byte, err error) {
	if len(q.args) >= ids.ChunkBytes {
		if key, err = ids.ParseChunk(q.args[:ids.ChunkBytes]); err == nil {
			q.about = groupOf(key)
			return key, q.args[ids.ChunkBytes:], nil
		}
	}
	return key, nil, fmt.Errorf("%w: key", disk.ErrInvalid)
}

// openChunk opens a chunk and reads what is wanted of it first, or all if it is short.
func (q *query) openChunk(ctx context.Context, d *disk.Drive) ([]byte, *bufpool.Buf, error) {
	key, rest, err := q.key()
	if err != nil {
		return nil, nil, err
	}
	var off, n uint64
	if len(rest) == 16 {
		off, n = binary.LittleEndian.Uint64(rest), binary.LittleEndian.Uint64(rest[8:])
	} else if len(rest) > 0 {
		return nil, nil, fmt.Errorf("%w: %d bytes of arguments", disk.ErrInvalid, len(q.args))
	}
	r, err := d.Open(ctx, key)
	if err != nil {
		return nil, nil, err
	}
	h, f := r.Header(), r.Footer()
	if f.ShardBytes <= smallBytes {
		off, n = 0, f.ShardBytes
	}
	off = min(off, f.ShardBytes)
	n = min(n, f.ShardBytes-off, aheadMost)
	payload, err := q.fetch(ctx, r, int64(off), int64(n))
	if err != nil || n == f.ShardBytes {
		r.Close()
		return chunk.AppendFile(nil, 0, &h, &f), payload, err
	}
	number, err := q.peer.session.add(&handle{group: *q.about, reader: r})
	if err != nil {
		payload.Release()
		payload = nil
	}
	return chunk.AppendFile(nil, number, &h, &f), payload, err
}

// fetch reads what the budget has room for.
func (q *query) fetch(ctx context.Context, r *disk.Reader, off, n int64) (*bufpool.Buf, error) {
	if n < 0 || n > payloadMax {
		return nil, fmt.Errorf("%w: %d bytes", disk.ErrInvalid, n)
	}
	if err := q.lend(n); err != nil {
		return nil, err
	}
	b, err := r.Read(ctx, off, n)
	if err == nil && n == 0 {
		b.Release()
		b = nil
	}
	return b, err
}

func (q *query) read(ctx context.Context) (*bufpool.Buf, error) {
	f, err := q.fields(3)
	if err != nil {
		return nil, err
	}
	h, err := q.handle(f[0])
	if err != nil {
		return nil, err
	}
	h.Lock()
	defer h.Unlock()
	if h.reader == nil {
		return nil, fmt.Errorf("%w: %d is no reader", disk.ErrInvalid, f[0])
	}
	return q.fetch(ctx, h.reader, int64(f[1]), int64(f[2]))
}

func (q *query) create(ctx context.Context, d *disk.Drive) ([]byte, error) {
	if len(q.args) < 8 {
		return nil, fmt.Errorf("%w: arguments", disk.ErrInvalid)
	}
	bytes := binary.LittleEndian.Uint64(q.args)
	rec, err := parseArgs(q.args[8:])
	if err != nil {
		return nil, err
	}
	q.about = groupOf(rec.Header.Key)
	w, err := d.Create(ctx, rec.Header, int64(min(bytes, chunk.ShardMax)))
	if err != nil {
		return nil, err
	}
	number, err := q.peer.session.add(&handle{group: *q.about, writer: w})
	return binary.LittleEndian.AppendUint64(nil, number), err
}

// handle finds what the request is about.
func (q *query) handle(number uint64) (*handle, error) {
	h, err := q.peer.session.get(number)
	if err == nil {
		q.about = &h.group
	}
	return h, err
}

// writer is the handle of a writer, locked.
func (q *query) writer(number uint64) (*handle, error) {
	h, err := q.handle(number)
	if err != nil {
		return nil, err
	}
	h.Lock()
	if h.writer == nil {
		h.Unlock()
		return nil, fmt.Errorf("%w: %d is no writer", disk.ErrInvalid, number)
	}
	return h, nil
}

// write waits for the drive however long it takes: the unit is lent to it.
func (q *query) write(ctx context.Context) error {
	f, err := q.fields(1)
	if err != nil {
		return err
	}
	h, err := q.writer(f[0])
	if err != nil {
		return err
	}
	defer h.Unlock()
	return h.writer.Write(context.WithoutCancel(ctx), bytesOf(q.payload))
}

func (q *query) seal(ctx context.Context) error {
	rec, err := parseArgs(q.args)
	if err != nil {
		return err
	}
	h, err := q.writer(rec.File)
	if err != nil {
		return err
	}
	h.writer.Renew(rec.Header.Epoch)
	err = h.writer.Seal(ctx, rec.Footer)
	h.Unlock()
	if !errors.Is(err, disk.ErrEpoch) { // else it may be sealed again
		q.peer.session.remove(rec.File)
	}
	return err
}

func (q *query) closeHandle() error {
	f, err := q.fields(1)
	if err == nil {
		q.peer.session.remove(f[0])
	}
	return err
}

// listMost bounds a page of chunks, so that it fits a frame.
const listMost = payloadMax / (2 << 10)

func (q *query) list(ctx context.Context, d *disk.Drive) (*bufpool.Buf, error) {
	var page []disk.ChunkInfo
	var err error
	switch a := q.args; {
	case q.op == opChunks && len(a) == 8+ids.ChunkBytes:
		pool, pg := ids.Pool(binary.LittleEndian.Uint16(a)), ids.PG(binary.LittleEndian.Uint16(a[2:]))
		q.about = &group{pool, pg}
		var after ids.Chunk
		if after, err = ids.ParseChunk(a[4:][:ids.ChunkBytes]); err == nil {
			page, err = d.Chunks(ctx, pool, pg, after, pageOf(a[4+ids.ChunkBytes:]))
		}
	case q.op == opAllChunks && len(a) == 4:
		page, err = d.AllChunks(ctx, nil, pageOf(a))
	case q.op == opAllChunks && len(a) == 4+ids.ChunkBytes:
		var after ids.Chunk
		if after, err = ids.ParseChunk(a[4:]); err == nil {
			page, err = d.AllChunks(ctx, &after, pageOf(a))
		}
	default:
		err = fmt.Errorf("%w: arguments", disk.ErrInvalid)
	}
	if err != nil {
		return nil, err
	}
	return q.pooled(appendList(nil, page), nil)
}

// pageOf is how many chunks a page may have: what the client wants, if that fits.
func pageOf(b []byte) int { return int(min(binary.LittleEndian.Uint32(b), listMost)) }

func (q *query) ofKey(ctx context.Context, d *disk.Drive) ([]byte, error) {
	key, rest, err := q.key()
	if err != nil {
		return nil, err
	}
	switch q.op {
	case opQuarantine:
		return nil, d.Quarantine(ctx, key, string(rest))
	case opRestore:
		return nil, d.RestoreQuarantined(ctx, key)
	}
	h, f, err := d.Verify(ctx, key)
	if err != nil {
		return nil, err
	}
	return chunk.AppendFile(nil, 0, &h, &f), nil
}

func (q *query) expire(ctx context.Context, d *disk.Drive) ([]byte, error) {
	f, err := q.fields(1)
	if err != nil {
		return nil, err
	}
	n, err := d.ExpireQuarantine(ctx, time.UnixMilli(int64(f[0])))
	return binary.LittleEndian.AppendUint64(nil, uint64(n)), err
}

func (q *query) raiseEpoch(ctx context.Context, d *disk.Drive) error {
	rec, err := chunk.ParseRecord(q.args)
	if err != nil || rec.Kind != chunk.KindEpoch || len(rec.Epochs) != 1 {
		return fmt.Errorf("%w: epoch", disk.ErrInvalid)
	}
	e := rec.Epochs[0]
	q.about = &group{e.Pool, e.PG}
	return d.RaiseEpoch(ctx, e.Pool, e.PG, e.Epoch)
}

func (q *query) drop(ctx context.Context, d *disk.Drive) error {
	if len(q.args) < 8 {
		return fmt.Errorf("%w: arguments", disk.ErrInvalid)
	}
	rec, err := chunk.ParseRecord(q.args[8:])
	if err != nil || rec.Kind != chunk.KindDropped || len(rec.Keys) == 0 {
		return fmt.Errorf("%w: keys", disk.ErrInvalid)
	}
	q.about = groupOf(rec.Keys[0])
	return d.Drop(ctx, rec.Keys, binary.LittleEndian.Uint64(q.args))
}
