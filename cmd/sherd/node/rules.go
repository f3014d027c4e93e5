package node

import (
	"context"
	"fmt"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta"
	"github.com/sherd-io/sherd/meta/metapb"
)

// rules reads a bucket's rules from etcd, and gives them to its ranges: one of them holds others, for this process lagged,
// or for who changed them has not come that far (I11). Ranges that have them already do not mind.
func (n *Node) rules(ctx context.Context, bucket ids.Bucket) (revision int64, err error) {
	if err := n.store.Sync(ctx); err != nil {
		return 0, fmt.Errorf("%w: %w", meta.ErrUnavailable, err)
	}
	b := n.store.Map().BucketByID(bucket)
	if b == nil {
		return 0, fmt.Errorf("%w: bucket %d is gone", meta.ErrUnavailable, bucket)
	}
	if b.Rules == 0 {
		return 0, nil
	}
	return b.Rules, n.records.SetRules(ctx, bucket, &metapb.Rules{Revision: b.Rules})
}
