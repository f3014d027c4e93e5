package bench

import (
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"encoding"
	"encoding/binary"
	"hash"
	"math/rand/v2"
	"sync"
)

const (
	// ringBytes is a prime, so that no two units or stripes of a body are equal.
	ringBytes  = 1<<20 - 3
	spanBytes  = 256 << 10 // the most that Body.Span returns at once
	tailBytes  = 16        // made from the seed
	variantMax = 64        // offsets into the ring that bodies begin at
	// hashedBytes bounds how much is hashed ahead for one size.
	hashedBytes = 256 << 20
)

// Ring is the random text that bodies are cut from, and the digests of what was cut so far. It is safe for
// concurrent use.
type Ring struct {
	text []byte // ringBytes, then its own first spanBytes again

	mu     sync.RWMutex
	states map[prefix]states
}

// prefix names the part of a body that other bodies share.
type prefix struct {
	variant int
	size    int64
}

// states are digests of a body without its tail.
type states struct{ sha, md5 []byte }

// NewRing makes a ring. The same seed gives the same bodies.
func NewRing(seed uint64) *Ring {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	r := &Ring{text: make([]byte, ringBytes+spanBytes), states: map[prefix]states{}}
	rand.NewChaCha8(key).Read(r.text[:ringBytes])
	copy(r.text[ringBytes:], r.text)
	return r
}

// Body is an object's content: a function of ring, seed and size. The zero Body is empty.
type Body struct {
	Size  int64
	ring  *Ring
	start prefix
	tail  [tailBytes]byte
}

// Body is the content for seed.
func (r *Ring) Body(seed uint64, size int64) Body {
	variants := uint64(variantMax)
	if size > 0 {
		variants = min(variants, max(4, uint64(hashedBytes/size)))
	}
	b := Body{Size: size, ring: r, start: prefix{variant: int(mix(seed) % variants), size: size}}
	binary.LittleEndian.PutUint64(b.tail[:], mix(seed+1))
	binary.LittleEndian.PutUint64(b.tail[8:], mix(seed+2))
	return b
}

// mix is splitmix64's finalizer: neighbouring seeds give unrelated values.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// head is how many bytes come from the ring.
func (b *Body) head() int64 { return max(0, b.Size-tailBytes) }

// Span returns the bytes at off, at least one and at most 256 KiB of them, none at the end. They are
// borrowed: from the ring, or from b for its tail.
func (b *Body) Span(off int64) []byte {
	if off >= b.Size {
		return nil
	}
	head := b.head()
	if off >= head {
		return b.tail[off-head : b.Size-head]
	}
	at := (int64(b.start.variant)*(ringBytes/variantMax) + off) % ringBytes
	return b.ring.text[at : at+min(head-off, spanBytes)]
}

// Matches reports whether p are b's bytes from off on.
func (b *Body) Matches(off int64, p []byte) bool {
	if off < 0 || off+int64(len(p)) > b.Size {
		return false
	}
	for len(p) > 0 {
		want := b.Span(off)
		n := min(len(p), len(want))
		if !bytes.Equal(p[:n], want[:n]) {
			return false
		}
		p, off = p[n:], off+int64(n)
	}
	return true
}

// Hasher computes digests of bodies. Use it from one goroutine.
type Hasher struct {
	sha, md5 hash.Hash
	sum      [sha256.Size]byte
}

// NewHasher returns a Hasher.
func NewHasher() *Hasher { return &Hasher{sha: sha256.New(), md5: md5.New()} }

// SHA256 is b's digest; valid until the next call.
func (h *Hasher) SHA256(b *Body) []byte { return h.finish(h.sha, b.ring.state(b.start).sha, b) }

// MD5 is b's digest; valid until the next call.
func (h *Hasher) MD5(b *Body) []byte { return h.finish(h.md5, b.ring.state(b.start).md5, b) }

func (h *Hasher) finish(d hash.Hash, state []byte, b *Body) []byte {
	if err := d.(encoding.BinaryUnmarshaler).UnmarshalBinary(state); err != nil {
		panic(err) // the state is our own
	}
	d.Write(b.tail[:b.Size-b.head()])
	return d.Sum(h.sum[:0])
}

// Warm computes the digests of all bodies of a size, so that none is computed while measuring.
func (r *Ring) Warm(size int64) {
	var wg sync.WaitGroup
	for seed := range uint64(4 * variantMax) {
		b := r.Body(seed, size)
		wg.Go(func() { r.state(b.start) })
	}
	wg.Wait()
}

// state returns the digests' states before the tail, computing them the first time.
func (r *Ring) state(p prefix) states {
	r.mu.RLock()
	s, ok := r.states[p]
	r.mu.RUnlock()
	if ok {
		return s
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if s, ok := r.states[p]; ok {
		return s
	}
	b := Body{Size: p.size, ring: r, start: p}
	sha, sum := sha256.New(), md5.New()
	for off := int64(0); off < b.head(); {
		span := b.Span(off)
		sha.Write(span)
		sum.Write(span)
		off += int64(len(span))
	}
	s = states{sha: marshal(sha), md5: marshal(sum)}
	r.states[p] = s
	return s
}

func marshal(h hash.Hash) []byte {
	b, err := h.(encoding.BinaryMarshaler).MarshalBinary()
	if err != nil {
		panic(err) // crypto's hashes always can
	}
	return b
}
