package store

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sherd-io/sherd/internal/trust"
	"github.com/sherd-io/sherd/placement"
)

// I24: a token lets one node in, once, before it expires; the node is in the map then.
func TestI24_TokensAreUsedOnce(t *testing.T) {
	te := newEtcd(t)
	s, _ := bootstrapped(t, te)
	ctx := testContext(t)
	token, old := trust.NewToken(trust.Hash{1}), trust.NewToken(trust.Hash{1})
	if err := s.PutToken(ctx, token.Record(time.Now().Add(time.Hour))); err != nil {
		t.Fatal(err)
	}
	if err := s.PutToken(ctx, old.Record(time.Now().Add(-time.Second))); err != nil {
		t.Fatal(err)
	}
	if err := s.RedeemToken(ctx, trust.NewToken(trust.Hash{1}), "n7"); !errors.Is(err, trust.ErrToken) {
		t.Errorf("one never given: %v", err)
	}
	if err := s.RedeemToken(ctx, old, "n7"); !errors.Is(err, trust.ErrToken) {
		t.Errorf("one that has expired: %v", err)
	}
	if err := s.RedeemToken(ctx, token, "No Name"); !errors.Is(err, ErrInvalid) {
		t.Errorf("for no name: %v", err)
	}
	var let atomic.Int32
	var all sync.WaitGroup
	for _, node := range []string{"n7", "n8", "n9"} {
		all.Go(func() {
			if err := s.RedeemToken(ctx, token, node); err == nil {
				let.Add(1)
				if s.Map().Nodes[node] == nil {
					t.Errorf("%s is let in and not in the map", node)
				}
			} else if !errors.Is(err, trust.ErrToken) {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if let.Load() != 1 {
		t.Errorf("%d nodes were let in by one token", let.Load())
	}
}

// A node that the map has keeps its row when one more token is used under its name, also where that is not known yet.
func TestTokenKeepsTheNodesRow(t *testing.T) {
	te := newEtcd(t)
	s, _ := bootstrapped(t, te)
	ctx := testContext(t)
	before := s.Map()
	want := placement.Node{Name: "n7", Zone: "z", Addr: "n7:9001"}
	if err := s.PutNode(ctx, want); err != nil {
		t.Fatal(err)
	}
	token := trust.NewToken(trust.Hash{1})
	if err := s.PutToken(ctx, token.Record(time.Now().Add(time.Hour))); err != nil {
		t.Fatal(err)
	}
	now := s.state.Load()
	s.state.Store(&state{m: before, base: now.base, applied: now.applied, next: make(chan struct{})}) // a map that lags
	if err := s.RedeemToken(ctx, token, "n7"); err != nil {
		t.Fatal(err)
	}
	kv, err := s.get(ctx, nodesDir+"n7")
	if err != nil || kv == nil {
		t.Fatalf("%v, %v", kv, err)
	}
	if got, err := decode[placement.Node](kv.Value); err != nil || *got != want {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
}
