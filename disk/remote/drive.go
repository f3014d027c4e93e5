package remote

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/sherd-io/sherd/disk"
	"github.com/sherd-io/sherd/disk/chunk"
	"github.com/sherd-io/sherd/internal/bufpool"
	"github.com/sherd-io/sherd/internal/ids"
)

// Drive is a drive of another node. Its methods are disk.Drive's, and promise the same; beyond the errors named there each may end
// with disk.ErrUnavailable, and the call may then have been done. It is safe for concurrent use.
type Drive struct {
	c  *Client
	id ids.Drive
}

// ID is the drive's.
func (d *Drive) ID() ids.Drive { return d.id }

// Health is what the node last said, or suspect while it does not answer. It never blocks.
func (d *Drive) Health() disk.Health {
	s := d.c.state.Load()
	switch stat, known := s.drives[d.id]; {
	case s.err != nil:
		return disk.Health{State: disk.Suspect, Reason: "its node does not answer: " + s.err.Error(), Since: s.since}
	case !known:
		return disk.Health{State: disk.Failed, Reason: "its node does not have it in service", Since: s.since}
	default:
		return stat.Health
	}
}

// Space is what the node last said.
func (d *Drive) Space() disk.Space { return d.c.state.Load().drives[d.id].Space }

// Put is disk.Drive's: units are the caller's again when done is called.
func (d *Drive) Put(h chunk.Header, units [][]byte, f chunk.Footer, done func(error)) {
	bytes := 0
	for _, u := range units {
		bytes += len(u)
	}
	if bytes > chunk.PutMax {
		done(fmt.Errorf("%w: a chunk of %d bytes", disk.ErrInvalid, bytes))
		return
	}
	d.c.start(request{op: opPut, drive: d.id, about: groupOf(h.Key), args: chunk.AppendFile(nil, 0, &h, &f), payload: units}, bytes, func(r reply) {
		r.payload.Release()
		done(r.err)
	})
}

// keysMost is how many keys a request has, so that they, or their epochs, fit its arguments.
const keysMost = 2048

const _ = uint(argsMax - keysMost*ids.ChunkBytes - 18)

// Delete is disk.Drive's.
func (d *Drive) Delete(keys []ids.Chunk, done func(error)) {
	if len(keys) == 0 {
		done(nil)
		return
	}
	parts := (len(keys) + keysMost - 1) / keysMost
	all := &gathered{done: done}
	all.left.Store(int32(parts))
	for len(keys) > 0 {
		part := keys[:min(len(keys), keysMost)]
		asked := groupsOf(part)
		q := request{op: opDelete, drive: d.id, args: chunk.AppendKeys(nil, chunk.KindTombstone, 0, part)}
		d.c.start(q, 0, func(r reply) {
			r.payload.Release()
			d.c.epochs.noteAll(d.id, asked, r.args)
			all.answer(r.err)
		})
		keys = keys[len(part):]
	}
}

// gathered answers with the first error, or nil, when all answers came.
type gathered struct {
	left atomic.Int32
	err  atomic.Pointer[error]
	done func(error)
}

func (g *gathered) answer(err error) {
	if err != nil {
		g.err.CompareAndSwap(nil, &err)
	}
	if g.left.Add(-1) > 0 {
		return
	}
	if first := g.err.Load(); first != nil {
		err = *first
	}
	g.done(err)
}

// do makes a call whose reply is small, and gives its arguments.
func (d *Drive) do(ctx context.Context, o op, about *group, args []byte) ([]byte, error) {
	r, err := d.c.do(ctx, request{op: o, drive: d.id, about: about, args: args}, 0)
	r.payload.Release()
	return r.args, err
}

// Open is disk.Drive's. A short chunk comes whole with the answer.
func (d *Drive) Open(ctx context.Context, key ids.Chunk) (*Reader, error) {
	return d.OpenAt(ctx, key, 0, 0)
}

// aheadMost is how many bytes may come with the answer to an Open.
const aheadMost = 4 << 20

