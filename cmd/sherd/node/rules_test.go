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
		if err := n.records.DeleteVersions(ctx, rules, lagging); !errors.Is(err, meta.ErrStaleRules) {
			t.Errorf("a command with rules %d: %v", rules, err)
		}
	}
	must(t, write(0, "key2")) // a gateway that lags reads them again
	r.check(3)
	must(t, n.records.DeleteVersions(ctx, 2, lagging))
}
