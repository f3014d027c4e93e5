package segment

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"strconv"
	"strings"
)

// A segment is a file named SEGMENT-SALT.seg, both as 16 hexadecimal digits: its number, from 1, and a random
// number that all its checksums cover, so that bytes of another segment, or bytes that a user chose,
// are never taken for its records. Integers are little-endian.
//
// The first block is the segment's header:
//
//	offset  bytes  field
//	0       8      magic "SHRDSEGM"
//	8       2      version, now 1
//	10      6      0
//	16      8      segment number
//	24      8      salt
//	32      16     log id
//	48      8      number of the segment before it; 0: none
//	56      4      that segment's end: bytes past it do not exist
//	60      4      0
//	64      8      sequence number of its first record
//	72      4      up to where the segment before was proven to be synced; what is bad between there and its end was torn
//	76      4      CRC-32C of bytes 0..75
//	80      ...    zeros up to 4,096
//
// Then follow groups. A group starts on a border of 4,096 bytes with its records, each on a border of 64 bytes;
// then, from the next border of 4,096 on, the long bodies of these records, each on a border of 4,096 bytes.
//
//	offset  bytes  field of a record
//	0       4      magic "shrd"
//	4       4      head bytes
//	8       8      sequence number
//	16      4      body bytes
//	20      4      where the body starts, in blocks of 4,096 bytes; 0: right after the head
//	24      4      where the group starts, in blocks of 4,096 bytes
//	28      4      CRC-32C of salt (8 bytes), segment number (8), offset of the record (4), bytes 0..27, head
//	32      ...    head
//
// The body has no checksum here: its owner checks it by what the head says.
const (
	blockBytes   = 4096
	recordAlign  = 64
	recordBytes  = 32
	headerFields = 80
	version      = 1
	fileMagic    = "SHRDSEGM"
	recordMagic  = 'd'<<24 | 'r'<<16 | 'h'<<8 | 's'
	suffix       = ".seg"
)

// HeaderBytes is where a segment's first group starts.
const HeaderBytes = blockBytes

var (
	// ErrDamaged reports bytes that are not the record that was written there.
	ErrDamaged = errors.New("segment: damaged")
	// ErrForeign reports a segment of another log.
	ErrForeign = errors.New("segment: of another log")
	// ErrNoSegment reports a position in a segment that is not there.
	ErrNoSegment = errors.New("segment: no such segment")
	// ErrClosed reports a log that was closed.
	ErrClosed = errors.New("segment: log closed")
	// ErrAbandoned reports that the log was abandoned. The entry stays the log's: it must not be used again, and what Synced
	// would set in it must not be read. The memory that it refers to is the submitter's again.
	ErrAbandoned = errors.New("segment: log abandoned")
	// ErrFull reports that there was no space for the group. The log takes further appends.
	ErrFull = errors.New("segment: no space")
	// ErrTooLarge reports a record that no segment can hold, or a queue past its bound.
	ErrTooLarge = errors.New("segment: too large")
)

// Pos is where a record stands.
type Pos struct {
	Segment uint64
	Offset  uint32 // of the record's header
	Bytes   uint32 // of the head
}

func (p Pos) String() string { return fmt.Sprintf("%d+%d", p.Segment, p.Offset) }

// Record is a record found by a scan. Head is valid during the callback only.
type Record struct {
	Pos       Pos
	Seq       uint64
	Head      []byte
	Body      uint32 // offset of the body in the segment
	BodyBytes uint32
	// Proven: it was on stable storage, so that a body that does not match its head is damage. Else it
	// belongs to the last group, which may be torn.
	Proven bool
	end    int64 // of record and body, rounded up to blocks
	group  int64
}

// header is a segment's first block.
type header struct {
	segment  uint64
	salt     uint64
	id       [16]byte
	prev     uint64
	prevEnd  uint32
	firstSeq uint64
	prevSafe uint32
}

func (h *header) name() string { return fmt.Sprintf("%016x-%016x%s", h.segment, h.salt, suffix) }

// parseName is name's inverse.
func parseName(name string) (segment, salt uint64, ok bool) {
	base, isSegment := strings.CutSuffix(name, suffix)
	left, right, cut := strings.Cut(base, "-")
	if !isSegment || !cut || len(left) != 16 || len(right) != 16 {
		return 0, 0, false
	}
	segment, err1 := strconv.ParseUint(left, 16, 64)
	salt, err2 := strconv.ParseUint(right, 16, 64)
	return segment, salt, err1 == nil && err2 == nil && segment > 0
}

