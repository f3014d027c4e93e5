package node

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/sherd-io/sherd/gateway/object"
	"github.com/sherd-io/sherd/meta"
	"github.com/sherd-io/sherd/meta/metapb"
	"github.com/sherd-io/sherd/placement"
)

// TestI11_RulesComeToTheRanges: a change of a bucket's rules is in etcd, and its maker has ended before it told the ranges.
// The next writer does; from then on the ranges refuse what was built with the rules before.
func TestI11_RulesComeToTheRanges(t *testing.T) {
	r := newRig(t, 3, nil)
	n := r.start()
	b := r.bucket()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	write := func(rules int64, key string) error {
		_, err := n.objects.Put(ctx, object.Put{
			Bucket: b.ID, Rules: rules, Pool: 1, Key: key, Size: bodyBytes, Body: bytes.NewReader(body(key)),
		})
		return err
	}
	must(t, write(0, "key0"))
	for range 2 {
		must(t, n.store.ReviseBucket(ctx, b, func(*placement.Bucket) error { return nil }))
	}
	if rules := n.store.Map().Buckets[b.Name].Rules; rules != 2 {
		t.Fatalf("rules have revision %d", rules)
	}
	must(t, write(2, "key1"))
	lagging := &metapb.DeleteVersions{Bucket: uint64(b.ID), Keys: []string{"key0"}}
	for _, rules := range []int64{0, 1, 3} {
		if _, err := n.records.DeleteVersions(ctx, rules, lagging); !errors.Is(err, meta.ErrStaleRules) {
			t.Errorf("a command with rules %d: %v", rules, err)
		}
	}
	must(t, write(0, "key2")) // a gateway that lags reads them again
	r.check(3)
	_, err := n.records.DeleteVersions(ctx, 2, lagging)
	must(t, err)
}

// TestI11_RulesAreThoseOfTheRecord: what a bucket's record says of versioning and lock is what its ranges are told; what is not known
// here is not taken for something else.
func TestI11_RulesAreThoseOfTheRecord(t *testing.T) {
	for _, c := range []struct {
		bucket placement.Bucket
		want   *metapb.Rules // nil: refused
	}{
		{placement.Bucket{Rules: 3}, &metapb.Rules{Revision: 3}},
		{placement.Bucket{Rules: 4, Versioning: placement.VersioningSuspended}, &metapb.Rules{Revision: 4, Versioning: metapb.Versioning_SUSPENDED}},
		{
			placement.Bucket{Rules: 5, Versioning: placement.VersioningEnabled, Lock: &placement.ObjectLock{}},
			&metapb.Rules{Revision: 5, Versioning: metapb.Versioning_ENABLED, Lock: true},
		},
		{
			placement.Bucket{Rules: 6, Versioning: placement.VersioningEnabled, Lock: &placement.ObjectLock{Mode: placement.LockCompliance, Years: 7}},
			&metapb.Rules{Revision: 6, Versioning: metapb.Versioning_ENABLED, Lock: true, DefaultMode: metapb.LockMode_COMPLIANCE, DefaultYears: 7},
		},
		{
			placement.Bucket{Rules: 7, Versioning: placement.VersioningEnabled, Lock: &placement.ObjectLock{Mode: placement.LockGovernance, Days: 30}},
			&metapb.Rules{Revision: 7, Versioning: metapb.Versioning_ENABLED, Lock: true, DefaultMode: metapb.LockMode_GOVERNANCE, DefaultDays: 30},
		},
		{placement.Bucket{Rules: 8, Versioning: "Paused"}, nil},
		{placement.Bucket{Rules: 9, Versioning: placement.VersioningEnabled, Lock: &placement.ObjectLock{Mode: "FOREVER", Days: 1}}, nil},
	} {
		got, err := rulesOf(&c.bucket)
		if (err == nil) != (c.want != nil) || err == nil && got.String() != c.want.String() {
			t.Errorf("%+v: %v, %v; want %v", c.bucket, got, err, c.want)
		}
	}
}
