package heal

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"sync"

	"github.com/sherd-io/sherd/erasure"
	"github.com/sherd-io/sherd/internal/hlc"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/placement"
)

// rows is a model of the object records: two ranges, keys in the second if they begin with z.
type rows struct {
	mu       sync.Mutex
	items    map[ids.Upload]Item
	repairs  map[reportKey]Repair
	reclaims []Reclaim
	closed   map[ids.Range]hlc.Stamp
	refErr   error // of Referenced
	failAll  error

	clock       *hlc.Clock
	reencodeErr error // of Reencode, after it was done or not
}

func newRows(clock *hlc.Clock) *rows {
	return &rows{clock: clock, items: map[ids.Upload]Item{}, repairs: map[reportKey]Repair{}, closed: map[ids.Range]hlc.Stamp{}}
}

func rangeOf(h Home) ids.Range {
	if h.Key >= "z" {
		return 2
	}
	return 1
}

// page cuts sorted rows behind a position.
func page[T any](all []T, after []byte, max int) ([]T, []byte) {
	from := 0
	if after != nil {
		from = int(binary.BigEndian.Uint64(after))
	}
	from = min(from, len(all))
	end := min(from+max, len(all))
	if end == len(all) {
		return all[from:end], nil
	}
	return all[from:end], binary.BigEndian.AppendUint64(nil, uint64(end))
}

func (r *rows) do(fn func()) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failAll != nil {
		return r.failAll
	}
	fn()
	return nil
}

// Repairs pages by position: rows are acknowledged behind the reader's back, so it keeps a copy of the first page's order.
func (r *rows) Repairs(_ context.Context, rg *placement.Range, after []byte, max int) (out []Repair, next []byte, err error) {
	err = r.do(func() {
		for _, row := range r.repairs {
			if rangeOf(row.Home) == rg.ID && bytesAbove(row, after) {
				out = append(out, row)
			}
		}
		slices.SortFunc(out, func(a, b Repair) int { return slices.Compare(repairPos(a), repairPos(b)) })
		if len(out) > max {
			out = out[:max]
			next = repairPos(out[max-1])
		}
	})
	return out, next, err
}

func repairPos(r Repair) []byte { return append(r.Ref.Chunk(int(r.Slot)).Append(nil), r.Slot) }

func bytesAbove(r Repair, after []byte) bool { return slices.Compare(repairPos(r), after) > 0 }

func (r *rows) AckRepair(_ context.Context, rows []Repair) error {
	return r.do(func() {
		for _, row := range rows {
			delete(r.repairs, reportKey{ref: row.Ref, slot: row.Slot})
		}
	})
}

func (r *rows) AddRepair(_ context.Context, rows []Repair) error {
	return r.do(func() {
		for _, row := range rows {
			r.repairs[reportKey{ref: row.Ref, slot: row.Slot}] = row
		}
	})
}

// Reclaims pages by upload.
func (r *rows) Reclaims(_ context.Context, rg *placement.Range, below hlc.Stamp, after []byte, max int) (out []Reclaim, next []byte, err error) {
	err = r.do(func() {
		for _, row := range r.reclaims {
			if rangeOf(row.Home) == rg.ID && row.Died < below && bytes.Compare(row.Extent.Upload[:], after) > 0 {
				out = append(out, row)
			}
		}
		slices.SortFunc(out, func(a, b Reclaim) int { return bytes.Compare(a.Extent.Upload[:], b.Extent.Upload[:]) })
		if len(out) > max {
			out = out[:max]
			next = bytes.Clone(out[max-1].Extent.Upload[:])
		}
	})
	return out, next, err
}

func (r *rows) AckReclaim(_ context.Context, rows []Reclaim) error {
	return r.do(func() {
		for _, row := range rows {
			r.reclaims = slices.DeleteFunc(r.reclaims, func(x Reclaim) bool { return x.Extent.Upload == row.Extent.Upload })
		}
	})
}

func (r *rows) RaiseClosed(_ context.Context, rg *placement.Range, closed hlc.Stamp) error {
	return r.do(func() { r.closed[rg.ID] = max(r.closed[rg.ID], closed) })
}

func (r *rows) Referenced(_ context.Context, h Home, u ids.Upload) (ref Reference, err error) {
	ref = Absent
	err = r.do(func() {
		if it, ok := r.items[u]; ok && it.Home == h {
			ref = Live
		}
		if slices.ContainsFunc(r.reclaims, func(x Reclaim) bool { return x.Extent.Upload == u && x.Home == h }) {
			ref = Reclaiming
		}
	})
	return ref, errors.Join(err, r.refErr)
}

// Reencode moves a row to another body, as meta does.
func (r *rows) Reencode(_ context.Context, item Item, to erasure.Written) (done bool, err error) {
	err = r.do(func() {
		was, ok := r.items[item.Extent.Upload]
		if !ok || was.Version != item.Version {
			return
		}
		now := was
		now.Extent, done = to.Extent, true
		delete(r.items, was.Extent.Upload)
		r.items[now.Extent.Upload] = now
		r.reclaims = append(r.reclaims, Reclaim{Home: was.Home, Extent: was.Extent, Died: r.clock.Now()})
		for _, m := range to.Missed {
			row := Repair{Home: was.Home, Ref: now.Extent.Blob(int(m.Blob)), Slot: m.Slot}
			r.repairs[reportKey{ref: row.Ref, slot: row.Slot}] = row
		}
	})
	return done, errors.Join(err, r.reencodeErr)
}

func (r *rows) Walk(_ context.Context, rg *placement.Range, after []byte, max int) (out []Item, next []byte, err error) {
	err = r.do(func() {
		var all []Item
		for _, it := range r.items {
			if rangeOf(it.Home) == rg.ID {
				all = append(all, it)
			}
		}
		slices.SortFunc(all, func(a, b Item) int { return cmp.Compare(a.Key, b.Key) })
		out, next = page(all, after, max)
	})
	return out, next, err
}