// encode fills b, one block.
func (h *header) encode(b []byte) {
	clear(b[:blockBytes])
	copy(b, fileMagic)
	le := binary.LittleEndian
	le.PutUint16(b[8:], version)
	le.PutUint64(b[16:], h.segment)
	le.PutUint64(b[24:], h.salt)
	copy(b[32:], h.id[:])
	le.PutUint64(b[48:], h.prev)
	le.PutUint32(b[56:], h.prevEnd)
	le.PutUint64(b[64:], h.firstSeq)
	le.PutUint32(b[72:], h.prevSafe)
	le.PutUint32(b[76:], crc32.Checksum(b[:76], castagnoli()))
}

func decodeHeader(b []byte) (h header, err error) {
	le := binary.LittleEndian
	if len(b) < headerFields || string(b[:8]) != fileMagic || le.Uint32(b[76:]) != crc32.Checksum(b[:76], castagnoli()) {
		return h, fmt.Errorf("%w: header", ErrDamaged)
	}
	if v := le.Uint16(b[8:]); v != version {
		return h, fmt.Errorf("%w: format version %d", ErrForeign, v)
	}
	h.segment = le.Uint64(b[16:])
	h.salt = le.Uint64(b[24:])
	copy(h.id[:], b[32:48])
	h.prev = le.Uint64(b[48:])
	h.prevEnd = le.Uint32(b[56:])
	h.firstSeq = le.Uint64(b[64:])
	h.prevSafe = le.Uint32(b[72:])
	return h, nil
}

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// seal makes the checksum that binds a record to its place.
type seal struct{ segment, salt uint64 }

func (s seal) sum(offset uint32, fields, head []byte) uint32 {
	var place [20]byte
	binary.LittleEndian.PutUint64(place[0:], s.salt)
	binary.LittleEndian.PutUint64(place[8:], s.segment)
	binary.LittleEndian.PutUint32(place[16:], offset)
	crc := crc32.Update(0, castagnoli(), place[:])
	crc = crc32.Update(crc, castagnoli(), fields)
	return crc32.Update(crc, castagnoli(), head)
}

// put writes a record's header and head to b, which starts at offset of the segment.
func (s seal) put(b []byte, offset uint32, seq uint64, head []byte, body, bodyBytes, group uint32) {
	le := binary.LittleEndian
	le.PutUint32(b, recordMagic)
	le.PutUint32(b[4:], uint32(len(head)))
	le.PutUint64(b[8:], seq)
	le.PutUint32(b[16:], bodyBytes)
	le.PutUint32(b[20:], body/blockBytes)
	le.PutUint32(b[24:], group/blockBytes)
	copy(b[recordBytes:], head)
	le.PutUint32(b[28:], s.sum(offset, b[:28], b[recordBytes:recordBytes+len(head)]))
}

// headBytes reads from a record's header how long its head claims to be; false if that is no header.
func headBytes(b []byte) (int, bool) {
	if len(b) < recordBytes || binary.LittleEndian.Uint32(b) != recordMagic {
		return 0, false
	}
	return int(binary.LittleEndian.Uint32(b[4:])), true
}

// parse decodes the record at offset, of which b holds header and head, and checks it. limit is the segment's length.
func (s seal) parse(b []byte, offset int64, limit int64) (r Record, ok bool) {
	n, ok := headBytes(b)
	if !ok || len(b) < recordBytes+n || offset > math.MaxUint32 {
		return r, false
	}
	le := binary.LittleEndian
	r.Head = b[recordBytes : recordBytes+n]
	if le.Uint32(b[28:]) != s.sum(uint32(offset), b[:28], r.Head) {
		return r, false
	}
	r.Pos = Pos{Segment: s.segment, Offset: uint32(offset), Bytes: uint32(n)}
	r.Seq = le.Uint64(b[8:])
	r.BodyBytes = le.Uint32(b[16:])
	r.group = int64(le.Uint32(b[24:])) * blockBytes
	body := int64(le.Uint32(b[20:])) * blockBytes
	if body == 0 {
		body = offset + recordBytes + int64(n)
	}
	r.end = roundUp(body+int64(r.BodyBytes), blockBytes)
	if r.BodyBytes == 0 {
		body, r.end = 0, roundUp(offset+recordBytes+int64(n), blockBytes)
	}
	r.Body = uint32(body)
	return r, r.end <= limit && r.group <= offset && body <= math.MaxUint32
}

// headEnd is where r's head ends.
func (r *Record) headEnd() int64 { return int64(r.Pos.Offset) + recordBytes + int64(r.Pos.Bytes) }

// bodyApart tells that r's body stands behind the group's records, not after its head.
func (r *Record) bodyApart() bool { return r.BodyBytes > 0 && int64(r.Body) != r.headEnd() }

// next is where the record after r may start, if it is of the same group.
func (r *Record) next() int64 {
	end := r.headEnd()
	if !r.bodyApart() {
		end += int64(r.BodyBytes)
	}
	return roundUp(end, recordAlign)
}

func roundUp(n, align int64) int64 { return (n + align - 1) &^ (align - 1) }
