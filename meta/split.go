package meta

import (
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta/metapb"
	"github.com/sherd-io/sherd/meta/replica"
	"github.com/sherd-io/sherd/meta/state"
	"github.com/sherd-io/sherd/placement"
)

// Split makes the split that a range's row orders (placement.Range.Splitting), if the range is led here, and returns nil when it
// is made: then it is to be recorded. Calling it again, also by others, goes on where it stopped, or finds it made. How long it
// takes depends on how many rows are behind the border; the range serves meanwhile.
//
// Errors: ErrNotLeading; ErrUnavailable: it may be made, or be made by a later call.
func (n *Node) Split(ctx context.Context, id ids.Range) error {
	row := rangeOf(n.opt.Map(), id)
	if row == nil || row.Splitting == nil {
		return fmt.Errorf("%w: range %d is not ordered to split", ErrUnavailable, id)
	}
	order := row.Splitting
	made, err := n.hasSplit(ctx, row)
	if made || err != nil {
		return err
	}
	prepare := &metapb.PrepareSplit{At: order.At}
	if err := n.runRange(ctx, id, &metapb.Command{Op: &metapb.Command_PrepareSplit{PrepareSplit: prepare}}); err != nil {
		return err
	}
	split, err := n.countBehind(ctx, row)
	if err != nil {
		return err
	}
	split.Child, split.Generation = uint64(order.Child), order.Generation
	for _, rep := range order.Replicas {
		split.Replicas = append(split.Replicas, uint64(rep.ID))
	}
	if err := n.runRange(ctx, id, &metapb.Command{Op: &metapb.Command_Split{Split: split}}); err != nil {
		return err
	}
	n.noteSplit(order.Child)
	return nil
}

// ErrNotLeading reports a range that is not led by a replica of this process.
var ErrNotLeading = errors.New("meta: range is not led here")

// led is the leader of a range, if it is here.
func (n *Node) led(id ids.Range) (*replica.Replica, error) {
	lead, _ := n.leaderNow(id, nil)
	if lead == nil || !lead.Serving() {
		return nil, fmt.Errorf("%w: range %d", ErrNotLeading, id)
	}
	return lead, nil
}

// hasSplit reports whether the split that row orders is made.
func (n *Node) hasSplit(ctx context.Context, row *placement.Range) (bool, error) {
	lead, err := n.led(row.ID)
	if err != nil {
		return false, err
	}
	if err := lead.Read(ctx, func(pebble.Reader) error { return nil }); err != nil { // it has applied all that was committed
		return false, fmt.Errorf("%w: range %d: %w", ErrUnavailable, row.ID, err)
	}
	if lead.Covers(row.Splitting.At) {
		return false, nil
	}
	n.noteSplit(row.Splitting.Child)
	return true, nil
}

// countBehind counts what the child is to take, in a snapshot of the leader's rows.
func (n *Node) countBehind(ctx context.Context, row *placement.Range) (split *metapb.Split, err error) {
	lead, err := n.led(row.ID)
	if err != nil {
		return nil, err
	}
	ctx, cancel := lead.Host().Within(ctx)
	defer cancel()
	err = lead.Read(ctx, snapshotted(func(rows pebble.Reader) error {
		span, err := lead.ReadSpan(rows)
		if err == nil {
			split, err = state.CountBehind(ctx, rows, span)
		}
		return err
	}))
	if err != nil {
		return nil, fmt.Errorf("%w: range %d: %w", ErrUnavailable, row.ID, err)
	}
	return split, nil
}

func (n *Node) runRange(ctx context.Context, id ids.Range, cmd *metapb.Command) error {
	result, err := n.DoRange(ctx, id, cmd)
	if err != nil {
		return err
	}
	return outcomeError(result)
}
