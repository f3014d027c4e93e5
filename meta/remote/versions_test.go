package remote

import (
	"errors"
	"testing"

	"github.com/sherd-io/sherd/meta"
	"github.com/sherd-io/sherd/meta/metapb"
)

// TestVersionsThroughAnyNode: what leads elsewhere is answered as what leads here.
func TestVersionsThroughAnyNode(t *testing.T) {
	c := newCluster(t, clusterConfig{nodes: 3, drives: 1, gateways: 1})
	gateway := c.nodes[3]
	gateway.put("k", "null")
	check(t, gateway.records.SetRules(c.ctx(), bucket, &metapb.Rules{Revision: 1, Versioning: metapb.Versioning_ENABLED, Lock: true}))
	made, err := gateway.records.PutVersion(c.ctx(), 1, putOf("k", "first"))
	if err != nil || !made.Versioned {
		t.Fatalf("%+v, %v", made, err)
	}
	hold := &metapb.UpdateVersion{Bucket: uint64(bucket), Key: "k", Change: &metapb.UpdateVersion_LegalHold{LegalHold: true}}
	if got, err := gateway.records.UpdateVersion(c.ctx(), 1, hold); err != nil || got != made {
		t.Fatalf("%+v, %v", got, err)
	}
	remove := &metapb.DeleteVersions{Bucket: uint64(bucket), Targets: []*metapb.DeleteTarget{{Key: "k", Version: uint64(made.TS)}, {Key: "k"}}}
	results, err := gateway.records.DeleteVersions(c.ctx(), 1, remove)
	check(t, err)
	if err := meta.DeleteError(results[0]); !errors.Is(err, meta.ErrLocked) || !results[1].GetMarkerMade() {
		t.Fatalf("results are %v", results)
	}
	for _, n := range c.nodes {
		for _, want := range []struct {
			ref  meta.VersionRef
			body string
		}{{meta.VersionRef{Null: true}, "null"}, {meta.VersionRef{ID: made.TS}, "first"}} {
			v, body, err := n.records.Get(c.ctx(), bucket, "k", meta.GetOptions{Inline: true, Version: want.ref})
			if err != nil || string(body) != want.body || v.Versioned == want.ref.Null {
				t.Errorf("%s: %+v is %v with %q, %v", n.name, want.ref, v, body, err)
			}
		}
		if v, _, err := n.records.Get(c.ctx(), bucket, "k", meta.GetOptions{}); err != nil || !v.DeleteMarker {
			t.Errorf("%s: the newest is %v, %v", n.name, v, err)
		}
		if _, _, err := n.records.Get(c.ctx(), bucket, "k", meta.GetOptions{Version: meta.VersionRef{ID: made.TS + 1}}); !errors.Is(err, meta.ErrNoSuchVersion) {
			t.Errorf("%s: a version that is not there: %v", n.name, err)
		}
		for _, marker := range []meta.ListVersionsRequest{{VersionMarker: made.TS}, {NullMarker: true}, {}} {
			req := marker
			req.Bucket, req.Max, req.KeyMarker = bucket, 10, "k"
			want := map[meta.ListVersionsRequest]int{{VersionMarker: made.TS}: 1}[marker]
			page, err := n.records.ListVersions(c.ctx(), req, nil)
			if err != nil || page.Count != want || page.Truncated || want == 1 && page.NextKey != "k" {
				t.Errorf("%s: behind %+v there is %+v, %v", n.name, marker, page, err)
			}
		}
	}
}
