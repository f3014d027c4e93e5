// Package disktest holds the contract that every drive keeps, local, remote or in memory, as one suite of tests.
package disktest

import (
	"math/rand/v2"

	"github.com/zeebo/xxh3"

	"github.com/sherd-io/sherd/disk/chunk"
	"github.com/sherd-io/sherd/internal/bufpool"
	"github.com/sherd-io/sherd/internal/hlc"
	"github.com/sherd-io/sherd/internal/ids"
)

// Sample is a chunk with its payload, made from a seed.
type Sample struct {
	Header  chunk.Header
	Footer  chunk.Footer
	Payload []byte // on a border of 4,096 bytes in memory
}

// UnitBytes is what samples have.
const UnitBytes = 256 << 10

// NewSample makes the n-th sample of pool 1, with PG n mod 8, of payloadBytes.
func NewSample(seed, n uint64, payloadBytes int) *Sample {
	rng := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(n), byte(n >> 8), byte(n >> 16), byte(n >> 24)})
	s := &Sample{Payload: new(bufpool.Pool).Get(payloadBytes).B}
	rng.Read(s.Payload)
	s.Header = chunk.Header{
		Key: ids.Chunk{Pool: 1, PG: ids.PG(n % 8), Blob: ids.Blob{Index: uint32(n)}, Slot: uint8(n % 6)},
		K:   4, M: 2, UnitBytes: UnitBytes, Bucket: 7, Object: "photos/2026/" + string(rune('a'+n%26)), Part: uint32(n % 3),
		Stamp: hlc.Stamp(1000 + n), Epoch: 1,
	}
	rng.Read(s.Header.Key.Blob.Upload[:])
	s.Footer = chunk.Footer{BlobBytes: 4 * uint64(payloadBytes), BlobSum: xxh3.Hash128(s.Payload).Bytes(), ShardBytes: uint64(payloadBytes)}
	return s
}

// Units cuts the payload.
func (s *Sample) Units() [][]byte {
	var units [][]byte
	for b := s.Payload; len(b) > 0; {
		n := min(len(b), UnitBytes)
		units = append(units, b[:n])
		b = b[n:]
	}
	return units
}
