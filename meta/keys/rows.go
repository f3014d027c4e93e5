package keys

import (
	"encoding/binary"

	"github.com/sherd-io/sherd/internal/hlc"
	"github.com/sherd-io/sherd/internal/ids"
)

// Builders of whole row keys. Each appends to b, so that a caller reuses one buffer; layouts are in the package comment.

// AppendVersion appends the key of a row of Versions or Inline.
func AppendVersion(b []byte, t Table, bucket ids.Bucket, key string, ts hlc.Stamp) []byte {
	return AppendStamp(AppendTable(b, t, bucket, key), ts)
}

// AppendExtent appends the key of a row of Extents.
func AppendExtent(b []byte, bucket ids.Bucket, key string, ts hlc.Stamp, offset uint64) []byte {
	b = AppendStamp(AppendTable(b, Extents, bucket, key), ts)
	return binary.BigEndian.AppendUint64(b, offset)
}

// AppendUpload appends the key of a row of Uploads, Done or Reclaims.
func AppendUpload(b []byte, t Table, bucket ids.Bucket, key string, id ids.Upload) []byte {
	return append(AppendTable(b, t, bucket, key), id[:]...)
}

// AppendNull appends the key of a row of Nulls.
func AppendNull(b []byte, bucket ids.Bucket, key string) []byte {
	return AppendTable(b, Nulls, bucket, key)
}

// AppendPart appends the key of a row of Parts.
func AppendPart(b []byte, bucket ids.Bucket, key string, id ids.Upload, part uint32) []byte {
	return binary.BigEndian.AppendUint32(AppendUpload(b, Parts, bucket, key, id), part)
}

// AppendRepair appends the key of a row of Repairs.
func AppendRepair(b []byte, bucket ids.Bucket, key string, upload ids.Upload, blob uint32, slot uint8) []byte {
	b = binary.BigEndian.AppendUint32(AppendUpload(b, Repairs, bucket, key, upload), blob)
	return append(b, slot)
}

// AppendRange appends what all keys of a range's rows in t begin with; t is one of ByRange or Owns.
func AppendRange(b []byte, t Table, r ids.Range) []byte {
	return binary.BigEndian.AppendUint64(append(b, byte(t)), uint64(r))
}

// AppendRequest appends the key of a row of Requests.
func AppendRequest(b []byte, r ids.Range, id ids.Upload) []byte {
	return append(AppendRange(b, Requests, r), id[:]...)
}

// AppendBucket appends the key of a row of Counts, Seals or Rules.
func AppendBucket(b []byte, t Table, r ids.Range, bucket ids.Bucket) []byte {
	return binary.BigEndian.AppendUint64(AppendRange(b, t, r), uint64(bucket))
}

// AppendPool appends the key of a row of Pools.
func AppendPool(b []byte, r ids.Range, pool ids.Pool) []byte {
	return binary.BigEndian.AppendUint16(AppendRange(b, Pools, r), uint16(pool))
}

// AppendExpiry appends the key of a row of Expiry: the done row of (bucket, key, id), finished at ts.
func AppendExpiry(b []byte, r ids.Range, ts hlc.Stamp, bucket ids.Bucket, key string, id ids.Upload) []byte {
	b = binary.BigEndian.AppendUint64(AppendRange(b, Expiry, r), uint64(ts))
	return append(AppendRoute(b, bucket, key), id[:]...)
}

// AppendOwn appends the key of a row that is one replica's own: not replicated, not in snapshots or hashes.
// What kind means is meta/replica's.
func AppendOwn(b []byte, r ids.Range, replica ids.Replica, kind byte) []byte {
	b = binary.BigEndian.AppendUint64(AppendRange(b, Owns, r), uint64(replica))
	return append(b, kind)
}

// ParseUpload takes the 16 bytes of an id off b.
func ParseUpload(b []byte) (id ids.Upload, rest []byte, err error) {
	if len(b) < idBytes {
		return id, nil, ErrCorrupt
	}
	copy(id[:], b)
	return id, b[idBytes:], nil
}

// Row is a parsed key of a table keyed by route.
type Row struct {
	Table  Table
	Bucket ids.Bucket
	Key    string
	TS     hlc.Stamp  // Versions, Inline, Extents
	Offset uint64     // Extents
	ID     ids.Upload // Uploads, Parts, Done: S3's; Repairs, Reclaims: the body's
	Part   uint32     // Parts
	Blob   uint32     // Repairs
	Slot   uint8      // Repairs
}

// tailBytes is how many bytes follow the route.
func tailBytes(t Table) int {
	switch t {
	case Versions, Inline:
		return stampBytes
	case Extents:
		return stampBytes + 8
	case Uploads, Done, Reclaims:
		return idBytes
	case Parts:
		return idBytes + 4
	case Repairs:
		return idBytes + 4 + 1
	case Nulls:
		return 0
	}
	return -1
}

// ParseRow parses a whole row key of a table keyed by route. It copies what it keeps.
func ParseRow(b []byte) (r Row, err error) {
	if len(b) == 0 || tailBytes(Table(b[0])) < 0 {
		return r, ErrCorrupt
	}
	r.Table = Table(b[0])
	bucket, key, tail, err := ParseRoute(b[1:], nil)
	if err != nil || len(tail) != tailBytes(r.Table) {
		return Row{}, ErrCorrupt
	}
	r.Bucket, r.Key = bucket, string(key)
	switch r.Table {
	case Versions, Inline, Extents:
		r.TS = Stamp(tail)
		if r.Table == Extents {
			r.Offset = binary.BigEndian.Uint64(tail[stampBytes:])
		}
		return r, nil
	}
	copy(r.ID[:], tail)
	switch r.Table {
	case Parts:
		r.Part = binary.BigEndian.Uint32(tail[idBytes:])
	case Repairs:
		r.Blob = binary.BigEndian.Uint32(tail[idBytes:])
		r.Slot = tail[idBytes+4]
	}
	return r, nil
}

// Append is ParseRow's inverse.
func (r Row) Append(b []byte) []byte {
	switch r.Table {
	case Versions, Inline:
		return AppendVersion(b, r.Table, r.Bucket, r.Key, r.TS)
	case Extents:
		return AppendExtent(b, r.Bucket, r.Key, r.TS, r.Offset)
	case Parts:
		return AppendPart(b, r.Bucket, r.Key, r.ID, r.Part)
	case Repairs:
		return AppendRepair(b, r.Bucket, r.Key, r.ID, r.Blob, r.Slot)
	case Nulls:
		return AppendNull(b, r.Bucket, r.Key)
	}
	return AppendUpload(b, r.Table, r.Bucket, r.Key, r.ID)
}
