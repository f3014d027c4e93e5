package disk

import (
	"context"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"unsafe"

	"github.com/cockroachdb/pebble/v2"

	"github.com/sherd-io/sherd/disk/chunk"
	"github.com/sherd-io/sherd/internal/bufpool"
	"github.com/sherd-io/sherd/internal/hlc"
	"github.com/sherd-io/sherd/internal/ids"
)

// ChunkInfo is what the index knows of a chunk.
type ChunkInfo struct {
	Key        ids.Chunk
	K, M       uint8
	UnitBytes  uint32
	ShardBytes uint64
	BlobBytes  uint64
	BlobSum    [16]byte
	Bucket     ids.Bucket
	Object     string
	Part       uint32
	Stamp      hlc.Stamp
	Epoch      uint64
}

// Chunks lists at most max chunks of a PG with keys above after, in order of their keys: pool, pg, upload, index, slot.
// The zero after is before them all. Fewer than max means that there are no more.
func (d *Drive) Chunks(ctx context.Context, pool ids.Pool, pg ids.PG, after ids.Chunk, max int) ([]ChunkInfo, error) {
	lower := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16([]byte{tableChunk}, uint16(pool)), uint16(pg))
	upper := successor(lower)
	if after != (ids.Chunk{}) {
		lower = append(chunkKey(nil, after), 0)
	}
	return d.list(ctx, lower, upper, max)
}

// AllChunks lists at most max chunks of the drive with keys above *after, or from the first.
func (d *Drive) AllChunks(ctx context.Context, after *ids.Chunk, max int) ([]ChunkInfo, error) {
	lower := []byte{tableChunk}
	if after != nil {
		lower = append(chunkKey(nil, *after), 0)
	}
	return d.list(ctx, lower, []byte{tableChunk + 1}, max)
}

func (d *Drive) list(ctx context.Context, lower, upper []byte, max int) ([]ChunkInfo, error) {
	var out []ChunkInfo
	var err error
	if e := d.do(ctx, func() { out, err = d.scanIndex(lower, upper, max) }, nil); e != nil {
		return nil, d.fault("list", e)
	}
	return out, d.fault("list", err)
}

func (d *Drive) scanIndex(lower, upper []byte, max int) ([]ChunkInfo, error) {
	var out []ChunkInfo
	err := d.eachRow(lower, upper, func(key ids.Chunk, v []byte) (bool, error) {
		r, err := parseRow(v, true)
		if err != nil || !r.live() {
			return true, err
		}
		h, f := &r.header, &r.footer
		out = append(out, ChunkInfo{
			Key: key, K: h.K, M: h.M, UnitBytes: h.UnitBytes, ShardBytes: f.ShardBytes, BlobBytes: f.BlobBytes, BlobSum: f.BlobSum,
			Bucket: h.Bucket, Object: h.Object, Part: h.Part, Stamp: h.Stamp, Epoch: h.Epoch,
		})
		return len(out) < max, nil
	})
	return out, err
}

// eachRow calls fn for the index rows in [lower, upper), until it returns false or an error.
func (d *Drive) eachRow(lower, upper []byte, fn func(ids.Chunk, []byte) (bool, error)) error {
	it, err := d.rows.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return fmt.Errorf("%w: index: %w", ErrUnavailable, err)
	}
	for ok := it.First(); ok; ok = it.Next() {
		key, err := ids.ParseChunk(it.Key()[1:])
		if err != nil {
			it.Close()
			return fmt.Errorf("%w: index key", ErrCorrupt)
		}
		v, err := it.ValueAndErr()
		more := false
		if err == nil {
			more, err = fn(key, v)
		}
		if err != nil {
			it.Close()
			return err
		}
		if !more {
			break
		}
	}
	if err := it.Close(); err != nil {
		return fmt.Errorf("%w: index: %w", ErrUnavailable, err)
	}
	return nil
}

// successor is the least key above all that begin with b, which is not all 0xff.
func successor(b []byte) []byte {
	b = append([]byte(nil), b...)
	for i := len(b) - 1; ; i-- {
		if b[i]++; b[i] != 0 {
			return b[:i+1]
		}
	}
}

const fileSuffix = ".chunk"

func fileName(number uint64) string { return fmt.Sprintf("%016x%s", number, fileSuffix) }

func parseFileName(name string) (uint64, bool) {
	base, ok := strings.CutSuffix(name, fileSuffix)
	if !ok || len(base) != 16 {
		return 0, false
	}
	n, err := strconv.ParseUint(base, 16, 64)
	return n, err == nil
}

func isAligned(b []byte) bool {
	return uintptr(unsafe.Pointer(unsafe.SliceData(b)))&(bufpool.Align-1) == 0
}

const _ = uint(chunk.AlignBytes - bufpool.Align) // the two mean the same border
