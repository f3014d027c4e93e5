package meta

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/sherd-io/sherd/internal/hlc"
	"github.com/sherd-io/sherd/meta/keys"
	"github.com/sherd-io/sherd/meta/metapb"
)

// versioned has the bucket keep versions from now on, under revision 1 of its rules.
func (tn *testNode) versioned(lock bool) {
	tn.t.Helper()
	check(tn.t, tn.node.SetRules(tn.ctx(), bucket, &metapb.Rules{Revision: 1, Versioning: metapb.Versioning_ENABLED, Lock: lock}))
}

// delete deletes targets with the rules of versioned.
func (tn *testNode) delete(targets ...*metapb.DeleteTarget) []*metapb.DeleteResult {
	tn.t.Helper()
	results, err := tn.node.DeleteVersions(tn.ctx(), 1, &metapb.DeleteVersions{Bucket: uint64(bucket), Targets: targets})
	check(tn.t, err)
	return results
}

// versionsFrom lists all pages of at most max entries.
func (tn *testNode) versionsFrom(req ListVersionsRequest) (lines []string) {
	tn.t.Helper()
	req.Bucket = bucket
	for {
		page, err := tn.node.ListVersions(tn.ctx(), req, []byte("kept"))
		check(tn.t, err)
		if string(page.Entries[:4]) != "kept" {
			tn.t.Fatal("the caller's bytes are not kept")
		}
		n := 0
		var e Entry
		for rest, ok := NextEntry(page.Entries[4:], &e); ok && n < page.Count; rest, ok = NextEntry(rest, &e) {
			n++
			lines = append(lines, fmt.Sprintf("%s %d latest=%v marker=%v versioned=%v %s", e.Key, e.TS, e.Latest, e.Marker, e.Versioned, e.StorageClass()))
		}
		if !page.Truncated {
			return lines
		}
		req.KeyMarker, req.VersionMarker = page.NextKey, page.NextVersion
	}
}

// TestVersionsAcrossRanges: listings of versions go on across the borders of ranges, whatever the size of their pages; targets of
// several ranges have their own results, in their order.
func TestVersionsAcrossRanges(t *testing.T) {
	tn := newNode(t, nodeConfig{drives: 3, seed: 3})
	tn.put("90", "null")
	tn.versioned(false)
	var want []string
	for _, key := range []string{"10", "50", "90"} {
		var all []string
		for i := range 3 {
			p := putOf(key, fmt.Sprint(i))
			p.Version.Details.StorageClass = []string{"", "GLACIER_IR", "OF-OURS"}[i]
			made, err := tn.node.PutVersion(tn.ctx(), 1, p)
			check(t, err)
			class := []string{"STANDARD", "GLACIER_IR", "OF-OURS"}[i]
			all = append(all, fmt.Sprintf("%s %d latest=%v marker=false versioned=true %s", key, made.TS, i == 2, class))
		}
		slices.Reverse(all)
		want = append(want, all...)
	}
	v, body, err := tn.node.Get(tn.ctx(), bucket, "90", GetOptions{Inline: true, Version: VersionRef{Null: true}})
	if err != nil || string(body) != "null" || v.Versioned {
		t.Fatalf("the null version: %v, %q, %v", v, body, err)
	}
	want = append(want, fmt.Sprintf("90 %d latest=false marker=false versioned=false STANDARD", v.Ts))
	tn.order(1, keys.Route(bucket, "50"))
	tn.makeSplit(1)
	for _, max := range []int{1, 2, 3, 4, 1000} {
		if got := tn.versionsFrom(ListVersionsRequest{Max: max}); !slices.Equal(got, want) {
			t.Errorf("pages of %d: %q, want %q", max, got, want)
		}
	}
	results := tn.delete(
		&metapb.DeleteTarget{Key: "90", Null: true}, &metapb.DeleteTarget{Key: "10"}, &metapb.DeleteTarget{Key: "absent", Version: 5},
		&metapb.DeleteTarget{Key: "50", Condition: &metapb.Condition{IfMatch: "x"}},
	)
	if results[0].Version != v.Ts || results[0].Versioned || !results[1].MarkerMade || !results[1].Versioned || results[2].Version != 0 {
		t.Errorf("results are %v", results)
	}
	if err := DeleteError(results[3]); !errors.Is(err, ErrPrecondition) {
		t.Errorf("a target whose condition does not hold: %v", err)
	}
	if got := tn.versionsFrom(ListVersionsRequest{Max: 1}); len(got) != len(want) || got[0] != fmt.Sprintf("10 %d latest=true marker=true versioned=true STANDARD", results[1].Version) {
		t.Errorf("after the deletions: %q", got)
	}
	if c, err := tn.node.Counters(tn.ctx(), bucket); err != nil || c.Objects != 2 || c.Versions != int64(len(want)) {
		t.Errorf("counters are %v, %v", c, err)
	}
}

