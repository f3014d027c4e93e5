package object

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha512"
	"encoding/binary"
	"hash"
	"hash/crc32"
	"strings"

	"github.com/cespare/xxhash/v2"
	"github.com/minio/crc64nvme"
	"github.com/minio/sha256-simd"
	"github.com/zeebo/xxh3"

	"github.com/sherd-io/sherd/meta/metapb"
)

// Algorithm is a checksum's algorithm, as records hold it.
type Algorithm = metapb.ChecksumAlgorithm

// DefaultAlgorithm is what a body gets when the client asked for none, as S3 does since December 2024.
const DefaultAlgorithm = metapb.ChecksumAlgorithm_CRC64NVME

// algorithm is one row of the table of checksums.
type algorithm struct {
	id       Algorithm
	name     string // as in x-amz-checksum-algorithm and <ChecksumAlgorithm>
	header   string // canonical form, as http.Header keys are
	bytes    int
	crc      bool // has CRC's property that sums of parts combine
	poly     uint64
	onlyFull bool // of a multipart object only the full-object type exists
}

var algorithms = [...]algorithm{
	{id: metapb.ChecksumAlgorithm_NONE},
	{id: metapb.ChecksumAlgorithm_CRC32, name: "CRC32", header: "X-Amz-Checksum-Crc32", bytes: 4, crc: true, poly: crc32.IEEE},
	{id: metapb.ChecksumAlgorithm_CRC32C, name: "CRC32C", header: "X-Amz-Checksum-Crc32c", bytes: 4, crc: true, poly: crc32.Castagnoli},
	{id: metapb.ChecksumAlgorithm_CRC64NVME, name: "CRC64NVME", header: "X-Amz-Checksum-Crc64nvme", bytes: 8, crc: true, poly: 0x9a6c9329ac4bc9b5, onlyFull: true},
	{id: metapb.ChecksumAlgorithm_SHA1, name: "SHA1", header: "X-Amz-Checksum-Sha1", bytes: sha1.Size},
	{id: metapb.ChecksumAlgorithm_SHA256, name: "SHA256", header: "X-Amz-Checksum-Sha256", bytes: sha256.Size},
	{id: metapb.ChecksumAlgorithm_SHA512, name: "SHA512", header: "X-Amz-Checksum-Sha512", bytes: sha512.Size},
	{id: metapb.ChecksumAlgorithm_MD5, name: "MD5", header: "X-Amz-Checksum-Md5", bytes: md5.Size},
	{id: metapb.ChecksumAlgorithm_XXHASH64, name: "XXHASH64", header: "X-Amz-Checksum-Xxhash64", bytes: 8},
	{id: metapb.ChecksumAlgorithm_XXHASH3, name: "XXHASH3", header: "X-Amz-Checksum-Xxhash3", bytes: 8},
	{id: metapb.ChecksumAlgorithm_XXHASH128, name: "XXHASH128", header: "X-Amz-Checksum-Xxhash128", bytes: 16},
}

func row(a Algorithm) *algorithm {
	if a < 0 || int(a) >= len(algorithms) {
		return &algorithms[0]
	}
	return &algorithms[a]
}

// AlgorithmNamed finds an algorithm by its S3 name in any case; NONE if there is none.
func AlgorithmNamed(name string) Algorithm {
	for _, a := range algorithms[1:] {
		if strings.EqualFold(a.name, name) {
			return a.id
		}
	}
	return metapb.ChecksumAlgorithm_NONE
}

// AlgorithmName is a's S3 name, or "".
func AlgorithmName(a Algorithm) string { return row(a).name }

// ChecksumHeader is the header or trailer that carries a's value, in canonical form, or "".
func ChecksumHeader(a Algorithm) string { return row(a).header }

// ChecksumBytes is the length of a's raw value.
func ChecksumBytes(a Algorithm) int { return row(a).bytes }

// Algorithms lists all that exist, NONE aside.
func Algorithms() []Algorithm {
	out := make([]Algorithm, 0, len(algorithms)-1)
	for _, a := range algorithms[1:] {
		out = append(out, a.id)
	}
	return out
}

// CompositeAllowed reports whether a multipart object can have a's checksum of checksums.
func CompositeAllowed(a Algorithm) bool { return row(a).bytes > 0 && !row(a).onlyFull }

