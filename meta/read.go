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
	"github.com/sherd-io/sherd/meta/remote/remotepb"
	"github.com/sherd-io/sherd/meta/replica"
	"github.com/sherd-io/sherd/meta/state"
	"github.com/sherd-io/sherd/placement"
)

// What Get reads is package state's to say.
type (
	GetOptions = state.GetOptions
	VersionRef = state.VersionRef
)

// readKey calls fn with a state of the rows of (bucket, key) that has all that was acknowledged before the call, if its range
// is led here. fn may be called more than once; only its last call counts.
//
// fn is told the range whose rows they are. An error of fn that is not one of the sentinels is taken for the drive's. Errors: ErrNoSuchKey, ErrNoSuchUpload,
// ErrUnavailable; errElsewhere: the range is not led by this process, or has split, and ask is to be used.
func (n *Node) readKey(ctx context.Context, bucket ids.Bucket, key string, fn func(ids.Range, pebble.Reader) error) error {
	rng := n.rangeFor(bucket, key)
	if rng == nil {
		return fmt.Errorf("%w: no range in the map", ErrUnavailable)
	}
	var refused *replica.Replica
	for damaged := 0; ; {
		lead, err := n.leaderNow(rng.ID, refused)
		if lead == nil && !n.allHere(rng) {
			return errElsewhere
		}
		if lead == nil {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, n.opt.CommandTimeout)
			defer cancel()
			lead, err = n.leader(ctx, rng.ID, refused)
		}
		if err != nil {
			return fmt.Errorf("%w: range %d: no leader: %w", ErrUnavailable, rng.ID, err)
		}
		err = lead.Read(ctx, func(rows pebble.Reader) error { return fn(lead.Range(), rows) })
		switch {
		case err == nil, errors.Is(err, ErrNoSuchKey), errors.Is(err, ErrNoSuchUpload):
			if !covers(lead, bucket, key) {
				return errElsewhere
			}
			return err
		case ctx.Err() != nil:
			return fmt.Errorf("%w: range %d: %w", ErrUnavailable, rng.ID, err)
		case errors.Is(err, replica.ErrNotLeader), errors.Is(err, replica.ErrStopped):
			refused = lead
		default:
			if n.noteUnreadable(lead, err) && damaged < damagedMax {
				damaged++ // its drive loses its replicas, and another one leads
				refused = lead
				continue
			}
			return fmt.Errorf("%w: range %d: %w", ErrUnavailable, rng.ID, err)
		}
	}
}

// damagedMax is how many replicas with damaged rows a read passes over.
const damagedMax = 2

