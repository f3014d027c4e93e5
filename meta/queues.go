package meta

import (
	"context"

	"github.com/sherd-io/sherd/internal/hlc"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta/metapb"
	"github.com/sherd-io/sherd/meta/remote/remotepb"
	"github.com/sherd-io/sherd/meta/state"
	"github.com/sherd-io/sherd/placement"
)

// WalkItem is an extent that some row refers to.
type WalkItem = state.WalkItem

// Cursors are opaque: nil is before the first row, and after the last.

// Repairs returns at most max rows of a range's repair queue after a cursor. A page may be empty though next is not nil.
// Errors: ErrUnavailable.
func (n *Node) Repairs(ctx context.Context, id ids.Range, after []byte, max int) (rows []*metapb.Repair, next []byte, err error) {
	q := &remotepb.Repairs{After: after, Max: uint32(max)}
	resp, err := n.ask(ctx, findRange(id), &remotepb.Request{Op: &remotepb.Request_Repairs{Repairs: q}})
	return resp.GetRepairs(), cursor(resp), err
}

// Reclaims returns at most max extents that died before below, after a cursor. A page may be empty though next is not nil.
// Errors: ErrUnavailable.
func (n *Node) Reclaims(ctx context.Context, id ids.Range, below hlc.Stamp, after []byte, max int) (rows []*metapb.Reclaim, next []byte, err error) {
	q := &remotepb.Reclaims{Below: uint64(below), After: after, Max: uint32(max)}
	resp, err := n.ask(ctx, findRange(id), &remotepb.Request{Op: &remotepb.Request_Reclaims{Reclaims: q}})
	return resp.GetReclaims(), cursor(resp), err
}

// Walk returns at most max extents that rows of the range refer to, after a cursor. A page may be empty though next is
// not nil. It does not decide what is garbage: Referenced does. Errors: ErrUnavailable.
func (n *Node) Walk(ctx context.Context, id ids.Range, after []byte, max int) (items []WalkItem, next []byte, err error) {
	q := &remotepb.Walk{After: after, Max: uint32(max)}
	resp, err := n.ask(ctx, findRange(id), &remotepb.Request{Op: &remotepb.Request_Walk{Walk: q}})
	for _, i := range resp.GetItems() {
		items = append(items, WalkItem{Bucket: ids.Bucket(i.GetBucket()), Key: i.GetKey(), Extent: i.GetExtent()})
	}
	return items, cursor(resp), err
}

// cursor is the answer's; none is nil.
func cursor(resp *remotepb.Response) []byte {
	if c := resp.GetCursor(); len(c) > 0 {
		return c
	}
	return nil
}

// Queued is how many repair and reclaim rows a range has. Errors: ErrUnavailable.
func (n *Node) Queued(ctx context.Context, id ids.Range) (repairs, reclaims uint64, err error) {
	resp, err := n.ask(ctx, findRange(id), &remotepb.Request{Op: &remotepb.Request_Queued{Queued: &remotepb.Queued{}}})
	return resp.GetQueuedRepairs(), resp.GetQueuedReclaims(), err
}

// AddRepair queues slots that lack, as the scrubber found them: rows of one range. Errors: ErrUnavailable.
func (n *Node) AddRepair(ctx context.Context, id ids.Range, rows []*metapb.Repair) error {
	return n.runRange(ctx, id, &metapb.Command{Op: &metapb.Command_AddRepair{AddRepair: &metapb.AddRepair{Rows: rows}}})
}

// AckRepair takes rows off the repair queue. Errors: ErrUnavailable.
func (n *Node) AckRepair(ctx context.Context, id ids.Range, rows []*metapb.Repair) error {
	return n.runRange(ctx, id, &metapb.Command{Op: &metapb.Command_AckRepair{AckRepair: &metapb.AckRepair{Rows: rows}}})
}

// AckReclaim takes rows off the reclaim queue: their chunks are deleted. Errors: ErrUnavailable.
func (n *Node) AckReclaim(ctx context.Context, id ids.Range, rows []*metapb.Reclaim) error {
	return n.runRange(ctx, id, &metapb.Command{Op: &metapb.Command_AckReclaim{AckReclaim: &metapb.AckReclaim{Rows: rows}}})
}

// RaiseClosed makes a range refuse commits whose upload id is older than closed (I6). Errors: ErrUnavailable.
func (n *Node) RaiseClosed(ctx context.Context, id ids.Range, closed hlc.Stamp) error {
	return n.runRange(ctx, id, &metapb.Command{Op: &metapb.Command_RaiseClosed{RaiseClosed: &metapb.RaiseClosed{Closed: uint64(closed)}}})
}

// Seal stops, or with off starts again, commands that add data to a bucket, in every range that may hold its keys (I20).
// After an error some ranges may be sealed: the caller unseals. Errors: ErrUnavailable.
func (n *Node) Seal(ctx context.Context, bucket ids.Bucket, off bool) error {
	for _, rng := range n.rangesOf(bucket, "") {
		err := n.runRange(ctx, rng.ID, &metapb.Command{Op: &metapb.Command_Seal{Seal: &metapb.Seal{Bucket: uint64(bucket), Off: off}}})
		if err != nil {
			return err
		}
	}
	return nil
}

// SetRules gives a bucket's rules to every range that may hold its keys; when it returns each refuses what was built with
// older ones (I11). Calling it again, also by others, is harmless.
// Errors: ErrStaleRules if a range has later ones, ErrUnavailable: then some may have them and some not.
func (n *Node) SetRules(ctx context.Context, bucket ids.Bucket, rules *metapb.Rules) error {
	for _, rng := range n.rangesOf(bucket, "") {
		set := &metapb.SetRules{Bucket: uint64(bucket), Rules: rules}
		if err := n.runRange(ctx, rng.ID, &metapb.Command{Op: &metapb.Command_SetRules{SetRules: set}}); err != nil {
			return err
		}
	}
	return nil
}

func (n *Node) runRange(ctx context.Context, id ids.Range, cmd *metapb.Command) error {
	result, err := n.DoRange(ctx, id, cmd)
	if err != nil {
		return err
	}
	return outcomeError(result)
}

// Ranges lists the ranges of the directory, by start.
func (n *Node) Ranges() []*placement.Range { return n.opt.Map().Ranges }
