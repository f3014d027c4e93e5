package object

import (
	"encoding/binary"
	"encoding/hex"
	"errors"

	"github.com/zeebo/xxh3"

	"github.com/sherd-io/sherd/internal/hlc"
	"github.com/sherd-io/sherd/meta"
	"github.com/sherd-io/sherd/meta/metapb"
)

// A version id, as clients have it, is 32 lower-case hexadecimal digits, as long as S3's are: the version's stamp, then the xxh3 of
// its eight bytes, both big-endian. So hardly any text is one that was not given. The null version's is "null".
const (
	versionIDBytes = 32
	nullVersionID  = "null"
)

// ErrVersionID reports a text that is no version id.
var ErrVersionID = errors.New("object: not a version id")

// VersionID returns v's id.
func VersionID(v *metapb.Version) string {
	var buf [versionIDBytes]byte
	return string(AppendVersionID(buf[:0], hlc.Stamp(v.Ts), v.Versioned))
}

// AppendVersionID appends the id of a version with the stamp ts: "null" if it is not versioned.
func AppendVersionID(b []byte, ts hlc.Stamp, versioned bool) []byte {
	if !versioned {
		return append(b, nullVersionID...)
	}
	var raw [16]byte
	binary.BigEndian.PutUint64(raw[:], uint64(ts))
	binary.BigEndian.PutUint64(raw[8:], xxh3.Hash(raw[:8]))
	return hex.AppendEncode(b, raw[:])
}

// ParseVersionID is VersionID's inverse. Errors: ErrVersionID.
func ParseVersionID(text string) (ref meta.VersionRef, err error) {
	if text == nullVersionID {
		return meta.VersionRef{Null: true}, nil
	}
	if len(text) != versionIDBytes {
		return ref, ErrVersionID
	}
	var raw [16]byte
	if _, err := hex.Decode(raw[:], []byte(text)); err != nil {
		return ref, ErrVersionID
	}
	ref.ID = hlc.Stamp(binary.BigEndian.Uint64(raw[:]))
	var again [versionIDBytes]byte
	if ref.ID == 0 || string(AppendVersionID(again[:0], ref.ID, true)) != text { // also digits in upper case
		return meta.VersionRef{}, ErrVersionID
	}
	return ref, nil
}
