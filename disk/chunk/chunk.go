package chunk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/zeebo/xxh3"

	"github.com/sherd-io/sherd/internal/hlc"
	"github.com/sherd-io/sherd/internal/ids"
)

const (
	BlockBytes  = 16 << 10 // payload bytes under one checksum; the last block may be shorter
	SumBytes    = 8        // of a block's checksum
	PutMax      = 1 << 20  // the most payload bytes of a chunk that is one record; a larger one is a file
	ShardMax    = 1 << 30  // the most payload bytes of any chunk
	ObjectMax   = 1024     // the most bytes of an object key
	AlignBytes  = 4096     // units and files are cut on this border
	maxSlots    = 256
	unitMaxByte = 1 << 26
)

// ErrMalformed reports bytes that are not what they should be, or a header that no chunk can have.
var ErrMalformed = errors.New("chunk: malformed")

// Header says what a chunk is, before its payload is known.
type Header struct {
	Key       ids.Chunk
	K, M      uint8  // the code: k data, m parity shards; Key.Slot < K+M
	UnitBytes uint32 // payload bytes of each stripe but the last
	Bucket    ids.Bucket
	Object    string // the key in Bucket, at most ObjectMax bytes
	Part      uint32 // 0: not of a multipart upload
	Stamp     hlc.Stamp
	Epoch     uint64 // of the PG when the blob was begun (I5)
}

// Footer says what a chunk has become.
type Footer struct {
	BlobBytes  uint64
	BlobSum    [16]byte // xxh3-128 of the blob's bytes
	ShardBytes uint64   // payload bytes of this chunk
}

// Check reports why no chunk can have h, or nil.
func (h *Header) Check() error {
	switch {
	case h.K == 0 || int(h.Key.Slot) >= int(h.K)+int(h.M) || int(h.K)+int(h.M) > maxSlots:
		return fmt.Errorf("%w: slot %d of %d+%d", ErrMalformed, h.Key.Slot, h.K, h.M)
	case len(h.Object) > ObjectMax:
		return fmt.Errorf("%w: object key of %d bytes", ErrMalformed, len(h.Object))
	case h.UnitBytes == 0 || h.UnitBytes > unitMaxByte || h.UnitBytes%AlignBytes != 0:
		return fmt.Errorf("%w: unit of %d bytes", ErrMalformed, h.UnitBytes)
	}
	return nil
}

// Blocks is how many checksums shardBytes of payload have.
func Blocks(shardBytes uint64) int { return int((shardBytes + BlockBytes - 1) / BlockBytes) }

// Summer makes the block checksums of one chunk.
type Summer uint64

// NewSummer binds a Summer to key.
func NewSummer(key ids.Chunk) Summer {
	var b [ids.ChunkBytes]byte
	return Summer(xxh3.Hash(key.Append(b[:0])))
}

// Sum is the checksum of block number position: xxh3-64 of its bytes, seeded with
// xxh3-64(key) + position. At most BlockBytes of block.
func (s Summer) Sum(position uint64, block []byte) uint64 {
	return xxh3.HashSeed(block, uint64(s)+position)
}

// Sum is NewSummer(key).Sum(position, block).
func Sum(key ids.Chunk, position uint64, block []byte) uint64 {
	return NewSummer(key).Sum(position, block)
}

// AppendSums appends the checksums of the blocks of payload, which starts at block number first
// and, unless it ends the chunk, is a multiple of BlockBytes long.
func (s Summer) AppendSums(dst []byte, first uint64, payload []byte) []byte {
	for len(payload) > 0 {
		n := min(len(payload), BlockBytes)
		dst = binary.LittleEndian.AppendUint64(dst, s.Sum(first, payload[:n]))
		payload = payload[n:]
		first++
	}
	return dst
}

// Verify reports whether payload's blocks, the first of number first, have the checksums in sums.
// sums begins with the checksum of block 0.
func (s Summer) Verify(sums []byte, first uint64, payload []byte) bool {
	for len(payload) > 0 {
		n := min(len(payload), BlockBytes)
		at := first * SumBytes
		if at+SumBytes > uint64(len(sums)) || binary.LittleEndian.Uint64(sums[at:]) != s.Sum(first, payload[:n]) {
			return false
		}
		payload = payload[n:]
		first++
	}
	return true
}

// The fields of Header and Footer, as they stand in records and files. Integers are little-endian,
// the key is as in ids.Chunk.Append.
//
//	offset  bytes  field
//	0       25     key
//	25      1      k
//	26      1      m
//	27      4      unit bytes
//	31      8      bucket
//	39      4      part
//	43      8      stamp
//	51      8      epoch
//	59      8      blob bytes
//	67      16     blob sum
//	83      8      shard bytes
//	91      2      object key bytes, at most 1,024
//	93      ...    object key
const fieldBytes = 93

func appendFields(b []byte, h *Header, f *Footer) []byte {
	b = h.Key.Append(b)
	b = append(b, h.K, h.M)
	b = binary.LittleEndian.AppendUint32(b, h.UnitBytes)
	b = binary.LittleEndian.AppendUint64(b, uint64(h.Bucket))
	b = binary.LittleEndian.AppendUint32(b, h.Part)
	b = binary.LittleEndian.AppendUint64(b, uint64(h.Stamp))
	b = binary.LittleEndian.AppendUint64(b, h.Epoch)
	b = binary.LittleEndian.AppendUint64(b, f.BlobBytes)
	b = append(b, f.BlobSum[:]...)
	b = binary.LittleEndian.AppendUint64(b, f.ShardBytes)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(h.Object)))
	return append(b, h.Object...)
}

// parseFields reads what appendFields wrote and returns the bytes after it.
func parseFields(b []byte) (h Header, f Footer, rest []byte, err error) {
	if len(b) < fieldBytes {
		return h, f, nil, ErrMalformed
	}
	if h.Key, err = ids.ParseChunk(b[:ids.ChunkBytes]); err != nil {
		return h, f, nil, ErrMalformed
	}
	h.K, h.M = b[25], b[26]
	h.UnitBytes = binary.LittleEndian.Uint32(b[27:])
	h.Bucket = ids.Bucket(binary.LittleEndian.Uint64(b[31:]))
	h.Part = binary.LittleEndian.Uint32(b[39:])
	h.Stamp = hlc.Stamp(binary.LittleEndian.Uint64(b[43:]))
	h.Epoch = binary.LittleEndian.Uint64(b[51:])
	f.BlobBytes = binary.LittleEndian.Uint64(b[59:])
	copy(f.BlobSum[:], b[67:83])
	f.ShardBytes = binary.LittleEndian.Uint64(b[83:])
	n := int(binary.LittleEndian.Uint16(b[91:]))
	if n > ObjectMax || len(b) < fieldBytes+n || f.ShardBytes > ShardMax {
		return h, f, nil, ErrMalformed
	}
	h.Object = string(b[fieldBytes : fieldBytes+n])
	return h, f, b[fieldBytes+n:], h.Check()
}

func castagnoli(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }
