package chunk

import (
	"encoding/binary"
)

// A chunk of more than PutMax bytes is a file of its own. It exists when its footer does, and a KindFile record names it.
// Integers are little-endian; the file is a multiple of 4,096 bytes long.
//
//	offset     bytes  field
//	0          8      magic "SHRDCHNK"
//	8          2      version, now 1
//	10         2      bytes of the fields below
//	12         ...    header and footer fields (see fieldBytes), the footer's zero
//	...        4      CRC-32C of all before
//	...        ...    zeros up to 4,096
//	4096       ...    payload, then zeros up to a border of 4,096
//	T          ...    8 bytes of checksum for each block
//	...        ...    zeros
//	end-64     8      magic "SHRDFOOT"
//	end-56     8      file number, as in the file's name
//	end-48     8      blob bytes
//	end-40     16     blob sum
//	end-24     8      shard bytes
//	end-16     8      0
//	end-8      4      0
//	end-4      4      CRC-32C of the bytes from T to end-4
const (
	FileHeaderBytes = 4096
	FileFooterBytes = 64
	fileVersion     = 1
	fileMagic       = "SHRDCHNK"
	footMagic       = "SHRDFOOT"
)

const _ = uint(FileHeaderBytes - (12 + fieldBytes + ObjectMax + 4)) // the header fits its block

// AppendFileHeader appends the first FileHeaderBytes of a chunk file.
func AppendFileHeader(b []byte, h *Header) []byte {
	start := len(b)
	b = append(b, fileMagic...)
	b = binary.LittleEndian.AppendUint16(b, fileVersion)
	b = binary.LittleEndian.AppendUint16(b, uint16(fieldBytes+len(h.Object)))
	b = appendFields(b, h, &Footer{})
	b = binary.LittleEndian.AppendUint32(b, castagnoli(b[start:]))
	return append(b, make([]byte, FileHeaderBytes-(len(b)-start))...)
}

// ParseFileHeader decodes the first FileHeaderBytes of a chunk file.
func ParseFileHeader(b []byte) (Header, error) {
	if len(b) < FileHeaderBytes || string(b[:8]) != fileMagic || binary.LittleEndian.Uint16(b[8:]) != fileVersion {
		return Header{}, ErrMalformed
	}
	end := 12 + int(binary.LittleEndian.Uint16(b[10:]))
	if end+4 > FileHeaderBytes || castagnoli(b[:end]) != binary.LittleEndian.Uint32(b[end:]) {
		return Header{}, ErrMalformed
	}
	h, _, rest, err := parseFields(b[12:end])
	if err == nil && len(rest) != 0 {
		err = ErrMalformed
	}
	return h, err
}

// TrailerOffset is where a chunk file's block checksums start.
func TrailerOffset(shardBytes uint64) int64 {
	return FileHeaderBytes + roundUp(int64(shardBytes))
}

// TrailerBytes is how long checksums and footer are, with what lies between.
func TrailerBytes(shardBytes uint64) int {
	return int(roundUp(int64(Blocks(shardBytes)*SumBytes + FileFooterBytes)))
}

// FileBytes is the length of a chunk file.
func FileBytes(shardBytes uint64) int64 {
	return TrailerOffset(shardBytes) + int64(TrailerBytes(shardBytes))
}

func roundUp(n int64) int64 { return (n + AlignBytes - 1) &^ (AlignBytes - 1) }

// PutTrailer fills b, which is TrailerBytes(f.ShardBytes) long, from sums and f.
func PutTrailer(b, sums []byte, file uint64, f *Footer) {
	clear(b[copy(b, sums):])
	t := b[len(b)-FileFooterBytes:]
	copy(t, footMagic)
	binary.LittleEndian.PutUint64(t[8:], file)
	binary.LittleEndian.PutUint64(t[16:], f.BlobBytes)
	copy(t[24:], f.BlobSum[:])
	binary.LittleEndian.PutUint64(t[40:], f.ShardBytes)
	binary.LittleEndian.PutUint32(b[len(b)-4:], castagnoli(b[:len(b)-4]))
}

// ParseFooter decodes the last FileFooterBytes of a chunk file without checking the checksums before it,
// so that one learns how long the trailer is.
func ParseFooter(b []byte) (f Footer, file uint64, err error) {
	if len(b) != FileFooterBytes || string(b[:8]) != footMagic {
		return f, 0, ErrMalformed
	}
	file = binary.LittleEndian.Uint64(b[8:])
	f.BlobBytes = binary.LittleEndian.Uint64(b[16:])
	copy(f.BlobSum[:], b[24:40])
	f.ShardBytes = binary.LittleEndian.Uint64(b[40:])
	if f.ShardBytes > ShardMax {
		return f, 0, ErrMalformed
	}
	return f, file, nil
}

// ParseTrailer decodes a trailer of TrailerBytes. sums aliases b.
func ParseTrailer(b []byte) (sums []byte, file uint64, f Footer, err error) {
	if len(b) < FileFooterBytes {
		return nil, 0, f, ErrMalformed
	}
	f, file, err = ParseFooter(b[len(b)-FileFooterBytes:])
	if err != nil {
		return nil, 0, f, err
	}
	if TrailerBytes(f.ShardBytes) != len(b) || castagnoli(b[:len(b)-4]) != binary.LittleEndian.Uint32(b[len(b)-4:]) {
		return nil, 0, f, ErrMalformed
	}
	return b[:Blocks(f.ShardBytes)*SumBytes], file, f, nil
}
