package store

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sherd-io/sherd/internal/trust"
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