// OpenAt is Open by who will read bytes [off, off+n) first: they come with the answer, and that Read costs no round trip.
func (d *Drive) OpenAt(ctx context.Context, key ids.Chunk, off, n int64) (*Reader, error) {
	args := key.Append(nil)
	if n = min(n, aheadMost); n > 0 {
		args = binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(args, uint64(off)), uint64(n))
	}
	r, err := d.c.do(ctx, request{op: opOpen, drive: d.id, about: groupOf(key), args: args}, int(n))
	if err != nil {
		return nil, err
	}
	rec, err := parseRecord(r.args)
	got := int64(len(bytesOf(r.payload)))
	whole := got == int64(rec.Footer.ShardBytes)
	if whole {
		off = 0
	}
	if err == nil && (rec.Header.Key != key || got > 0 && !whole && got > n || rec.File == 0 && !whole) {
		err = fmt.Errorf("%w: the answer is of another chunk", disk.ErrUnavailable)
	}
	if err != nil {
		r.payload.Release()
		return nil, err
	}
	return &Reader{d: d, number: rec.File, header: rec.Header, footer: rec.Footer, ahead: r.payload, aheadAt: off}, nil
}

// Verify is disk.Drive's.
func (d *Drive) Verify(ctx context.Context, key ids.Chunk) (chunk.Header, chunk.Footer, error) {
	args, err := d.do(ctx, opVerify, groupOf(key), key.Append(nil))
	if err != nil {
		return chunk.Header{}, chunk.Footer{}, err
	}
	rec, err := parseRecord(args)
	return rec.Header, rec.Footer, err
}

// Chunks is disk.Drive's.
func (d *Drive) Chunks(ctx context.Context, pool ids.Pool, pg ids.PG, after ids.Chunk, most int) ([]disk.ChunkInfo, error) {
	return d.pages(ctx, &group{pool, pg}, most, func(last *ids.Chunk, most uint32) (op, []byte) {
		if last != nil {
			after = *last
		}
		args := binary.LittleEndian.AppendUint16(nil, uint16(pool))
		args = after.Append(binary.LittleEndian.AppendUint16(args, uint16(pg)))
		return opChunks, binary.LittleEndian.AppendUint32(args, most)
	})
}

// AllChunks is disk.Drive's.
func (d *Drive) AllChunks(ctx context.Context, after *ids.Chunk, most int) ([]disk.ChunkInfo, error) {
	return d.pages(ctx, nil, most, func(last *ids.Chunk, most uint32) (op, []byte) {
		if last != nil {
			after = last
		}
		args := binary.LittleEndian.AppendUint32(nil, most)
		if after != nil {
			args = after.Append(args)
		}
		return opAllChunks, args
	})
}

// pages asks until there are most chunks, or no more. next gives the request for what follows last.
func (d *Drive) pages(ctx context.Context, about *group, most int, next func(last *ids.Chunk, most uint32) (op, []byte)) (all []disk.ChunkInfo, err error) {
	for len(all) < most {
		page := min(most-len(all), listMost)
		var last *ids.Chunk
		if len(all) > 0 {
			last = &all[len(all)-1].Key
		}
		o, args := next(last, uint32(page))
		r, err := d.c.do(ctx, request{op: o, drive: d.id, about: about, args: args}, payloadMax)
		if err != nil {
			return nil, err
		}
		list, err := parseList(bytesOf(r.payload))
		r.payload.Release()
		if err != nil {
			return nil, err
		}
		all = append(all, list...)
		if len(list) < page {
			break
		}
	}
	return all, nil
}

// Quarantine is disk.Drive's.
func (d *Drive) Quarantine(ctx context.Context, key ids.Chunk, reason string) error {
	_, err := d.do(ctx, opQuarantine, groupOf(key), append(key.Append(nil), reason[:min(len(reason), textMax)]...))
	return err
}

// Quarantined is disk.Drive's.
func (d *Drive) Quarantined(ctx context.Context) (list []disk.QuarantineEntry, err error) {
	r, err := d.c.do(ctx, request{op: opQuarantined, drive: d.id}, payloadMax)
	if err != nil {
		return nil, err
	}
	defer r.payload.Release()
	if err := json.Unmarshal(bytesOf(r.payload), &list); err != nil {
		return nil, fmt.Errorf("%w: %w", disk.ErrUnavailable, err)
	}
	return list, nil
}

