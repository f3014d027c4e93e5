// Package ids declares the identifiers that every part of sherd uses, with
// their text and binary forms. It has no behaviour beyond that.
package ids

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/sherd-io/sherd/internal/hlc"
)

// ErrMalformed reports text or bytes that are not an id of the wanted kind.
var ErrMalformed = errors.New("ids: malformed id")

type (
	// Cluster names one sherd cluster for ever.
	Cluster [16]byte
	// Drive names one formatting of one drive; a drive that is formatted again gets a new id (I10).
	Drive [16]byte
	// Upload names one attempt to store one body and is never used twice (I7):
	// 8 bytes of stamp, big-endian, then 8 random bytes. It is not S3's UploadId.
	Upload [16]byte

	// Pool is an erasure profile with its placement groups.
	Pool uint16
	// PG is a placement group of a pool.
	PG uint16
	// Bucket is never used again after its bucket is deleted (I20). 0 is no bucket.
	Bucket uint64
	// Range is one Raft group. 0 is no range.
	Range uint64
	// Replica is a Raft peer; an id is never used twice (I10). 0 is no replica.
	Replica uint64
)

// Blob names up to 64 MiB of one body.
type Blob struct {
	Upload Upload
	Index  uint32
}

// Chunk is the key of one shard as stored on a drive. One key has one content for ever (I7).
type Chunk struct {
	Pool Pool
	PG   PG
	Blob Blob
	Slot uint8
}

// ChunkBytes is the length of Chunk's binary form.
const ChunkBytes = 2 + 2 + 16 + 4 + 1

// NewCluster returns a random cluster id.
func NewCluster() Cluster { return Cluster(random()) }

// NewDrive returns a random drive id.
func NewDrive() Drive { return Drive(random()) }

// NewUpload returns a fresh upload id that carries stamp.
func NewUpload(stamp hlc.Stamp) Upload {
	id := Upload(random())
	binary.BigEndian.PutUint64(id[:8], uint64(stamp))
	return id
}

func random() (b [16]byte) {
	rand.Read(b[:]) // never fails (crypto/rand)
	return b
}

// Stamp is when the attempt began (I6).
func (u Upload) Stamp() hlc.Stamp { return hlc.Stamp(binary.BigEndian.Uint64(u[:8])) }

func (c Cluster) String() string { return hex.EncodeToString(c[:]) }
func (d Drive) String() string   { return hex.EncodeToString(d[:]) }
func (u Upload) String() string  { return hex.EncodeToString(u[:]) }
func (b Blob) String() string    { return fmt.Sprintf("%s.%d", b.Upload, b.Index) }
func (c Chunk) String() string {
	return fmt.Sprintf("%d/%d/%s/%d", c.Pool, c.PG, c.Blob, c.Slot)
}

// IsZero reports whether d names no drive.
func (d Drive) IsZero() bool { return d == Drive{} }

// IsZero reports whether u names no upload.
func (u Upload) IsZero() bool { return u == Upload{} }

// MarshalText gives 32 hexadecimal digits.
func (c Cluster) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText is MarshalText's inverse.
func (c *Cluster) UnmarshalText(t []byte) error { return unhex(c[:], t) }

// MarshalText gives 32 hexadecimal digits.
func (d Drive) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText is MarshalText's inverse.
func (d *Drive) UnmarshalText(t []byte) error { return unhex(d[:], t) }

// MarshalText gives 32 hexadecimal digits.
func (u Upload) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// UnmarshalText is MarshalText's inverse.
func (u *Upload) UnmarshalText(t []byte) error { return unhex(u[:], t) }

func unhex(dst, text []byte) error {
	if len(text) != hex.EncodedLen(len(dst)) {
		return ErrMalformed
	}
	if _, err := hex.Decode(dst, text); err != nil {
		return ErrMalformed
	}
	return nil
}

// Append appends c's binary form: pool, pg, upload, index, slot; integers big-endian,
// so that bytes order as (pool, pg, blob, slot).
func (c Chunk) Append(b []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(c.Pool))
	b = binary.BigEndian.AppendUint16(b, uint16(c.PG))
	b = append(b, c.Blob.Upload[:]...)
	b = binary.BigEndian.AppendUint32(b, c.Blob.Index)
	return append(b, c.Slot)
}

// ParseChunk is Append's inverse. It wants exactly ChunkBytes bytes.
func ParseChunk(b []byte) (c Chunk, err error) {
	if len(b) != ChunkBytes {
		return c, ErrMalformed
	}
	c.Pool = Pool(binary.BigEndian.Uint16(b))
	c.PG = PG(binary.BigEndian.Uint16(b[2:]))
	copy(c.Blob.Upload[:], b[4:20])
	c.Blob.Index = binary.BigEndian.Uint32(b[20:])
	c.Slot = b[24]
	return c, nil
}
