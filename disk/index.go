package disk

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/sherd-io/sherd/disk/chunk"
	"github.com/sherd-io/sherd/disk/segment"
	"github.com/sherd-io/sherd/internal/hlc"
	"github.com/sherd-io/sherd/internal/ids"
)

// rowKind is what an index row says of a key.
type rowKind uint8

const (
	rowSegment rowKind = 1 // the chunk is a record of the chunk log
	rowFile    rowKind = 2 // the chunk is a file, which a record names
	rowDeleted rowKind = 3 // refuses writes (I16)
	rowDropped rowKind = 4 // in quarantine, or known to be lost: may be written again
)

// row is an index row's value. Integers are little-endian.
//
//	offset  bytes  field
//	0       1      kind
//	1       8      sequence number of the record
//	9       8      segment of the record
//	17      4      its offset
//	21      4      its head bytes
//	25      8      rowSegment: offset of the payload. rowFile: file number. rowDeleted, rowDropped: the segment of the record that
//	               this covers, 0 if none: the row outlives that segment (I16)
//	33      8      rowDeleted, rowDropped: when, in milliseconds; the row ends here. Else shard bytes
//	41      8      blob bytes
//	49      16     blob sum
//	65      2      k, m
//	67      4      unit bytes
//	71      8      bucket
//	79      4      part
//	83      8      stamp
//	91      8      epoch
//	99      ...    object key
type row struct {
	kind   rowKind
	seq    uint64
	pos    segment.Pos
	place  uint64 // payload offset, file number or covered segment, by kind
	millis int64
	header chunk.Header // without Key
	footer chunk.Footer
}

const (
	rowShortBytes = 41
	rowLongBytes  = 99
)

func (r *row) live() bool { return r.kind == rowSegment || r.kind == rowFile }

func (r *row) append(b []byte) []byte {
	le := binary.LittleEndian
	b = append(b, byte(r.kind))
	b = le.AppendUint64(b, r.seq)
	b = le.AppendUint64(b, r.pos.Segment)
	b = le.AppendUint32(b, r.pos.Offset)
	b = le.AppendUint32(b, r.pos.Bytes)
	b = le.AppendUint64(b, r.place)
	if !r.live() {
		return le.AppendUint64(b, uint64(r.millis))
	}
	b = le.AppendUint64(b, r.footer.ShardBytes)
	b = le.AppendUint64(b, r.footer.BlobBytes)
	b = append(b, r.footer.BlobSum[:]...)
	b = append(b, r.header.K, r.header.M)
	b = le.AppendUint32(b, r.header.UnitBytes)
	b = le.AppendUint64(b, uint64(r.header.Bucket))
	b = le.AppendUint32(b, r.header.Part)
	b = le.AppendUint64(b, uint64(r.header.Stamp))
	b = le.AppendUint64(b, r.header.Epoch)
	return append(b, r.header.Object...)
}

// parseRow is append's inverse. object says whether the object's key is wanted, which costs an allocation.
func parseRow(b []byte, object bool) (r row, err error) {
	if len(b) < rowShortBytes || b[0] < byte(rowSegment) || b[0] > byte(rowDropped) {
		return r, fmt.Errorf("%w: index row", ErrCorrupt)
	}
	le := binary.LittleEndian
	r.kind = rowKind(b[0])
	r.seq = le.Uint64(b[1:])
	r.pos = segment.Pos{Segment: le.Uint64(b[9:]), Offset: le.Uint32(b[17:]), Bytes: le.Uint32(b[21:])}
	r.place = le.Uint64(b[25:])
	if !r.live() {
		r.millis = int64(le.Uint64(b[33:]))
		return r, nil
	}
	if len(b) < rowLongBytes {
		return r, fmt.Errorf("%w: index row", ErrCorrupt)
	}
	r.footer.ShardBytes = le.Uint64(b[33:])
	r.footer.BlobBytes = le.Uint64(b[41:])
	copy(r.footer.BlobSum[:], b[49:65])
	r.header.K, r.header.M = b[65], b[66]
	r.header.UnitBytes = le.Uint32(b[67:])
	r.header.Bucket = ids.Bucket(le.Uint64(b[71:]))
	r.header.Part = le.Uint32(b[79:])
	r.header.Stamp = hlc.Stamp(le.Uint64(b[83:]))
	r.header.Epoch = le.Uint64(b[91:])
	if object {
		r.header.Object = string(b[rowLongBytes:])
	}
	return r, nil
}

