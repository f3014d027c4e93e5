package meta

import (
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/sherd-io/sherd/internal/hlc"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta/keys"
	"github.com/sherd-io/sherd/meta/metapb"
	"github.com/sherd-io/sherd/meta/replica"
	"github.com/sherd-io/sherd/meta/state"
	"github.com/sherd-io/sherd/placement"
)

// GetOptions chooses what Get reads.
type GetOptions struct {
	Inline bool      // the body too, if it lives in the range
	AsOf   hlc.Stamp // not the newest version but the newest that is not newer than this; 0: the newest
}

// read calls fn with a state of the range's rows that has all that was acknowledged before the call. fn may be called
// more than once; only its last call counts.
//
// An error of fn that is not one of the sentinels is taken for the drive's: the read is tried again elsewhere.
func (n *Node) read(ctx context.Context, rng *placement.Range, fn func(pebble.Reader) error) error {
	if rng == nil {
		return fmt.Errorf("%w: no range in the map", ErrUnavailable)
	}
	var refused *replica.Replica
	for {
		lead, err := n.leaderNow(rng.ID, refused)
		if lead == nil {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, n.opt.CommandTimeout)
			defer cancel()
			lead, err = n.leader(ctx, rng.ID, refused)
		}
		if err != nil {
			return fmt.Errorf("%w: range %d: no leader: %w", ErrUnavailable, rng.ID, err)
		}
		err = lead.Read(ctx, fn)
		switch {
		case err == nil, errors.Is(err, ErrNoSuchKey), errors.Is(err, ErrNoSuchUpload):
			return err
		case ctx.Err() != nil:
			return fmt.Errorf("%w: range %d: %w", ErrUnavailable, rng.ID, err)
		case errors.Is(err, replica.ErrNotLeader), errors.Is(err, replica.ErrStopped):
			refused = lead
		default:
			n.opt.Logger.Error("rows of a range cannot be read", "range", uint64(rng.ID), "drive", lead.Host().Drive(), "err", err)
			if pebble.IsCorruptionError(err) { // Pebble tells its listener of tables, but not of separated values
				go n.opt.OnFailed(lead.Host().Drive(), fmt.Errorf("%w: %w", replica.ErrLost, err))
			}
			return fmt.Errorf("%w: range %d: %w", ErrUnavailable, rng.ID, err)
		}
	}
}

// leaderNow returns the leader if one is known.
func (n *Node) leaderNow(rng ids.Range, not *replica.Replica) (*replica.Replica, error) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	if l := n.ranges[rng]; l != nil && l.leader != not {
		return l.leader, nil
	}
	return nil, nil
}

