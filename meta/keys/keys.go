package keys

import (
	"bytes"
	"encoding/binary"
	"errors"

	"github.com/sherd-io/sherd/internal/hlc"
	"github.com/sherd-io/sherd/internal/ids"
)

// ErrCorrupt reports a row key or value that no version of sherd wrote.
var ErrCorrupt = errors.New("keys: corrupt row")

// FirstTable is the least table byte of object records; lesser ones are package disk's.
const FirstTable = 0x10

// Table is a key's first byte. A byte is never used again for another table.
type Table byte

// Tables of rows that belong to one (bucket, key).
const (
	Versions Table = 0x10
	Inline   Table = 0x11
	Extents  Table = 0x12
	Uploads  Table = 0x13
	Parts    Table = 0x14
	Done     Table = 0x15
	Repairs  Table = 0x16
	Reclaims Table = 0x17
	Nulls    Table = 0x18
)

// Tables of rows that belong to one range.
const (
	Requests Table = 0x20
	Counts   Table = 0x21
	Seals    Table = 0x22
	Expiry   Table = 0x23
	Applieds Table = 0x24
	Rules    Table = 0x25
	Splits   Table = 0x26
	Pools    Table = 0x27
	Owns     Table = 0x2f
)

const (
	bucketBytes = 8
	stampBytes  = 8
	idBytes     = 16

	// MaxKeyBytes is the longest object key.
	MaxKeyBytes = 1024
)

// ByRoute lists the tables keyed by route, ascending.
func ByRoute() []Table {
	return []Table{Versions, Inline, Extents, Uploads, Parts, Done, Repairs, Reclaims, Nulls}
}

// ByRange lists the replicated tables keyed by range id, ascending.
func ByRange() []Table {
	return []Table{Requests, Counts, Seals, Expiry, Applieds, Rules, Splits, Pools}
}

// Escaping of object keys: 0x00 becomes 0x00 0xFF; the terminator is 0x00 0x01. So "a" < "a\x00" < "a\x01" < "aa",
// and no escaped key is a prefix of another.
const (
	escape     = 0x00
	escaped    = 0xFF
	terminator = 0x01
)

// Route returns the place of (bucket, key) in the space that ranges divide: bucket (8, big-endian),
// escaped key, 0x00 0x01. Routes compare bytewise, with placement.Range's Start and End too.
func Route(bucket ids.Bucket, key string) []byte {
	return AppendRoute(make([]byte, 0, bucketBytes+len(key)+2), bucket, key)
}

// AppendRoute appends Route(bucket, key) to b.
func AppendRoute(b []byte, bucket ids.Bucket, key string) []byte {
	b = AppendPrefix(b, bucket, key)
	return append(b, escape, terminator)
}

// AppendPrefix appends what the routes of all keys of bucket that begin with prefix begin with, and no other's.
func AppendPrefix(b []byte, bucket ids.Bucket, prefix string) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(bucket))
	for {
		i := indexZero(prefix)
		if i < 0 {
			return append(b, prefix...)
		}
		b = append(b, prefix[:i]...)
		b = append(b, escape, escaped)
		prefix = prefix[i+1:]
	}
}

func indexZero(s string) int {
	for i := 0; i < len(s); i++ {
		if s[i] == 0 {
			return i
		}
	}
	return -1
}

// ParseRoute splits a route off b. The object key is appended to buf; rest is what follows the route.
//
// Memory: key is buf grown, or nothing that outlives a change of b if b is reused: it never aliases b.
func ParseRoute(b, buf []byte) (bucket ids.Bucket, key, rest []byte, err error) {
	if len(b) < bucketBytes {
		return 0, buf, nil, ErrCorrupt
	}
	bucket = ids.Bucket(binary.BigEndian.Uint64(b))
	key, rest, err = unescape(b[bucketBytes:], buf)
	return bucket, key, rest, err
}

func unescape(b, buf []byte) (key, rest []byte, err error) {
	for {
		i := bytes.IndexByte(b, escape)
		if i < 0 || i+1 == len(b) {
			return buf, nil, ErrCorrupt
		}
		buf = append(buf, b[:i]...)
		switch b[i+1] {
		case terminator:
			return buf, b[i+2:], nil
		case escaped:
			buf = append(buf, 0)
		default:
			return buf, nil, ErrCorrupt
		}
		b = b[i+2:]
	}
}

// BorderBucket returns the bucket that a border of ranges lies in: what it divides is that bucket's. ok is false if ranges
// must not meet there: a border is a route or, before the first of a bucket's, its 8 bytes; so no object key has rows on both
// sides.
func BorderBucket(border []byte) (bucket ids.Bucket, ok bool) {
	if len(border) == bucketBytes {
		return ids.Bucket(binary.BigEndian.Uint64(border)), true
	}
	bucket, key, rest, err := ParseRoute(border, nil)
	return bucket, err == nil && len(rest) == 0 && len(key) <= MaxKeyBytes
}

// AppendTable appends t and the route of (bucket, key): the prefix of all its rows in t.
func AppendTable(b []byte, t Table, bucket ids.Bucket, key string) []byte {
	return AppendRoute(append(b, byte(t)), bucket, key)
}

// AppendStamp appends ts so that greater stamps come first.
func AppendStamp(b []byte, ts hlc.Stamp) []byte {
	return binary.BigEndian.AppendUint64(b, ^uint64(ts))
}

// Stamp decodes what AppendStamp appended, from b's first 8 bytes, which must be there.
func Stamp(b []byte) hlc.Stamp { return hlc.Stamp(^binary.BigEndian.Uint64(b)) }

// Successor changes b, in place, into the least byte string that is greater than all that begin with b; nil if there
// is none.
func Successor(b []byte) []byte {
	for i := len(b) - 1; i >= 0; i-- {
		if b[i] != 0xFF {
			b[i]++
			return b[:i+1]
		}
	}
	return nil
}