// recordSpace is how much of its segment a record takes, about.
func (r *row) recordSpace() int64 {
	n := int64(r.pos.Bytes) + segment.HeadOffset
	if r.kind == rowSegment {
		n += int64(r.footer.ShardBytes)
	}
	return (n + 63) &^ 63
}

// brief is what a change needs to know of the row it replaces.
type brief struct {
	had   bool
	kind  rowKind
	pos   segment.Pos
	place uint64
	space int64 // recordSpace
}

func (r *row) brief(had bool) brief {
	if !had {
		return brief{}
	}
	return brief{true, r.kind, r.pos, r.place, r.recordSpace()}
}

func (b *brief) live() bool { return b.had && (b.kind == rowSegment || b.kind == rowFile) }

func chunkKey(b []byte, key ids.Chunk) []byte { return key.Append(append(b, tableChunk)) }

func segmentKey(segment uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{tableSegment}, segment)
}

func fileKey(file uint64) []byte { return binary.BigEndian.AppendUint64([]byte{tableFile}, file) }

func epochKey(p pgKey) []byte {
	return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16([]byte{tableEpoch}, uint16(p.pool)), uint16(p.pg))
}

type pgKey struct {
	pool ids.Pool
	pg   ids.PG
}

// lookup finds key's row; ok is false if there is none.
func (d *Drive) lookup(key ids.Chunk, object bool) (r row, ok bool, err error) {
	var b [1 + ids.ChunkBytes]byte
	v, closer, err := d.rows.Get(chunkKey(b[:0], key))
	if errors.Is(err, pebble.ErrNotFound) {
		return r, false, nil
	}
	if err != nil {
		return r, false, fmt.Errorf("%w: index: %w", ErrUnavailable, err)
	}
	defer closer.Close()
	r, err = parseRow(v, object)
	r.header.Key = key
	return r, err == nil, err
}

// lookupNew is lookup for a key that is expected to be absent: other than a Get it asks the Bloom filters of the last level too, and so reads nothing
// from the disk; of a key newer than all before it asks nothing. It is for admit: one iterator serves a group.
func (d *Drive) lookupNew(key ids.Chunk) (r row, ok bool, err error) {
	if d.recent.isNew(key) {
		return r, false, nil
	}
	if d.probe == nil {
		d.probe, err = d.rows.NewIter(&pebble.IterOptions{
			LowerBound: []byte{tableChunk}, UpperBound: []byte{tableChunk + 1}, UseL6Filters: true,
		})
		if err != nil {
			return r, false, fmt.Errorf("%w: index: %w", ErrUnavailable, err)
		}
	}
	var b [1 + ids.ChunkBytes]byte
	k := chunkKey(b[:0], key)
	if !d.probe.SeekPrefixGE(k) || !bytes.Equal(d.probe.Key(), k) {
		if err := d.probe.Error(); err != nil {
			return r, false, fmt.Errorf("%w: index: %w", ErrUnavailable, err)
		}
		return r, false, nil
	}
	v, err := d.probe.ValueAndErr()
	if err != nil {
		return r, false, fmt.Errorf("%w: index: %w", ErrUnavailable, err)
	}
	r, err = parseRow(v, true)
	r.header.Key = key
	return r, err == nil, err
}

// segStat is what is known of a segment of the chunk log: bytes of records, and of those that the index names.
type segStat struct {
	bytes, live int64
	moving      bool // a rewrite began: chunks may be here and, newer, elsewhere
}

func (s segStat) encode() []byte {
	b := binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, uint64(s.bytes)), uint64(s.live))
	if s.moving {
		return append(b, 1)
	}
	return append(b, 0)
}

func parseSegStat(b []byte) (s segStat, ok bool) {
	if len(b) != 17 {
		return s, false
	}
	return segStat{int64(binary.LittleEndian.Uint64(b)), int64(binary.LittleEndian.Uint64(b[8:])), b[16] == 1}, true
}

// indexMark goes into every batch of the index.
type indexMark struct {
	end    segment.Pos // where the chunk log ended: the index tells of all before
	newest uint64      // the greatest upload stamp of a key that the index ever had
}

func (m indexMark) encode() []byte {
	b := binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint64(nil, m.end.Segment), m.end.Offset)
	return binary.LittleEndian.AppendUint64(b, m.newest)
}

func parseIndexMark(b []byte) (m indexMark, ok bool) {
	if len(b) != 20 {
		return m, false
	}
	m.end = segment.Pos{Segment: binary.LittleEndian.Uint64(b), Offset: binary.LittleEndian.Uint32(b[8:])}
	m.newest = binary.LittleEndian.Uint64(b[12:])
	return m, true
}
