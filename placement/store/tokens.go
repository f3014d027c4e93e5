package store

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/sherd-io/sherd/internal/trust"
	"github.com/sherd-io/sherd/placement"
)

// A join token's record is a row under a lease that ends when the token expires. It is not part of the map.
func tokenKey(r trust.TokenRecord) string { return tokensDir + hex.EncodeToString(r.Hash[:]) }

// PutToken keeps what lets one node join until the token expires (I24). Errors: ErrUnavailable.
func (s *Store) PutToken(ctx context.Context, r trust.TokenRecord) error {
	life := r.Expires.Sub(s.opt.Now())
	return s.retry(ctx, func(ctx context.Context) error {
		lease, err := s.client.Grant(ctx, int64(max(life, time.Second)/time.Second))
		if err != nil {
			return err
		}
		_, err = s.kv.Put(ctx, s.key(tokenKey(r)), encode(r), clientv3.WithLease(lease.ID))
		return err
	})
}

// RedeemToken uses a token up, and puts the node that it lets in into the map, in one transaction: nobody can use it a second time
// (I24). A node of that name that the map has keeps its row.
//
// Errors: trust.ErrToken if there is no such token or it has expired, ErrInvalid, ErrUnavailable with the outcome unknown: the token may
// be used up.
func (s *Store) RedeemToken(ctx context.Context, t trust.Token, node string) error {
	if err := CheckNodeName(node); err != nil {
		return err
	}
	key := tokenKey(t.Record(time.Time{}))
	for {
		kv, err := s.get(ctx, key)
		if err != nil {
			return err
		}
		if kv == nil {
			return trust.ErrToken
		}
		r, err := decode[trust.TokenRecord](kv.Value)
		if err != nil || !r.Holds(t, s.opt.Now()) {
			return trust.ErrToken
		}
		row, err := s.get(ctx, nodesDir+node)
		if err != nil {
			return err
		}
		guards := []clientv3.Cmp{clientv3.Compare(clientv3.ModRevision(s.key(key)), "=", kv.ModRevision)}
		ops := []clientv3.Op{clientv3.OpDelete(s.key(key))}
		if row == nil {
			guards = append(guards, s.absent(nodesDir+node))
			ops = append(ops, clientv3.OpPut(s.key(nodesDir+node), encode(placement.Node{Name: node})))
		}
		at, err := s.commit(ctx, guards, ops)
		switch {
		case errors.Is(err, ErrConflict):
			continue // somebody was faster, with the token or under the name
		case err != nil:
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		s.awaitRevision(ctx, at) // it is committed
		return nil
	}
}
