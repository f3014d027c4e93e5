package node

import (
	"context"
	"fmt"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta"
	"github.com/sherd-io/sherd/meta/metapb"
	"github.com/sherd-io/sherd/placement"
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
	rules, err := rulesOf(b)
	if err != nil {
		return 0, err
	}
	return b.Rules, n.records.SetRules(ctx, bucket, rules)
}

// rulesOf is what ranges are told of a bucket's record. A record that says what is not known here is not guessed at.
func rulesOf(b *placement.Bucket) (*metapb.Rules, error) {
	rules := &metapb.Rules{Revision: b.Rules}
	switch b.Versioning {
	case "":
	case placement.VersioningEnabled:
		rules.Versioning = metapb.Versioning_ENABLED
	case placement.VersioningSuspended:
		rules.Versioning = metapb.Versioning_SUSPENDED
	default:
		return nil, fmt.Errorf("%w: bucket %s has versioning %q", meta.ErrUnavailable, b.Name, b.Versioning)
	}
	if b.Lock == nil {
		return rules, nil
	}
	rules.Lock, rules.DefaultDays, rules.DefaultYears = true, uint32(b.Lock.Days), uint32(b.Lock.Years)
	switch b.Lock.Mode {
	case "":
	case placement.LockGovernance:
		rules.DefaultMode = metapb.LockMode_GOVERNANCE
	case placement.LockCompliance:
		rules.DefaultMode = metapb.LockMode_COMPLIANCE
	default:
		return nil, fmt.Errorf("%w: bucket %s has lock mode %q", meta.ErrUnavailable, b.Name, b.Lock.Mode)
	}
	return rules, nil
}
