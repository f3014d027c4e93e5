package keys

import (
	"encoding/binary"

	"github.com/sherd-io/sherd/internal/hlc"
	"github.com/sherd-io/sherd/meta/metapb"
)

// Head is what listings read of a version: the first HeadBytes of its row's value. metapb.Details follows.
//
//	offset  bytes  field
//	0       1      format, now 1
//	1       1      flags: 1 delete marker, 2 body inline, 4 extents in rows, 8 composite checksum, 16 versioned,
//	               32 retained, 64 described
//	2       1      checksum algorithm, as metapb.ChecksumAlgorithm; 0 none
//	3       1      storage class: see ClassCode
//	4       8      size, bytes of the body as S3 shows it
//	12      16     MD5 of the body; of its parts' MD5s if parts > 0
//	28      4      parts; 0: not multipart
type Head struct {
	Flags     Flags
	Algorithm uint8
	Class     uint8
	Size      uint64
	MD5       [16]byte
	Parts     uint32
}

// Flags of a Head.
type Flags uint8

// Flag bits. A bit is never used again for another meaning.
const (
	DeleteMarker Flags = 1 << iota
	HasInline          // body in table Inline, under the same stamp
	HasExtents         // body in table Extents, under the same stamp
	Composite          // of the checksum
	Versioned          // it has an id of its own; else it is the null version
	Retained           // Details have a lock
	Described          // listings need Details: for an owner that is not the bucket's, or a storage class without a code
)

const (
	headFormat = 1
	// HeadBytes is the length of an encoded Head.
	HeadBytes = 1 + 1 + 1 + 1 + 8 + 16 + 4
)

// Append appends h's encoding.
func (h *Head) Append(b []byte) []byte {
	b = append(b, headFormat, byte(h.Flags), h.Algorithm, h.Class)
	b = binary.BigEndian.AppendUint64(b, h.Size)
	b = append(b, h.MD5[:]...)
	return binary.BigEndian.AppendUint32(b, h.Parts)
}

// Decode reads the head at the start of a version row's value and returns the encoded Details behind it, which alias b.
func (h *Head) Decode(b []byte) (details []byte, err error) {
	if len(b) < HeadBytes || b[0] != headFormat {
		return nil, ErrCorrupt
	}
	h.Flags, h.Algorithm, h.Class = Flags(b[1]), b[2], b[3]
	h.Size = binary.BigEndian.Uint64(b[4:])
	copy(h.MD5[:], b[12:])
	h.Parts = binary.BigEndian.Uint32(b[28:])
	return b[HeadBytes:], nil
}

// AppendNullStamp appends the value of a row of Nulls.
func AppendNullStamp(b []byte, ts hlc.Stamp) []byte {
	return binary.BigEndian.AppendUint64(b, uint64(ts))
}

// NullStamp is AppendNullStamp's inverse.
func NullStamp(b []byte) (hlc.Stamp, error) {
	if len(b) != stampBytes {
		return 0, ErrCorrupt
	}
	return hlc.Stamp(binary.BigEndian.Uint64(b)), nil
}

// Applied is a range's replicated state beside its rows, written with every batch (I17).
//
//	offset  bytes  field
//	0       1      format, now 1
//	1       8      index of the last Raft entry applied
//	9       8      its term
//	17      8      last stamp given (I18)
//	25      8      closed (I6)
//	33      16     greatest request id taken: one above it is not in table Requests
//	49      16     greatest upload id that ever entered table Reclaims: one above it was never reclaimed
//	65      8      rows of table Repairs
//	73      8      rows of table Reclaims
type Applied struct {
	Index, Term uint64
	TS          hlc.Stamp
	Closed      hlc.Stamp
	Request     [16]byte
	Reclaimed   [16]byte
	Repairs     uint64
	Reclaims    uint64
}

const (
	appliedFormat = 1
	appliedBytes  = 1 + 4*8 + 2*16 + 2*8
)

