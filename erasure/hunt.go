package erasure

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/sherd-io/sherd/erasure/codec"
)

const (
	triesMax = 1024    // of the blob's checksum, each of which reads the blob once
	setsMax  = 1 << 20 // of codec.Locator.Explains: about 4 µs each
)

// hunt is the search for shards that are wrong though each block of them confirms its checksum. With p shards more than the k that are
// needed, sets of them to leave out are tried in this order, each against the blob's checksum:
//
//  1. those that claim another checksum than most do;
//  2. up to p−1 that explain all contradictions between the shards, the smallest sets first (codec.Locator). All shards are read once for
//     this, then sets are told apart by arithmetic. Shards that are wrong each in its own way are found at once, however many there are.
//     Others are looked for in setsMax sets, which is all there are up to p = 8 of 24; that p−1 explain by chance what others did is
//     no wonder, one set in 256 does, which costs a try;
//  3. p shards: all of a node first, then any. They leave only k, which cannot contradict each other, so that each choice costs a reading
//     of the blob. triesMax is all there are up to 10+4, and for p ≤ 2 always.
type hunt struct {
	*shards
	without   []bool
	triesLeft int
	setsLeft  int
	rejected  [][]int // without these the others agree with each other, but not with the checksum
}

// usable lists the slots that can be read.
func (h *hunt) usable() (slots []int) {
	for slot := range h.slots {
		if h.lay.Stored(slot) && h.slots[slot].err == nil && !h.without[slot] {
			slots = append(slots, slot)
		}
	}
	return slots
}

// among gives those of the slots in left that have to be left out.
// Errors: search's.
func (h *hunt) among(ctx context.Context, left []int) (guilty []int, err error) {
	f, ok := h.footer()
	if !ok {
		return nil, h.unreadable()
	}
	seen, err := h.locate(ctx, left)
	if err != nil {
		return nil, err
	}
	for set := range h.likely(ctx, left, seen, f.BlobSum) {
		if slices.ContainsFunc(h.rejected, func(r []int) bool { return holds(set, r) }) {
			continue
		}
		if h.triesLeft == 0 {
			return nil, h.hopeless("no choice of shards had it that was tried")
		}
		h.triesLeft--
		sum, err := h.sumWithout(ctx, set)
		switch {
		case err != nil:
			return nil, err
		case sum == f.BlobSum:
			return set, nil
		case len(set) < seen.Checks() && seen.Explains(set):
			h.rejected = append(h.rejected, set)
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return nil, h.hopeless("no choice of shards has it")
}

// hopeless is the error of a search that found nothing: what is away may still make the difference.
func (h *hunt) hopeless(why string) error {
	is := ErrCorrupt
	if slices.ContainsFunc(h.slots, func(sh shard) bool { return sh.err != nil && kindOf(sh.err) == Unavailable }) {
		is = ErrUnavailable
	}
	return fmt.Errorf("%w: %v has another checksum than its shards say: %s", is, h.ref.Blob, why)
}

// locate reads all shards in left side by side and notes how they contradict each other.
func (h *hunt) locate(ctx context.Context, left []int) (*codec.Locator, error) {
	have := make([]bool, len(h.slots))
	for slot := range have {
		have[slot] = !h.lay.Stored(slot) || slices.Contains(left, slot)
	}
	seen, err := h.codec.Locator(have)
	if err != nil {
		return nil, h.unreadable()
	}
	for i := range h.lay.Stripes() {
		if err := h.compare(ctx, seen, i, have); err != nil {
			return nil, err
		}
	}
	return seen, nil
}

// compare reads stripe i of the shards in have.
func (h *hunt) compare(ctx context.Context, seen *codec.Locator, i int, have []bool) error {
	began := time.Now()
	got := h.fresh(i)
	defer got.release()
	cols, slots := make([]columns, len(have)), make([]int, 0, len(have))
	for slot := range have {
		if cols[slot] = h.whole(i); have[slot] {
			slots = append(slots, slot)
		}
	}
	if !got.fetch(ctx, slots, cols) {
		return h.unreadable()
	}
	units := make([][]byte, len(have))
	for _, slot := range slots {
		units[slot] = got.bufs[slot].B
	}
	if err := seen.Add(units); err != nil {
		return err
	}
	return h.pace(ctx, int64(len(slots)*h.lay.UnitLen(i)), time.Since(began))
}

// sumWithout is the blob's checksum without the slots in out.
func (h *hunt) sumWithout(ctx context.Context, out []int) ([16]byte, error) {
	avoid := slices.Clone(h.without)
	for _, slot := range out {
		avoid[slot] = true
	}
	return h.each(ctx, avoid, nil, nil)
}

// likely gives the sets of slots to be tried, none of which is changed later, in hunt's order; fewer if ctx ends.
func (h *hunt) likely(ctx context.Context, left []int, seen *codec.Locator, sum [16]byte) iter.Seq[[]int] {
	return func(yield func([]int) bool) {
		p := seen.Checks()
		if odd := h.dissenters(left, sum); len(odd) > 0 && len(odd) <= p && !yield(odd) {
			return
		}
		if seen.Rank() == 0 {
			return // they agree: whichever are left out, the bytes are the same
		}
		if all := seen.Visible(); len(all) < p && !yield(all) {
			return
		}
		for size := seen.Rank() + 1; size < p; size++ {
			for set := range subsets(left, size) {
				if h.setsLeft == 0 || ctx.Err() != nil {
					break
				}
				h.setsLeft--
				if seen.Explains(set) && !yield(set) {
					return
				}
			}
		}
		for _, set := range h.nodes(left) {
			if len(set) == p && !yield(set) {
				return
			}
		}
		for set := range subsets(left, p) {
			if !yield(set) {
				return
			}
		}
	}
}

// dissenters lists the slots in left whose chunks claim another checksum.
func (h *hunt) dissenters(left []int, sum [16]byte) (odd []int) {
	for _, slot := range left {
		if r := h.slots[slot].r; r != nil && r.Footer().BlobSum != sum {
			odd = append(odd, slot)
		}
	}
	return odd
}

// nodes groups left by the node of the slots' owners.
func (h *hunt) nodes(left []int) map[string][]int {
	by := map[string][]int{}
	for _, slot := range left {
		if d := h.m.Drives[h.pg.Slots[slot].Drive]; d != nil {
			by[d.Node] = append(by[d.Node], slot)
		}
	}
	return by
}

// holds reports whether set has all of sub.
func holds(set, sub []int) bool {
	return !slices.ContainsFunc(sub, func(slot int) bool { return !slices.Contains(set, slot) })
}

// subsets gives the choices of size elements out of of, in order, each a slice of its own.
func subsets(of []int, size int) iter.Seq[[]int] {
	return func(yield func([]int) bool) {
		at := make([]int, size)
		for i := range at {
			at[i] = i
		}
		for size <= len(of) {
			set := make([]int, size)
			for i, x := range at {
				set[i] = of[x]
			}
			if !yield(set) {
				return
			}
			i := size - 1
			for i >= 0 && at[i] == len(of)-size+i {
				i--
			}
			if i < 0 {
				return
			}
			for at[i]++; i+1 < size; i++ {
				at[i+1] = at[i] + 1
			}
		}
	}
}
