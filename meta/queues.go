package meta

import (
	"context"
	"slices"

	"github.com/sherd-io/sherd/internal/hlc"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta/keys"
	"github.com/sherd-io/sherd/meta/metapb"
	"github.com/sherd-io/sherd/meta/remote/remotepb"
	"github.com/sherd-io/sherd/meta/state"
	"github.com/sherd-io/sherd/placement"
)

// WalkItem is an extent that some row refers to.
type WalkItem = state.WalkItem

// Repairs and Walk go through the rows of a range as the caller's map has it: those of the whole span, also of ranges that it splits
// into meanwhile, each once. Cursors, here and of Reclaims, are opaque: nil is before the first row, and after the last.

// Repairs returns at most max rows of the repair queue in a range's span, after a cursor. A page may be empty though next is
// not nil. Errors: ErrUnavailable.
func (n *Node) Repairs(ctx context.Context, r *placement.Range, after []byte, max int) (rows []*metapb.Repair, next []byte, err error) {
	resp, next, err := n.page(ctx, r, []keys.Table{keys.Repairs}, after, func(after []byte) *remotepb.Request {
		q := &remotepb.Repairs{After: after, Max: uint32(max)}
		return &remotepb.Request{Op: &remotepb.Request_Repairs{Repairs: q}}
	})
	return resp.GetRepairs(), next, err
}

// Reclaims returns at most max extents of the range of that id that died before below, one of its stamps, after a cursor. What it has
// given to a child since is left out: the child has stamps of its own, of which below says nothing (I13). A page may be empty though
// next is not nil. Errors: ErrUnavailable.
func (n *Node) Reclaims(ctx context.Context, id ids.Range, below hlc.Stamp, after []byte, max int) (rows []*metapb.Reclaim, next []byte, err error) {
	q := &remotepb.Reclaims{Below: uint64(below), After: after, Max: uint32(max)}
	resp, err := n.ask(ctx, findRange(id), &remotepb.Request{Op: &remotepb.Request_Reclaims{Reclaims: q}})
	return resp.GetReclaims(), resp.GetCursor(), err
}

// Walk returns at most max extents that rows in a range's span refer to, after a cursor. A page may be empty though next is
// not nil. It does not decide what is garbage: Referenced does. Errors: ErrUnavailable.
func (n *Node) Walk(ctx context.Context, r *placement.Range, after []byte, max int) (items []WalkItem, next []byte, err error) {
	resp, next, err := n.page(ctx, r, state.Walked(), after, func(after []byte) *remotepb.Request {
		q := &remotepb.Walk{After: after, Max: uint32(max)}
		return &remotepb.Request{Op: &remotepb.Request_Walk{Walk: q}}
	})
	for _, i := range resp.GetItems() {
		items = append(items, WalkItem{
			Bucket: ids.Bucket(i.GetBucket()), Key: i.GetKey(), Extent: i.GetExtent(), TS: hlc.Stamp(i.GetTs()), StorageClass: i.GetStorageClass(),
		})
	}
	return items, next, err
}

// wholePage is how many extents a page of WalkWhole has at most: more than any object does, and with the longest keys less than a message may
// have.
const wholePage = 10_001

// WalkWhole is Walk with pages that end between two objects. A revision brings an object's rows under another stamp, in one step: a page that
// ended among them could be followed by one that has none of the rest. So whatever is in r's span from the first call to the last, and may
// not come to be meanwhile, is met. Errors: ErrUnavailable.
func (n *Node) WalkWhole(ctx context.Context, r *placement.Range, after []byte) (items []WalkItem, next []byte, err error) {
	return n.walkWhole(ctx, r, after, wholePage)
}

// walkWhole is WalkWhole with pages of max; no object may have as many extents.
func (n *Node) walkWhole(ctx context.Context, r *placement.Range, after []byte, max int) (items []WalkItem, next []byte, err error) {
	items, next, err = n.Walk(ctx, r, after, max)
	if err != nil || len(next) == 0 || keys.Table(next[0]) != keys.Extents {
		return items, next, err
	}
	if row, bad := keys.ParseRow(next); bad == nil && len(items) > 0 && (items[0].Bucket != row.Bucket || items[0].Key != row.Key) {
		next = keys.AppendTable(nil, keys.Extents, row.Bucket, row.Key) // all of it again
	}
	return items, next, nil
}

// page asks for what comes after a cursor: the key of the row that was read last, or the place in a table where to go on. Each
// table is read over all of r's span before the next, so that no row is met twice, whatever splits.
func (n *Node) page(ctx context.Context, r *placement.Range, tables []keys.Table, after []byte, req func(after []byte) *remotepb.Request) (*remotepb.Response, []byte, error) {
	if len(after) == 0 {
		after = append([]byte{byte(tables[0])}, r.Start...)
	}
	resp, err := n.ask(ctx, findPlace(after[1:]), req(after))
	if err != nil {
		return nil, nil, err
	}
	if next := resp.GetCursor(); len(next) > 0 {
		return resp, next, nil
	}
	if !ends(resp.GetEnd(), state.KeyRange{End: r.End}) {
		return resp, append([]byte{after[0]}, resp.GetEnd()...), nil
	}
	if i := slices.Index(tables, keys.Table(after[0])); i >= 0 && i+1 < len(tables) {
		return resp, append([]byte{byte(tables[i+1])}, r.Start...), nil
	}
	return resp, nil, nil
}

