package object

import (
	"errors"
	"fmt"

	"github.com/sherd-io/sherd/meta"
	"github.com/sherd-io/sherd/meta/metapb"
)

var (
	// ErrIncompleteBody: the body ended before its declared length.
	ErrIncompleteBody = errors.New("object: body is shorter than declared")
	// ErrBodyTooLong: the body went on after its declared length.
	ErrBodyTooLong = errors.New("object: body is longer than declared")
	// ErrBadDigest: a digest that the client gave is not that of the body it sent.
	ErrBadDigest = errors.New("object: digest mismatch")
	// ErrInvalidPart: a part named by Complete is absent or another one.
	ErrInvalidPart = errors.New("object: invalid part")
	// ErrPartOrder: Complete's parts do not ascend.
	ErrPartOrder = errors.New("object: parts not in ascending order")
	// ErrPartTooSmall: a part before the last is under the least size.
	ErrPartTooSmall = errors.New("object: part too small")
	// ErrTooLarge: the finished object would be larger than an object can be.
	ErrTooLarge = errors.New("object: too large")
	// ErrSizeMismatch: the finished object has not the size that Complete named.
	ErrSizeMismatch = errors.New("object: size of the parts is not the size declared")
	// ErrNoSuchPart: a read asked for a part number that the object has not.
	ErrNoSuchPart = errors.New("object: no such part number")
	// ErrChecksumType: a checksum of another algorithm than the upload's was given, or none where there must be one.
	ErrChecksumType = errors.New("object: checksum algorithm does not fit the upload")
	// ErrChecksumMode: Complete counts on a checksum of the parts where the upload's is of the whole, or the other way round.
	ErrChecksumMode = errors.New("object: checksum mode does not fit the upload")
	// ErrChecksumMissing: Complete names a part without its checksum, of which the object's is made.
	ErrChecksumMissing = errors.New("object: checksum of a part is missing")
	// ErrTooSlow: the request took longer than any may (I6, I13).
	ErrTooSlow = errors.New("object: request took too long")
	// errChanged: the object was overwritten between two reads of its records; read again.
	errChanged = errors.New("object: changed while it was opened")
)

// SizeError says what size Complete named and what the parts have, in bytes. It is ErrSizeMismatch.
type SizeError struct{ Said, Computed int64 }

func (e *SizeError) Error() string {
	return fmt.Sprintf("%v: %d, not %d", ErrSizeMismatch, e.Computed, e.Said)
}
func (e *SizeError) Unwrap() error { return ErrSizeMismatch }

// MarkerError reports a delete marker where an object was looked for. It is meta.ErrNoSuchKey.
type MarkerError struct {
	Version *metapb.Version // the marker
}

func (e *MarkerError) Error() string { return "object: a delete marker is there" }

// Is makes errors.Is(err, meta.ErrNoSuchKey) true.
func (e *MarkerError) Is(target error) bool { return target == meta.ErrNoSuchKey }

// DigestError says which digest did not match. It is ErrBadDigest.
type DigestError struct {
	Algorithm string // as S3 spells it: Content-MD5, CRC32, SHA256 …
	Given     []byte
	Computed  []byte
}

func (e *DigestError) Error() string {
	return fmt.Sprintf("object: %s given %x, computed %x", e.Algorithm, e.Given, e.Computed)
}

// Is makes errors.Is(err, ErrBadDigest) true.
func (e *DigestError) Is(target error) bool { return target == ErrBadDigest }

// ChecksumError says what checksum an upload was created with, and what was given instead: Err is ErrChecksumType, ErrChecksumMode or
// ErrChecksumMissing; or ErrBadDigest, of a part that Complete names with another algorithm's.
type ChecksumError struct {
	Err    error
	Upload *metapb.Checksum // algorithm and type; nil: none was asked for
	Given  Algorithm        // NONE: none
	Part   int              // that Complete names
}

func (e *ChecksumError) Error() string {
	return fmt.Sprintf("%v: %s given, upload has %s, part %d", e.Err, e.Given, e.Upload.GetAlgorithm(), e.Part)
}
func (e *ChecksumError) Unwrap() error { return e.Err }

// PartError says which part was refused, and why: Err is ErrInvalidPart, ErrPartTooSmall …
type PartError struct {
	Err  error
	Part int
	ETag string // as the client gave it
	Size int64
}

func (e *PartError) Error() string { return fmt.Sprintf("%v: part %d", e.Err, e.Part) }
func (e *PartError) Unwrap() error { return e.Err }