// TestLocksThroughTheNode: what is locked is refused with ErrLocked, whoever asks and however, unless it is governance and he may
// bypass it.
func TestLocksThroughTheNode(t *testing.T) {
	tn := newNode(t, nodeConfig{drives: 3, seed: 4})
	tn.versioned(true)
	p := putOf("k", "x")
	p.Version.Details.Lock = &metapb.Lock{Mode: metapb.LockMode_GOVERNANCE, Until: 1 << 42}
	made, err := tn.node.PutVersion(tn.ctx(), 1, p)
	check(t, err)
	target := &metapb.DeleteTarget{Key: "k", Version: uint64(made.TS)}
	if err := DeleteError(tn.delete(target)[0]); !errors.Is(err, ErrLocked) {
		t.Fatalf("a locked version: %v", err)
	}
	update := &metapb.UpdateVersion{Bucket: uint64(bucket), Key: "k", Version: uint64(made.TS)}
	update.Change = &metapb.UpdateVersion_Retention{Retention: &metapb.Retention{}}
	if _, err := tn.node.UpdateVersion(tn.ctx(), 1, update); !errors.Is(err, ErrLocked) {
		t.Fatalf("its retention taken off: %v", err)
	}
	update.Version++
	if _, err := tn.node.UpdateVersion(tn.ctx(), 1, update); !errors.Is(err, ErrNoSuchVersion) {
		t.Fatalf("of a version that is not there: %v", err)
	}
	update.Version, update.Change = 0, &metapb.UpdateVersion_Tags{Tags: "a=b"}
	update.Expect = &metapb.Expect{Ts: uint64(made.TS)}
	if again, err := tn.node.UpdateVersion(tn.ctx(), 1, update); err != nil || again != made {
		t.Fatalf("tags: %+v, %v", again, err)
	}
	if _, err := tn.node.UpdateVersion(tn.ctx(), 1, update); !errors.Is(err, ErrPrecondition) {
		t.Fatalf("what was changed since it was read: %v", err)
	}
	v, _, err := tn.node.Get(tn.ctx(), bucket, "k", GetOptions{})
	if err != nil || v.Details.Tags != "a=b" || hlc.Stamp(v.Ts) != made.TS || v.Details.Changed == 0 {
		t.Fatalf("it is %v, %v", v, err)
	}
	if target.BypassGovernance = true; DeleteError(tn.delete(target)[0]) != nil {
		t.Fatal("who may bypass governance is refused")
	}
}

// TestOlderNodesAreAskedForNoVersions: while a node of the cluster is older, nothing is said to a range that it would misunderstand.
func TestOlderNodesAreAskedForNoVersions(t *testing.T) {
	tn := newNode(t, nodeConfig{drives: 3, seed: 5, opt: Options{Level: func() int { return 2 }}})
	tn.put("k", "x")
	ctx, rules := tn.ctx(), &metapb.Rules{Revision: 1, Versioning: metapb.Versioning_ENABLED}
	_, listed := tn.node.ListVersions(ctx, ListVersionsRequest{Bucket: bucket, Max: 1}, nil)
	_, updated := tn.node.UpdateVersion(ctx, 0, &metapb.UpdateVersion{Bucket: uint64(bucket), Key: "k", Change: &metapb.UpdateVersion_Tags{}})
	_, deleted := tn.node.DeleteVersions(ctx, 0, &metapb.DeleteVersions{Bucket: uint64(bucket), Targets: []*metapb.DeleteTarget{{Key: "k", Null: true}}})
	for what, err := range map[string]error{"list": listed, "update": updated, "delete": deleted, "rules": tn.node.SetRules(ctx, bucket, rules)} {
		if !errors.Is(err, ErrUnavailable) {
			t.Errorf("%s: %v", what, err)
		}
	}
	check(t, tn.node.SetRules(ctx, bucket, &metapb.Rules{Revision: 1}))
	for _, targets := range [][]*metapb.DeleteTarget{
		{{Key: "k"}, {Key: "gone"}},
		{{Key: "k", Condition: &metapb.Condition{IfMatch: "*"}}, {Key: "gone", Condition: &metapb.Condition{IfMatch: "*"}}},
	} {
		results, err := tn.node.DeleteVersions(ctx, 1, &metapb.DeleteVersions{Bucket: uint64(bucket), Targets: targets})
		if err != nil || len(results) != 2 || DeleteError(results[0]) != nil {
			t.Fatalf("what names no version: %v, %v", results, err)
		}
		if _, _, err := tn.node.Get(ctx, bucket, "k", GetOptions{}); !errors.Is(err, ErrNoSuchKey) {
			t.Fatalf("after the deletion: %v", err)
		}
		put := &metapb.PutVersion{Bucket: uint64(bucket), Key: "k", Version: &metapb.Version{Md5: make([]byte, 16)}}
		if _, err := tn.node.PutVersion(ctx, 1, put); err != nil {
			t.Fatal(err)
		}
	}
}
