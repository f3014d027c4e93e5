package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/sherd-io/sherd/gateway"
	"github.com/sherd-io/sherd/internal/adminapi"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta"
	"github.com/sherd-io/sherd/meta/keys"
	"github.com/sherd-io/sherd/placement"
	"github.com/sherd-io/sherd/placement/store"
)

// borderText shows a border of ranges to people: BUCKET/KEY, by the bucket's name if it has one yet; empty at either end.
func borderText(m *placement.Map, border []byte) string {
	bucket, ok := keys.BorderBucket(border)
	if !ok {
		return ""
	}
	name := fmt.Sprintf("(%d)", bucket)
	if b := m.BucketByID(bucket); b != nil {
		name = b.Name
	}
	_, key, _, err := keys.ParseRoute(border, nil)
	if err != nil { // the beginning of the bucket
		return name + "/"
	}
	return name + "/" + string(key)
}

// splitRange orders a split (`sherd range split`), and waits until it is made and recorded.
func (a admin) splitRange(ctx context.Context, body json.RawMessage) (any, error) {
	req, err := decode[adminapi.SplitRequest](body)
	if err != nil {
		return nil, err
	}
	n := a.n
	row, at, err := n.splitPlace(ctx, req)
	if err != nil {
		return nil, err
	}
	switch err := n.store.OrderSplit(ctx, row, at); {
	case errors.Is(err, store.ErrConflict):
		return nil, fmt.Errorf("%w: %w", gateway.ErrConflict, err)
	case errors.Is(err, store.ErrInvalid):
		return nil, fmt.Errorf("%w: %w", gateway.ErrBadCall, err)
	case err != nil:
		return nil, err
	}
	n.planner.wake()
	var child *placement.Range
	_, err = n.store.Wait(ctx, func(m *placement.Map) bool {
		child = m.RangeFor(at)
		return child != nil && child.ID != row.ID
	})
	if err != nil {
		return nil, fmt.Errorf("the split of range %d is ordered, and not made yet: %w", row.ID, err)
	}
	for _, r := range n.rangeList(ctx) {
		if r.ID == uint64(child.ID) {
			return r, nil
		}
	}
	return nil, fmt.Errorf("%w: range %d is gone", gateway.ErrConflict, child.ID)
}

// splitPlace is the range that a request means, and where it is to split.
func (n *Node) splitPlace(ctx context.Context, req adminapi.SplitRequest) (*placement.Range, []byte, error) {
	m := n.store.Map()
	if req.Range != 0 {
		row := rangeOf(m, ids.Range(req.Range))
		if row == nil {
			return nil, nil, fmt.Errorf("%w: there is no range %d", gateway.ErrBadCall, req.Range)
		}
		at, err := n.records.Middle(ctx, row.ID)
		if errors.Is(err, meta.ErrNotLeading) {
			err = fmt.Errorf("%w: range %d is led by another node, which knows its middle: ask there, or name a key", gateway.ErrConflict, row.ID)
		}
		return row, at, err
	}
	b := m.Buckets[req.Bucket]
	if b == nil || len(req.Key) > keys.MaxKeyBytes {
		return nil, nil, fmt.Errorf("%w: there is no bucket %q, or the key is too long", gateway.ErrBadCall, req.Bucket)
	}
	at := keys.AppendPrefix(nil, b.ID, "")
	if req.Key != "" {
		at = keys.Route(b.ID, req.Key)
	}
	row := m.RangeFor(at)
	if row == nil {
		return nil, nil, fmt.Errorf("%w: no range has %s/%s", gateway.ErrConflict, req.Bucket, req.Key)
	}
	return row, at, nil
}