// FullAllowed reports whether a multipart object can have a's checksum over all its bytes: those of parts must combine to it. Source: S3 User
// Guide, "Checking object integrity": of CRCs only.
func FullAllowed(a Algorithm) bool { return row(a).crc }

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// crcUpdate continues the CRC of algorithm a over p.
func crcUpdate(a Algorithm, sum uint64, p []byte) uint64 {
	switch a {
	case metapb.ChecksumAlgorithm_CRC32:
		return uint64(crc32.Update(uint32(sum), crc32.IEEETable, p))
	case metapb.ChecksumAlgorithm_CRC32C:
		return uint64(crc32.Update(uint32(sum), castagnoli, p))
	default:
		return crc64nvme.Update(sum, p)
	}
}

func crcBytes(a *algorithm, sum uint64) []byte {
	if a.bytes == 4 {
		return binary.BigEndian.AppendUint32(nil, uint32(sum))
	}
	return binary.BigEndian.AppendUint64(nil, sum)
}

// newHash begins a checksum that is no CRC. Those of xxhash are in its canonical form, big-endian, with the seed 0.
func newHash(a Algorithm) hash.Hash {
	switch a {
	case metapb.ChecksumAlgorithm_SHA1:
		return sha1.New()
	case metapb.ChecksumAlgorithm_SHA512:
		return sha512.New()
	case metapb.ChecksumAlgorithm_MD5:
		return md5.New()
	case metapb.ChecksumAlgorithm_XXHASH64:
		return xxhash.New()
	case metapb.ChecksumAlgorithm_XXHASH3:
		return xxh3.New()
	case metapb.ChecksumAlgorithm_XXHASH128:
		return xxh128{xxh3.New()}
	}
	return sha256.New()
}

// xxh128 is XXH3 of 128 bits.
type xxh128 struct{ *xxh3.Hasher }

func (h xxh128) Size() int { return 16 }

func (h xxh128) Sum(b []byte) []byte {
	sum := h.Sum128().Bytes()
	return append(b, sum[:]...)
}

// combineCRC gives the CRC of A‖B from those of A and B, and B's length in bytes.
//
// Source: zlib's crc32_combine: A's sum times x^(8·bytes) modulo the polynomial, plus B's; initial and
// final complements cancel. Bits are reflected: the polynomial 1 is the highest bit.
func combineCRC(a *algorithm, sumA, sumB uint64, bytesB int64) uint64 {
	width := uint(a.bytes * 8)
	one := uint64(1) << (width - 1)
	factor, square := one, one>>8 // x^0, x^8: then squared for each bit of bytesB
	for n := bytesB; n > 0; n >>= 1 {
		if n&1 == 1 {
			factor = mulMod(factor, square, a.poly, one)
		}
		square = mulMod(square, square, a.poly, one)
	}
	return mulMod(factor, sumA, a.poly, one) ^ sumB
}

func mulMod(x, y, poly, one uint64) (product uint64) {
	for bit := one; bit != 0 && x != 0; bit >>= 1 {
		if x&bit != 0 {
			product ^= y
			x &^= bit
		}
		if y&1 == 1 {
			y = y>>1 ^ poly
		} else {
			y >>= 1
		}
	}
	return product
}

// combineParts makes the checksum of a multipart object from those of its parts; nil if one part lacks it.
func combineParts(a Algorithm, composite bool, parts []*metapb.Extent) []byte {
	r := row(a)
	if r.bytes == 0 {
		return nil
	}
	var h hash.Hash
	if !r.crc {
		h = newHash(a)
	}
	var sum uint64
	for i, p := range parts {
		if p.GetChecksum().GetAlgorithm() != a || len(p.Checksum.Value) != r.bytes {
			return nil
		}
		switch {
		case h != nil:
			h.Write(p.Checksum.Value)
		case composite:
			sum = crcUpdate(a, sum, p.Checksum.Value)
		case i == 0:
			sum = crcValue(p.Checksum.Value)
		default:
			sum = combineCRC(r, sum, crcValue(p.Checksum.Value), int64(p.Size))
		}
	}
	if h != nil {
		return h.Sum(nil)
	}
	return crcBytes(r, sum)
}

func crcValue(b []byte) uint64 {
	if len(b) == 4 {
		return uint64(binary.BigEndian.Uint32(b))
	}
	return binary.BigEndian.Uint64(b)
}