// Last is a range's last stamp: what it commits from now on has a greater one (I18). Errors: ErrUnavailable.
func (n *Node) Last(ctx context.Context, id ids.Range) (hlc.Stamp, error) {
	resp, err := n.ask(ctx, findRange(id), &remotepb.Request{Op: &remotepb.Request_Queued{Queued: &remotepb.Queued{}}})
	return hlc.Stamp(resp.GetLast()), err
}

// Queued is how many repair and reclaim rows there are in a range's span. Errors: ErrUnavailable.
func (n *Node) Queued(ctx context.Context, r *placement.Range) (repairs, reclaims uint64, err error) {
	q := &remotepb.Request_Queued{Queued: &remotepb.Queued{}}
	err = n.sweep(ctx, state.KeyRange{Start: r.Start, End: r.End}, func() *remotepb.Request { return &remotepb.Request{Op: q} }, func(resp *remotepb.Response) bool {
		repairs, reclaims = repairs+resp.GetQueuedRepairs(), reclaims+resp.GetQueuedReclaims()
		return true
	})
	return repairs, reclaims, err
}

// AddRepair queues slots that lack, as the scrubber found them. Errors: ErrUnavailable.
func (n *Node) AddRepair(ctx context.Context, rows []*metapb.Repair) error {
	return byRange(ctx, n, rows, repairRoute, func(part []*metapb.Repair) *metapb.Command {
		return &metapb.Command{Op: &metapb.Command_AddRepair{AddRepair: &metapb.AddRepair{Rows: part}}}
	}, nil)
}

// AckRepair takes rows off the repair queue. Errors: ErrUnavailable.
func (n *Node) AckRepair(ctx context.Context, rows []*metapb.Repair) error {
	return byRange(ctx, n, rows, repairRoute, func(part []*metapb.Repair) *metapb.Command {
		return &metapb.Command{Op: &metapb.Command_AckRepair{AckRepair: &metapb.AckRepair{Rows: part}}}
	}, nil)
}

// AckReclaim takes rows off the reclaim queue: their chunks are deleted. Errors: ErrUnavailable.
func (n *Node) AckReclaim(ctx context.Context, rows []*metapb.Reclaim) error {
	return byRange(ctx, n, rows, reclaimRoute, func(part []*metapb.Reclaim) *metapb.Command {
		return &metapb.Command{Op: &metapb.Command_AckReclaim{AckReclaim: &metapb.AckReclaim{Rows: part}}}
	}, nil)
}

func repairRoute(r *metapb.Repair) []byte { return keys.Route(ids.Bucket(r.Bucket), r.Key) }

func reclaimRoute(r *metapb.Reclaim) []byte { return keys.Route(ids.Bucket(r.Bucket), r.Key) }

// RaiseClosed makes all ranges of a range's span refuse commits whose upload id is older than closed (I6).
// Errors: ErrUnavailable.
func (n *Node) RaiseClosed(ctx context.Context, r *placement.Range, closed hlc.Stamp) error {
	raise := &metapb.RaiseClosed{Closed: uint64(closed)}
	return n.command(ctx, state.KeyRange{Start: r.Start, End: r.End}, &metapb.Command{Op: &metapb.Command_RaiseClosed{RaiseClosed: raise}})
}

// Seal stops, or with off starts again, commands that add data to a bucket, in every range that may hold its keys (I20). A
// range that splits gives its child the seal.
// After an error some ranges may be sealed: the caller unseals. Errors: ErrUnavailable.
func (n *Node) Seal(ctx context.Context, bucket ids.Bucket, off bool) error {
	seal := &metapb.Seal{Bucket: uint64(bucket), Off: off}
	return n.command(ctx, bucketSpan(bucket), &metapb.Command{Op: &metapb.Command_Seal{Seal: seal}})
}

// SetRules gives a bucket's rules to every range that may hold its keys; when it returns each refuses what was built with
// older ones (I11). Calling it again, also by others, is harmless.
// Errors: ErrStaleRules if a range has later ones, ErrUnavailable: then some may have them and some not.
func (n *Node) SetRules(ctx context.Context, bucket ids.Bucket, rules *metapb.Rules) error {
	if rules.GetVersioning() != metapb.Versioning_NEVER {
		if err := n.knowsVersions(); err != nil {
			return err
		}
	}
	set := &metapb.SetRules{Bucket: uint64(bucket), Rules: rules}
	return n.command(ctx, bucketSpan(bucket), &metapb.Command{Op: &metapb.Command_SetRules{SetRules: set}})
}

// ClosePool has every range refuse bodies in a pool from now on, or with off take them again: what is committed after it returns is in
// none that is about to be removed. A range that splits tells its child. After an error some ranges may have it closed. Errors: ErrUnavailable.
func (n *Node) ClosePool(ctx context.Context, pool ids.Pool, off bool) error {
	c := &metapb.ClosePool{Pool: uint32(pool), Off: off}
	return n.command(ctx, state.KeyRange{}, &metapb.Command{Op: &metapb.Command_ClosePool{ClosePool: c}})
}

// Ranges lists the ranges of the directory, by start.
func (n *Node) Ranges() []*placement.Range { return n.view().Ranges }
