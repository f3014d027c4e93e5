package remote

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta"
	"github.com/sherd-io/sherd/meta/keys"
	"github.com/sherd-io/sherd/meta/metapb"
	"github.com/sherd-io/sherd/meta/remote/remotepb"
	"github.com/sherd-io/sherd/placement"
)

// TestI20_NothingIsAbsentFromADeletedBucket: of a bucket that was deleted elsewhere, and is in the map that a node still
// has, no node says that something is not there, or was deleted: another bucket may have the name by now. Of one that is
// only sealed, or not even that, it does.
func TestI20_NothingIsAbsentFromADeletedBucket(t *testing.T) {
	away := errors.New("the control store is away")
	var c *cluster
	var now atomic.Pointer[map[string]*placement.Bucket] // committed; nil: nobody can tell
	var syncs atomic.Int32
	known := map[string]*placement.Bucket{"name": {ID: bucket, Name: "name"}}
	hears := func(all map[string]*placement.Bucket) {
		c.mu.Lock()
		defer c.mu.Unlock()
		m := *c.m
		m.Revision++
		m.Buckets = all
		c.m = &m
		close(c.changed)
		c.changed = make(chan struct{})
	}
	c = newCluster(t, clusterConfig{
		nodes: 3, drives: 1, gateways: 1, ranges: [][]byte{keys.Route(bucket, "m")},
		opt: meta.Options{Sync: func(context.Context) error {
			syncs.Add(1)
			all := now.Load()
			if all == nil {
				return away
			}
			hears(*all)
			return nil
		}},
	})
	upload := ids.NewUpload(1)
	target := &metapb.DeleteVersions{Bucket: uint64(bucket), Targets: []*metapb.DeleteTarget{{Key: "a"}, {Key: "z"}}}
	asks := []struct {
		what   string
		absent error
		ask    func(n *meta.Node) error
	}{
		{"get", meta.ErrNoSuchKey, func(n *meta.Node) error {
			_, _, err := n.Get(t.Context(), bucket, "z", meta.GetOptions{})
			return err
		}},
		{"get of a version", meta.ErrNoSuchVersion, func(n *meta.Node) error {
			_, _, err := n.Get(t.Context(), bucket, "a", meta.GetOptions{Version: meta.VersionRef{ID: 7}})
			return err
		}},
		{"list", nil, func(n *meta.Node) error {
			page, err := n.List(t.Context(), meta.ListRequest{Bucket: bucket, Max: 10}, nil)
			return errors.Join(err, unlessNone(page.Count))
		}},
		{"versions", nil, func(n *meta.Node) error {
			page, err := n.ListVersions(t.Context(), meta.ListVersionsRequest{Bucket: bucket, Max: 10}, nil)
			return errors.Join(err, unlessNone(page.Count))
		}},
		{"uploads", nil, func(n *meta.Node) error {
			page, err := n.ListUploads(t.Context(), meta.ListUploadsRequest{Bucket: bucket, Max: 10})
			return errors.Join(err, unlessNone(len(page.Entries)))
		}},
		{"parts", meta.ErrNoSuchUpload, func(n *meta.Node) error {
			_, _, err := n.ListParts(t.Context(), bucket, "a", upload, 0, 10)
			return err
		}},
		{"what a completion left", meta.ErrNoSuchUpload, func(n *meta.Node) error {
			_, err := n.Completed(t.Context(), bucket, "z", upload)
			return err
		}},
		{"abort", meta.ErrNoSuchUpload, func(n *meta.Node) error {
			return n.AbortUpload(t.Context(), &metapb.AbortUpload{Bucket: uint64(bucket), Key: "z", Id: upload[:]})
		}},
		{"delete", nil, func(n *meta.Node) error {
			results, err := n.DeleteVersions(t.Context(), 0, target)
			if err != nil && results != nil { // whoever has a result takes it for an answer
				return fmt.Errorf("results %v", results)
			}
			return err
		}},
		{"delete of keys", nil, func(n *meta.Node) error {
			_, err := n.DeleteVersions(t.Context(), 0, &metapb.DeleteVersions{Bucket: uint64(bucket), Keys: []string{"a"}})
			return err
		}},
	}
	all := func(state string, want func(absent error) error, syncsWanted bool) {
		t.Helper()
		for _, n := range c.nodes {
			for _, a := range asks {
				hears(known)
				before := syncs.Load()
				err := a.ask(n.records)
				if w := want(a.absent); !errors.Is(err, w) || w == nil && err != nil {
					t.Errorf("%s, asked at %s: %s: %v, want %v", state, n.name, a.what, err, w)
				}
				if synced := syncs.Load() > before; synced != syncsWanted {
					t.Errorf("%s, asked at %s: %s: the map was brought up to date: %v", state, n.name, a.what, synced)
				}
			}
		}
	}
	as := func(err error) func(error) error { return func(error) error { return err } }
	absent := func(err error) error { return err }

	all("never sealed", absent, false)
	seal := func(off bool) {
		t.Helper()
		check(t, c.nodes[0].records.Seal(t.Context(), bucket, off))
	}
	seal(false)
	now.Store(&known)
	all("sealed", absent, true)
	now.Store(nil)
	all("nobody can tell", as(meta.ErrUnavailable), true)
	now.Store(&map[string]*placement.Bucket{"name": {ID: bucket + 1, Name: "name"}})
	all("deleted", as(meta.ErrNoSuchBucket), true)
	seal(true)
	all("unsealed", absent, false)
}

// TestSealIsAskedWhereTheAnswerCameFrom: one that finds nothing in one range does not depend on another.
func TestSealIsAskedWhereTheAnswerCameFrom(t *testing.T) {
	var mu sync.Mutex
	asked := map[uint64]int{}
	c := newCluster(t, clusterConfig{
		nodes: 1, drives: 1, gateways: 1, ranges: [][]byte{keys.Route(bucket, "m")},
		wrap: func(_ *testNode, _ string, p meta.Peer) meta.Peer {
			return spy{p, func(req *remotepb.Request) {
				mu.Lock()
				defer mu.Unlock()
				asked[req.Range]++
			}}
		},
	})
	n := c.nodes[1].records
	for what, ask := range map[string]func() error{
		"list": func() error {
			_, err := n.List(t.Context(), meta.ListRequest{Bucket: bucket, Prefix: "z/", Max: 10}, nil)
			return err
		},
		"versions": func() error {
			_, err := n.ListVersions(t.Context(), meta.ListVersionsRequest{Bucket: bucket, Prefix: "z/", Max: 10}, nil)
			return err
		},
		"uploads": func() error {
			_, err := n.ListUploads(t.Context(), meta.ListUploadsRequest{Bucket: bucket, Prefix: "z/", Max: 10})
			return err
		},
		"delete": func() error {
			_, err := n.DeleteVersions(t.Context(), 0, &metapb.DeleteVersions{Bucket: uint64(bucket), Targets: []*metapb.DeleteTarget{{Key: "z"}}})
			return err
		},
	} {
		check(t, ask())
		mu.Lock()
		if asked[1] != 0 || asked[2] < 2 {
			t.Errorf("%s: requests to each range: %v", what, asked)
		}
		clear(asked)
		mu.Unlock()
	}
}

type spy struct {
	meta.Peer
	saw func(*remotepb.Request)
}

func (s spy) Call(ctx context.Context, req *remotepb.Request) (*remotepb.Response, error) {
	s.saw(req)
	return s.Peer.Call(ctx, req)
}

func unlessNone(n int) error {
	if n > 0 {
		return fmt.Errorf("%d entries", n)
	}
	return nil
}
