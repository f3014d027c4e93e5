package store

import (
	"context"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/sherd-io/sherd/internal/ids"
)

// Trust is what nodes that know nothing of each other but an external etcd begin with: who can read it is trusted. There is one
// cluster of that kind in an etcd.
type Trust struct {
	Cluster ids.Cluster `json:"cluster"`
	Seed    []byte      `json:"seed"` // of the cluster's authority
	// Begun: the cluster has a map.
	Begun bool `json:"-"`
}

// trustKey is not below a cluster's prefix: it names the cluster.
const trustKey = "/sherd/trust"

// AgreeOnTrust reads what the first node that came has written, or writes what is proposed. opt says where etcd is; its Cluster and Prefix
// do not matter. Errors: ErrUnavailable, ErrCorrupt.
func AgreeOnTrust(ctx context.Context, opt Options, propose Trust) (Trust, error) {
	opt.Prefix = "/"
	if err := opt.validate(); err != nil {
		return Trust{}, err
	}
	client, err := clientv3.New(clientConfig(&opt))
	if err != nil {
		return Trust{}, fmt.Errorf("store: %w", err)
	}
	defer client.Close()
	s := &Store{opt: opt, client: client, kv: client.KV, ctx: context.Background()}
	var value []byte
	err = s.retry(ctx, func(ctx context.Context) error { // a try whose outcome is unknown is found by the next
		got, err := client.Txn(ctx).
			If(clientv3.Compare(clientv3.CreateRevision(trustKey), "=", 0)).
			Then(clientv3.OpPut(trustKey, encode(propose)), clientv3.OpGet(trustKey)).
			Else(clientv3.OpGet(trustKey)).Commit()
		if err != nil {
			return err
		}
		for _, r := range got.Responses {
			if kvs := r.GetResponseRange().GetKvs(); len(kvs) > 0 {
				value = kvs[0].Value
			}
		}
		return nil
	})
	if err != nil {
		return Trust{}, err
	}
	t, err := decode[Trust](value)
	if err != nil {
		return Trust{}, fmt.Errorf("%s: %w", trustKey, err)
	}
	s.opt.Prefix = "/sherd/" + t.Cluster.String() + "/"
	row, err := s.get(ctx, clusterKey)
	t.Begun = row != nil
	return *t, err
}