// Get returns the newest version of a key, and its body if asked for and inline. A delete marker is returned as such.
// Errors: ErrNoSuchKey, ErrUnavailable.
func (n *Node) Get(ctx context.Context, bucket ids.Bucket, key string, opt GetOptions) (v *metapb.Version, inline []byte, err error) {
	err = n.read(ctx, n.rangeFor(bucket, key), func(rows pebble.Reader) (err error) {
		v, inline, err = state.Get(rows, bucket, key, opt.AsOf, opt.Inline)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	return v, inline, nil
}

func (n *Node) rangeFor(bucket ids.Bucket, key string) *placement.Range {
	m := n.opt.Map()
	if len(m.Ranges) == 1 { // its span is everything
		return m.Ranges[0]
	}
	return m.RangeFor(keys.Route(bucket, key))
}

func spanOf(r *placement.Range) state.Span { return state.Span{ID: r.ID, Start: r.Start, End: r.End} }

// Extents returns at most max extents of the multipart version ts of key, ascending, from the one that holds byte off.
// None: the version is gone, or off is past its end. Errors: ErrUnavailable.
func (n *Node) Extents(ctx context.Context, bucket ids.Bucket, key string, ts hlc.Stamp, off int64, max int) (all []*metapb.Extent, err error) {
	err = n.read(ctx, n.rangeFor(bucket, key), func(rows pebble.Reader) (err error) {
		all, err = state.Extents(rows, bucket, key, ts, uint64(off), max)
		return err
	})
	return all, err
}

// ListParts returns an unfinished upload and at most max of its parts with numbers after after.
// Errors: ErrNoSuchUpload, ErrUnavailable.
func (n *Node) ListParts(ctx context.Context, bucket ids.Bucket, key string, id ids.Upload, after uint32, max int) (u *metapb.Upload, parts []*metapb.Extent, err error) {
	err = n.readAt(ctx, n.rangeFor(bucket, key), func(rows pebble.Reader) (err error) {
		u, parts, err = state.ListParts(rows, bucket, key, id, after, max)
		return err
	})
	return u, parts, err
}

// Completed returns what a finished upload left, for 7 days (I21). Errors: ErrNoSuchUpload, ErrUnavailable.
func (n *Node) Completed(ctx context.Context, bucket ids.Bucket, key string, id ids.Upload) (u *metapb.Upload, err error) {
	err = n.read(ctx, n.rangeFor(bucket, key), func(rows pebble.Reader) (err error) {
		u, err = state.Completed(rows, bucket, key, id)
		return err
	})
	return u, err
}

// readAt is read for what looks at more than one row and must see one state of all.
func (n *Node) readAt(ctx context.Context, rng *placement.Range, fn func(pebble.Reader) error) error {
	return n.read(ctx, rng, func(rows pebble.Reader) error {
		db, ok := rows.(*pebble.DB)
		if !ok {
			return fn(rows)
		}
		snap := db.NewSnapshot()
		defer snap.Close()
		return fn(snap)
	})
}

// Ref says what refers to a body.
type Ref = state.Ref

// Absent: nothing. Reclaiming: it is dead, but not yet deleted. Live: some version or part is made of it.
const (
	Absent     = state.Absent
	Reclaiming = state.Reclaiming
	Live       = state.Live
)

// Referenced asks the home of a body, (bucket, key), whether anything refers to it (I14, I15). An error means that it
// is not known. Errors: ErrUnavailable.
func (n *Node) Referenced(ctx context.Context, bucket ids.Bucket, key string, upload ids.Upload) (ref Ref, err error) {
	err = n.readAt(ctx, n.rangeFor(bucket, key), func(rows pebble.Reader) (err error) {
		ref, err = state.Referenced(rows, bucket, key, upload)
		return err
	})
	return ref, err
}

// Counters sums a bucket's counters over all ranges. Errors: ErrUnavailable.
func (n *Node) Counters(ctx context.Context, bucket ids.Bucket) (*metapb.Counters, error) {
	sum := &metapb.Counters{}
	for _, rng := range n.opt.Map().Ranges {
		var c *metapb.Counters
		err := n.read(ctx, rng, func(rows pebble.Reader) (err error) {
			c, err = state.CountersOf(rows, rng.ID, bucket)
			return err
		})
		if err != nil {
			return nil, err
		}
		addCounters(sum, c)
	}
	return sum, nil
}

// Usage is the counters of all buckets that have any. Errors: ErrUnavailable.
func (n *Node) Usage(ctx context.Context) (map[ids.Bucket]*metapb.Counters, error) {
	all := map[ids.Bucket]*metapb.Counters{}
	for _, rng := range n.opt.Map().Ranges {
		part := map[ids.Bucket]*metapb.Counters{}
		err := n.readAt(ctx, rng, func(rows pebble.Reader) error {
			clear(part)
			return state.Usage(rows, rng.ID, func(b ids.Bucket, c *metapb.Counters) error {
				part[b] = c
				return nil
			})
		})
		if err != nil {
			return nil, err
		}
		for b, c := range part {
			if all[b] == nil {
				all[b] = &metapb.Counters{}
			}
			addCounters(all[b], c)
		}
	}
	return all, nil
}

func addCounters(to, c *metapb.Counters) {
	to.Objects += c.GetObjects()
	to.Versions += c.GetVersions()
	to.Size += c.GetSize()
	to.Uploads += c.GetUploads()
	to.UploadSize += c.GetUploadSize()
}