// covers is lead.Covers of a key's route, asked after its rows were read (I15, I20).
func covers(lead *replica.Replica, bucket ids.Bucket, key string) bool {
	if span := lead.Span(); len(span.Start) == 0 && len(span.End) == 0 {
		return true
	}
	return lead.Covers(keys.Route(bucket, key))
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

// Get returns a version of a key, the newest unless opt says which, and its body if asked for and inline. A delete marker is
// returned as such. Errors: ErrNoSuchKey, ErrNoSuchVersion, ErrNoSuchBucket, ErrUnavailable.
func (n *Node) Get(ctx context.Context, bucket ids.Bucket, key string, opt GetOptions) (v *metapb.Version, inline []byte, err error) {
	sealed := false
	err = n.readKey(ctx, bucket, key, func(rng ids.Range, rows pebble.Reader) (err error) {
		v, inline, sealed, err = getRow(rows, rng, bucket, key, opt)
		return err
	})
	if err == errElsewhere { //nolint:errorlint // it is never wrapped
		return n.getElsewhere(ctx, bucket, key, opt)
	}
	if sealed {
		err = n.unlessDeleted(ctx, bucket, err)
	}
	if err != nil {
		return nil, nil, err
	}
	return v, inline, nil
}

// getRow is state.Get, and whether the range has the bucket sealed where nothing was found. The seal is read after the key: what is written
// to a bucket was written before it was sealed.
func getRow(rows pebble.Reader, rng ids.Range, bucket ids.Bucket, key string, opt GetOptions) (v *metapb.Version, inline []byte, sealed bool, err error) {
	v, inline, err = state.Get(rows, bucket, key, opt)
	if !errors.Is(err, ErrNoSuchKey) {
		return v, inline, false, err
	}
	sealed, failed := state.Sealed(rows, rng, bucket)
	if failed != nil {
		return nil, nil, false, failed
	}
	return nil, nil, sealed, err
}

func (n *Node) getElsewhere(ctx context.Context, bucket ids.Bucket, key string, opt GetOptions) (*metapb.Version, []byte, error) {
	if opt.Version != (VersionRef{}) {
		if err := n.knowsVersions(); err != nil {
			return nil, nil, err
		}
	}
	get := &remotepb.Get{
		Bucket: uint64(bucket), Key: key, AsOf: uint64(opt.AsOf), Inline: opt.Inline, Version: uint64(opt.Version.ID), Null: opt.Version.Null,
	}
	resp, err := n.ask(ctx, findKey(bucket, key), &remotepb.Request{Op: &remotepb.Request_Get{Get: get}})
	if resp.GetSealed() {
		return nil, nil, n.unlessDeleted(ctx, bucket, err)
	}
	if err != nil {
		return nil, nil, err
	}
	if resp.HasInline && resp.Inline == nil {
		resp.Inline = []byte{} // an empty body is not none
	}
	return resp.Version, resp.Inline, nil
}

func (n *Node) rangeFor(bucket ids.Bucket, key string) *placement.Range {
	m := n.view()
	if len(m.Ranges) == 1 { // its span is everything
		return m.Ranges[0]
	}
	return m.RangeFor(keys.Route(bucket, key))
}

// Extents returns at most max extents of the multipart version ts of key, ascending, from the one that holds byte off.
// None: the version is gone, or off is past its end. Errors: ErrUnavailable.
func (n *Node) Extents(ctx context.Context, bucket ids.Bucket, key string, ts hlc.Stamp, off int64, max int) (all []*metapb.Extent, err error) {
	err = n.readKey(ctx, bucket, key, func(_ ids.Range, rows pebble.Reader) (err error) {
		all, err = state.Extents(rows, bucket, key, ts, uint64(off), max)
		return err
	})
	if err != errElsewhere { //nolint:errorlint // it is never wrapped
		return all, err
	}
	q := &remotepb.Extents{Bucket: uint64(bucket), Key: key, Ts: uint64(ts), Offset: uint64(off), Max: uint32(max)}
	resp, err := n.ask(ctx, findKey(bucket, key), &remotepb.Request{Op: &remotepb.Request_Extents{Extents: q}})
	return resp.GetExtents(), err
}

// ListParts returns an unfinished upload and at most max of its parts with numbers after after.
// Errors: ErrNoSuchUpload, ErrNoSuchBucket, ErrUnavailable.
func (n *Node) ListParts(ctx context.Context, bucket ids.Bucket, key string, id ids.Upload, after uint32, max int) (*metapb.Upload, []*metapb.Extent, error) {
	q := &remotepb.ListParts{Bucket: uint64(bucket), Key: key, Upload: id[:], After: after, Max: uint32(max)}
	resp, err := n.ask(ctx, findKey(bucket, key), &remotepb.Request{Op: &remotepb.Request_ListParts{ListParts: q}})
	if errors.Is(err, ErrNoSuchUpload) {
		err = n.absent(ctx, bucket, key, err)
	}
	return resp.GetUpload(), resp.GetExtents(), err
}

// Completed returns what a finished upload left, for 7 days (I21). Errors: ErrNoSuchUpload, ErrNoSuchBucket, ErrUnavailable.
func (n *Node) Completed(ctx context.Context, bucket ids.Bucket, key string, id ids.Upload) (*metapb.Upload, error) {
	q := &remotepb.Completed{Bucket: uint64(bucket), Key: key, Upload: id[:]}
	resp, err := n.ask(ctx, findKey(bucket, key), &remotepb.Request{Op: &remotepb.Request_Completed{Completed: q}})
	if errors.Is(err, ErrNoSuchUpload) {
		err = n.absent(ctx, bucket, key, err)
	}
	return resp.GetUpload(), err
}

// snapshotted has fn see one state of all rows.
func snapshotted(fn func(pebble.Reader) error) func(pebble.Reader) error {
	return func(rows pebble.Reader) error {
		db, ok := rows.(*pebble.DB)
		if !ok {
			return fn(rows)
		}
		snap := db.NewSnapshot()
		defer snap.Close()
		return fn(snap)
	}
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
func (n *Node) Referenced(ctx context.Context, bucket ids.Bucket, key string, upload ids.Upload) (Ref, error) {
	q := &remotepb.Referenced{Bucket: uint64(bucket), Key: key, Upload: upload[:]}
	resp, err := n.ask(ctx, findKey(bucket, key), &remotepb.Request{Op: &remotepb.Request_Referenced{Referenced: q}})
	return Ref(resp.GetRef()), err
}

// Counters sums a bucket's counters over all ranges. Errors: ErrUnavailable.
func (n *Node) Counters(ctx context.Context, bucket ids.Bucket) (*metapb.Counters, error) {
	sum := &metapb.Counters{}
	q := &remotepb.Request_Counters{Counters: &remotepb.CountersOf{Bucket: uint64(bucket)}}
	err := n.sweep(ctx, bucketSpan(bucket), func() *remotepb.Request { return &remotepb.Request{Op: q} }, func(resp *remotepb.Response) bool {
		addCounters(sum, resp.GetCounters())
		return true
	})
	if err != nil {
		return nil, err
	}
	return sum, nil
}

// Usage is the counters of all buckets that have any. Errors: ErrUnavailable.
func (n *Node) Usage(ctx context.Context) (map[ids.Bucket]*metapb.Counters, error) {
	all := map[ids.Bucket]*metapb.Counters{}
	q := &remotepb.Request_Usage{Usage: &remotepb.Usage{}}
	err := n.sweep(ctx, state.KeyRange{}, func() *remotepb.Request { return &remotepb.Request{Op: q} }, func(resp *remotepb.Response) bool {
		for _, u := range resp.GetUsage() {
			b := ids.Bucket(u.GetBucket())
			if all[b] == nil {
				all[b] = &metapb.Counters{}
			}
			addCounters(all[b], u.GetCounters())
		}
		return true
	})
	if err != nil {
		return nil, err
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
