package codec

// MinUnit is the least unit, in bytes: what a drive writes at once.
const MinUnit = 4 << 10

// Layout says which bytes of a blob lie where. It is a value; its methods allocate nothing.
type Layout struct {
	Size int64 // bytes of the blob, > 0
	K, M int
	Unit int // bytes of a whole unit, a multiple of MinUnit

	full     int // stripes of K whole units
	tail     int // bytes of the shorter last stripe; 0 if there is none
	tailUnit int // bytes of that stripe's parity units
}

// NewLayout lays out size > 0 bytes.
func NewLayout(size int64, k, m, unit int) Layout {
	whole := int64(k) * int64(unit)
	l := Layout{Size: size, K: k, M: m, Unit: unit, full: int(size / whole), tail: int(size % whole)}
	if l.tail > 0 {
		u := (l.tail + k - 1) / k
		l.tailUnit = (u + MinUnit - 1) &^ (MinUnit - 1)
	}
	return l
}

// N is how many slots there are, stored or not.
func (l Layout) N() int { return l.K + l.M }

// Stripes is how many stripes there are.
func (l Layout) Stripes() int {
	if l.tail > 0 {
		return l.full + 1
	}
	return l.full
}

// StripeStart is the blob offset of stripe i's first byte.
func (l Layout) StripeStart(i int) int64 { return int64(i) * int64(l.K) * int64(l.Unit) }

// StripeBytes is how many bytes of the blob stripe i holds.
func (l Layout) StripeBytes(i int) int {
	if i < l.full {
		return l.K * l.Unit
	}
	return l.tail
}

// UnitLen is the length of stripe i's units as they are encoded, implied zeros included.
func (l Layout) UnitLen(i int) int {
	if i < l.full {
		return l.Unit
	}
	return l.tailUnit
}

// UnitBytes is how many bytes slot stores for stripe i; 0 <= UnitBytes <= UnitLen.
func (l Layout) UnitBytes(i, slot int) int {
	if i < l.full {
		return l.Unit
	}
	if slot >= l.K {
		return l.tailUnit
	}
	return max(0, min(l.tailUnit, l.tail-slot*l.tailUnit))
}

// Stored reports whether slot has a chunk: only data slots of a blob under one whole stripe may have none.
func (l Layout) Stored(slot int) bool { return l.full > 0 || l.UnitBytes(0, slot) > 0 }

// Chunks is how many slots are stored.
func (l Layout) Chunks() int {
	if l.full > 0 {
		return l.N()
	}
	return (l.tail+l.tailUnit-1)/l.tailUnit + l.M
}

// ShardBytes is the length of slot's shard.
func (l Layout) ShardBytes(slot int) int64 {
	n := int64(l.full) * int64(l.Unit)
	if l.tail > 0 {
		n += int64(l.UnitBytes(l.full, slot))
	}
	return n
}

// MaxShardBytes is the length of the longest shard.
func (l Layout) MaxShardBytes() int64 { return int64(l.full)*int64(l.Unit) + int64(l.tailUnit) }

// StripeOf is the stripe that holds the blob's byte off, 0 <= off < Size.
func (l Layout) StripeOf(off int64) int { return int(off / (int64(l.K) * int64(l.Unit))) }

// ShardOffset is where stripe i's unit begins in a shard.
func (l Layout) ShardOffset(i int) int64 { return int64(i) * int64(l.Unit) }
