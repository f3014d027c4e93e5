package bench

import (
	"math/bits"
	"time"
)

const (
	subBits    = 7 // 128 steps for each power of two: at most 0.8 % wide
	histLevels = 64 - subBits + 1
)

// Histogram counts durations in log-linear buckets. Recording neither allocates nor locks; use one for each
// goroutine and Merge them.
type Histogram struct {
	buckets [histLevels << subBits]uint64
	count   uint64
	max     time.Duration
}

// Record counts d, which is not negative.
func (h *Histogram) Record(d time.Duration) {
	h.buckets[bucketOf(uint64(d))]++
	h.count++
	h.max = max(h.max, d)
}

func bucketOf(v uint64) int {
	level := max(0, bits.Len64(v)-subBits-1)
	return level<<subBits + int(v>>level)
}

// upper is the largest value of a bucket.
func upper(bucket int) uint64 {
	level := max(0, bucket>>subBits-1)
	return uint64(bucket-level<<subBits+1)<<level - 1
}

// Merge adds o's counts.
func (h *Histogram) Merge(o *Histogram) {
	for i, n := range o.buckets {
		h.buckets[i] += n
	}
	h.count += o.count
	h.max = max(h.max, o.max)
}

// Count is how many durations were recorded.
func (h *Histogram) Count() uint64 { return h.count }

// Max is the longest recorded, exactly.
func (h *Histogram) Max() time.Duration { return h.max }

// Quantile is the least bucket border that a share q of the durations do not pass, 0 < q <= 1; 0 if there
// are none.
func (h *Histogram) Quantile(q float64) time.Duration {
	rank := uint64(q*float64(h.count) + 0.5)
	seen := uint64(0)
	for i, n := range h.buckets {
		seen += n
		if n > 0 && seen >= max(rank, 1) {
			return min(time.Duration(upper(i)), h.max)
		}
	}
	return h.max
}
