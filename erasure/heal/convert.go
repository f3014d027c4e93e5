package heal

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sherd-io/sherd/erasure"
	"github.com/sherd-io/sherd/internal/hlc"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/placement"
)

// Tally counts objects and their bytes. An object of several bodies counts once, with the bytes of those bodies that are meant.
type Tally struct{ Objects, Bytes int64 }

func (t Tally) plus(o Tally) Tally { return Tally{t.Objects + o.Objects, t.Bytes + o.Bytes} }

// add adds other's tallies to into's.
func addTallies[K comparable](into, other map[K]Tally) {
	for k, t := range other {
		into[k] = into[k].plus(t)
	}
}

// assignment says by one map which pool an object's bodies are to be in.
type assignment struct {
	m       *placement.Map
	buckets map[ids.Bucket]*placement.Bucket
	single  bool // there is one pool: all are where they should be
}

func newAssignment(m *placement.Map) *assignment {
	a := &assignment{m: m, buckets: make(map[ids.Bucket]*placement.Bucket, len(m.Buckets)), single: len(m.Pools) < 2}
	for _, b := range m.Buckets {
		a.buckets[b.ID] = b
	}
	return a
}

// pool is where a body of item is to go; nil if it is there, or is to stay: a part of an unfinished upload, or of a bucket or for a pool
// that the map does not have ready (I15).
func (a *assignment) pool(item *Item) *placement.Pool {
	if a.single || item.Bad != nil || item.Version == 0 || len(item.Extent.PGs) == 0 {
		return nil
	}
	b := a.buckets[item.Bucket]
	if b == nil || b.Deleting {
		return nil
	}
	p := a.m.PoolFor(b, item.Class)
	if p == nil || p.ID == item.Extent.Pool {
		return nil
	}
	return p
}

// taking counts objects while their bodies come one after the other.
type taking struct {
	home    Home
	version hlc.Stamp
}

// first reports whether item is of another object than the one before.
func (t *taking) first(item *Item) bool {
	now := taking{item.Home, item.Version}
	was := *t
	*t = now
	return was != now || item.Version == 0
}

// Convert makes one pass over this process's ranges: every body of a finished object that is in another pool than its bucket, or its
// storage class, uses by now is written anew in that one, and the object's row made to refer to it. A body whose object was overwritten,
// deleted or changed meanwhile is left alone, and what was written for it deleted. Nothing is remembered: what was converted is found to
// be where it should be.
//
// Errors: ctx's; else the first of those that left a body where it was, which the next pass tries again. Where the pool takes nothing the
// pass ends.
func (h *Healer) Convert(ctx context.Context) error {
	if h.opt.Held() || !h.opt.Reencodes() {
		return nil
	}
	c := &conversion{h: h}
	for _, r := range h.ranges() {
		if err := c.walk(ctx, r); err != nil {
			c.fail(fmt.Errorf("convert range %d: %w", r.ID, err))
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if c.stuck() {
			break
		}
	}
	return c.err
}

// convertPass is Convert where the ledger says that there is something to convert.
func (h *Healer) convertPass(ctx context.Context) error {
	if len(h.books.last().Convert) == 0 {
		return nil
	}
	defer h.books.stale()
	return h.Convert(ctx)
}

// conversion is one Convert.
type conversion struct {
	h *Healer

	mu  sync.Mutex
	err error // the first
	end bool  // the pool takes nothing
}

func (c *conversion) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = err
	}
	c.end = c.end || errors.Is(err, erasure.ErrFull) || errors.Is(err, erasure.ErrNoQuorum) || errors.Is(err, ErrRefused)
}

func (c *conversion) stuck() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.end
}

func (c *conversion) walk(ctx context.Context, r *placement.Range) error {
	for after := []byte(nil); ; {
		items, next, err := c.h.opt.Records.Walk(ctx, r, after, c.h.opt.Page)
		if err != nil {
			return err
		}
		c.page(ctx, items)
		if err := ctx.Err(); err != nil || next == nil || c.stuck() {
			return err
		}
		after = next
	}
}

// page converts those of items that are to be, by the map as it is now.
func (c *conversion) page(ctx context.Context, items []Item) {
	a := newAssignment(c.h.opt.Map())
	g := new(errgroup.Group)
	g.SetLimit(c.h.opt.Workers)
	for i := range items {
		item := &items[i]
		p := a.pool(item)
		if p == nil {
			continue
		}
		if c.h.healing.pass(ctx) != nil {
			break
		}
		g.Go(func() error {
			if c.stuck() {
				return nil
			}
			if err := c.h.convertOne(ctx, item, p.ID); err != nil && ctx.Err() == nil {
				c.h.counts.convertFailed.Add(1)
				c.fail(fmt.Errorf("bucket %d key %q: %w", item.Bucket, item.Key, err))
			}
			return nil
		})
	}
	g.Wait()
}

// convertOne converts one body. It is read as a request reads: it stays until that is over (I13), if it was there when it began.
func (h *Healer) convertOne(ctx context.Context, item *Item, to ids.Pool) error {
	ended := h.opt.Reading()
	defer ended()
	ref, err := h.opt.Records.Referenced(ctx, item.Home, item.Extent.Upload)
	switch {
	case err != nil:
		return err
	case ref == Unknown:
		return errUnknown
	case ref != Live:
		return nil
	}
	w, err := h.converter.Reencode(ctx, item.Extent, erasure.Target{
		Pool: to, Bucket: item.Bucket, Object: item.Key, Part: item.Part,
		// Who has lost all rows takes the newest body of a key for the object: this one is as old as its object.
		Upload: ids.NewUpload(h.opt.Clock.Now()), Stamp: item.Version,
	})
	if err != nil {
		return err
	}
	done, err := h.opt.Records.Reencode(ctx, *item, w)
	switch {
	case errors.Is(err, ErrRefused):
		h.opt.Store.DeleteAll(ctx, blobsOf(w.Extent)) // as below
		return err
	case err != nil:
		return err // it may refer to the new blobs: the scrubber asks (I1)
	case !done:
		h.opt.Store.DeleteAll(ctx, blobsOf(w.Extent)) // what cannot be deleted the scrubber finds
		return nil
	}
	h.counts.converted.Add(1)
	h.counts.convertedBytes.Add(item.Extent.Size)
	h.books.converted.add(item.Extent.Size)
	if len(w.Missed) > 0 {
		h.repair.kick()
	}
	h.reclaim.kick()
	return nil
}

func blobsOf(e erasure.Extent) []erasure.BlobRef {
	refs := make([]erasure.BlobRef, e.Blobs())
	for i := range refs {
		refs[i] = e.Blob(i)
	}
	return refs
}

// paceConverting is the pace of healing, and stands still while healing is paused.
func (h *Healer) paceConverting(ctx context.Context, bytes int64, took time.Duration) error {
	if err := h.healing.pass(ctx); err != nil {
		return err
	}
	return h.paceHealing(ctx, bytes, took)
}

// ConvertStatus is what the conversion to other pools does. What is left is the ledger's: Ledger.Convert.
type ConvertStatus struct {
	Running bool
	Bodies  int64 // converted since the start
	Bytes   int64
	Failed  int64   // bodies, each time
	Rate    float64 // bytes a second, of late
	Err     string  // of the last pass
}

func (h *Healer) convertStatus() ConvertStatus {
	active, err := describe(&h.convert)
	return ConvertStatus{
		Running: active && len(h.books.last().Convert) > 0, Err: err, Rate: h.books.converted.rate(),
		Bodies: h.counts.converted.Load(), Bytes: h.counts.convertedBytes.Load(), Failed: h.counts.convertFailed.Load(),
	}
}