// Append appends a's encoding.
func (a *Applied) Append(b []byte) []byte {
	b = append(b, appliedFormat)
	for _, v := range [...]uint64{a.Index, a.Term, uint64(a.TS), uint64(a.Closed)} {
		b = binary.BigEndian.AppendUint64(b, v)
	}
	b = append(b, a.Request[:]...)
	b = append(b, a.Reclaimed[:]...)
	b = binary.BigEndian.AppendUint64(b, a.Repairs)
	return binary.BigEndian.AppendUint64(b, a.Reclaims)
}

// Decode is Append's inverse; it wants exactly its bytes.
func (a *Applied) Decode(b []byte) error {
	if len(b) != appliedBytes || b[0] != appliedFormat {
		return ErrCorrupt
	}
	be := binary.BigEndian
	a.Index, a.Term = be.Uint64(b[1:]), be.Uint64(b[9:])
	a.TS, a.Closed = hlc.Stamp(be.Uint64(b[17:])), hlc.Stamp(be.Uint64(b[25:]))
	copy(a.Request[:], b[33:])
	copy(a.Reclaimed[:], b[49:])
	a.Repairs, a.Reclaims = be.Uint64(b[65:]), be.Uint64(b[73:])
	return nil
}

// Counters of one bucket in one range, exact.
//
//	offset  bytes  field
//	0       1      format, now 1
//	1       8      objects: keys whose newest version is not a delete marker
//	9       8      versions, delete markers too
//	17      8      bytes of all versions
//	25      8      unfinished uploads
//	33      8      bytes of their parts
type Counters struct {
	Objects, Versions, Size, Uploads, UploadSize int64
}

const (
	countersFormat = 1
	countersBytes  = 1 + 5*8
)

// Append appends c's encoding.
func (c *Counters) Append(b []byte) []byte {
	b = append(b, countersFormat)
	for _, v := range [...]int64{c.Objects, c.Versions, c.Size, c.Uploads, c.UploadSize} {
		b = binary.BigEndian.AppendUint64(b, uint64(v))
	}
	return b
}

// Decode is Append's inverse; it wants exactly its bytes.
func (c *Counters) Decode(b []byte) error {
	if len(b) != countersBytes || b[0] != countersFormat {
		return ErrCorrupt
	}
	for i, p := range [...]*int64{&c.Objects, &c.Versions, &c.Size, &c.Uploads, &c.UploadSize} {
		*p = int64(binary.BigEndian.Uint64(b[1+8*i:]))
	}
	return nil
}

// Add adds d to c.
func (c *Counters) Add(d Counters) {
	c.Objects += d.Objects
	c.Versions += d.Versions
	c.Size += d.Size
	c.Uploads += d.Uploads
	c.UploadSize += d.UploadSize
}

// Minus is c without d.
func (c *Counters) Minus(d Counters) Counters {
	return Counters{
		Objects: c.Objects - d.Objects, Versions: c.Versions - d.Versions, Size: c.Size - d.Size,
		Uploads: c.Uploads - d.Uploads, UploadSize: c.UploadSize - d.UploadSize,
	}
}

// Negative reports whether any of c is below 0.
func (c *Counters) Negative() bool {
	return min(c.Objects, c.Versions, c.Size, c.Uploads, c.UploadSize) < 0
}

// CountersOf is Proto's inverse.
func CountersOf(p *metapb.Counters) Counters {
	return Counters{
		Objects: p.GetObjects(), Versions: p.GetVersions(), Size: p.GetSize(),
		Uploads: p.GetUploads(), UploadSize: p.GetUploadSize(),
	}
}

// Proto is c in the shape that leaves package meta.
func (c *Counters) Proto() *metapb.Counters {
	return &metapb.Counters{
		Objects: c.Objects, Versions: c.Versions, Size: c.Size, Uploads: c.Uploads, UploadSize: c.UploadSize,
	}
}