// RestoreQuarantined is disk.Drive's.
func (d *Drive) RestoreQuarantined(ctx context.Context, key ids.Chunk) error {
	_, err := d.do(ctx, opRestore, groupOf(key), key.Append(nil))
	return err
}

// ExpireQuarantine is disk.Drive's.
func (d *Drive) ExpireQuarantine(ctx context.Context, before time.Time) (int, error) {
	args, err := d.do(ctx, opExpire, nil, binary.LittleEndian.AppendUint64(nil, uint64(before.UnixMilli())))
	if err != nil {
		return 0, err
	}
	n, err := parseNumber(args)
	return int(n), err
}

// RaiseEpoch is disk.Drive's.
func (d *Drive) RaiseEpoch(ctx context.Context, pool ids.Pool, pg ids.PG, epoch uint64) error {
	_, err := d.do(ctx, opEpoch, &group{pool, pg}, chunk.AppendEpochs(nil, chunk.Epoch{Pool: pool, PG: pg, Epoch: epoch}))
	return err
}

// Drop is disk.Drive's.
func (d *Drive) Drop(ctx context.Context, keys []ids.Chunk, epoch uint64) error {
	for part := range slices.Chunk(keys, keysMost) {
		args := binary.LittleEndian.AppendUint64(nil, epoch)
		args = chunk.AppendKeys(args, chunk.KindDropped, 0, part)
		if _, err := d.do(ctx, opDrop, groupOf(part[0]), args); err != nil {
			return err
		}
	}
	return nil
}

// parseRecord decodes the record of an answer.
func parseRecord(b []byte) (chunk.Record, error) {
	rec, err := chunk.ParseRecord(b)
	if err == nil && rec.Kind != chunk.KindFile {
		err = chunk.ErrMalformed
	}
	if err != nil {
		return rec, fmt.Errorf("%w: %w", disk.ErrUnavailable, err)
	}
	return rec, nil
}

func parseNumber(b []byte) (uint64, error) {
	if len(b) != 8 {
		return 0, fmt.Errorf("%w: a number of %d bytes", disk.ErrUnavailable, len(b))
	}
	return binary.LittleEndian.Uint64(b), nil
}

// bytesOf is a payload's bytes; nil has none.
func bytesOf(b *bufpool.Buf) []byte {
	if b == nil {
		return nil
	}
	return b.B
}

// appendList appends a record of each chunk, after its length.
func appendList(b []byte, list []disk.ChunkInfo) []byte {
	for _, c := range list {
		at := len(b)
		h := chunk.Header{
			Key: c.Key, K: c.K, M: c.M, UnitBytes: c.UnitBytes, Bucket: c.Bucket, Object: c.Object, Part: c.Part, Stamp: c.Stamp, Epoch: c.Epoch,
		}
		f := chunk.Footer{BlobBytes: c.BlobBytes, BlobSum: c.BlobSum, ShardBytes: c.ShardBytes}
		b = chunk.AppendFile(append(b, 0, 0, 0, 0), 0, &h, &f)
		binary.LittleEndian.PutUint32(b[at:], uint32(len(b)-at-4))
	}
	return b
}

// parseList is appendList's inverse.
func parseList(b []byte) (list []disk.ChunkInfo, err error) {
	for len(b) > 0 {
		if len(b) < 4 {
			return nil, fmt.Errorf("%w: %w", disk.ErrUnavailable, chunk.ErrMalformed)
		}
		n := binary.LittleEndian.Uint32(b)
		if b = b[4:]; uint64(n) > uint64(len(b)) {
			return nil, fmt.Errorf("%w: %w", disk.ErrUnavailable, chunk.ErrMalformed)
		}
		rec, err := parseRecord(b[:n])
		if err != nil {
			return nil, err
		}
		b = b[n:]
		h, f := &rec.Header, &rec.Footer
		list = append(list, disk.ChunkInfo{
			Key: h.Key, K: h.K, M: h.M, UnitBytes: h.UnitBytes, ShardBytes: f.ShardBytes, BlobBytes: f.BlobBytes, BlobSum: f.BlobSum,
			Bucket: h.Bucket, Object: h.Object, Part: h.Part, Stamp: h.Stamp, Epoch: h.Epoch,
		})
	}
	return list, nil
}
