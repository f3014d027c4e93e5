package node

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/sherd-io/sherd/gateway"
	"github.com/sherd-io/sherd/gateway/object"
	"github.com/sherd-io/sherd/internal/adminapi"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta/metapb"
)

// TestPools: bodies go to the pool of their storage class, parts to that of their upload's, others to the bucket's; all are read,
// whichever pool is which by then, and a start finds them again.
func TestPools(t *testing.T) {
	r := newRig(t, 4, profile(2, 1))
	r.start()
	r.fill(1)
	class := "WIDE"
	row, err := ask[adminapi.PoolRow](r, "POST", "pools/create", adminapi.PoolRequest{Name: "wide", Profile: "2+2", PGs: 16, StorageClass: &class})
	must(t, err)
	if row.ID != 2 || !row.Ready || row.Default {
		t.Errorf("%+v", row)
	}
	if pool := r.putClass("key1", class, r.bucket().Pool); pool != 2 {
		t.Errorf("a body of class %s is in pool %d", class, pool)
	}
	if pool := r.putClass("key2", "REDUCED_REDUNDANCY", r.bucket().Pool); pool != 1 {
		t.Errorf("a body of a class without a pool is in pool %d", pool)
	}
	if pool := r.putPart("multi", class); pool != 2 {
		t.Errorf("a part of an upload of class %s is in pool %d", class, pool)
	}
	_, err = ask[adminapi.BucketPool](r, "POST", "buckets/pool", adminapi.BucketPoolRequest{Bucket: "b", Pool: "wide"})
	must(t, err)
	if pool := r.putClass("key3", "", r.bucket().Pool); pool != 2 {
		t.Errorf("a body of a bucket of pool 2 is in pool %d", pool)
	}
	row, err = ask[adminapi.PoolRow](r, "POST", "pools/set", adminapi.PoolRequest{Name: "wide", Default: true})
	must(t, err)
	if !row.Default || row.Buckets != 1 {
		t.Errorf("%+v", row)
	}
	r.stop()
	r.start()
	r.check(4)
	for path, in := range map[string]any{
		"pools/create": adminapi.PoolRequest{Name: "big", Profile: "8+3"},
		"pools/set":    adminapi.PoolRequest{Name: "wide", Profile: "4+2"},
		"buckets/pool": adminapi.BucketPoolRequest{Bucket: "b", Pool: "none"},
	} {
		if _, err := ask[adminapi.PoolRow](r, "POST", path, in); !errors.Is(err, gateway.ErrBadCall) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// putClass stores a body of a storage class and gives the pool that it is in.
func (r *rig) putClass(key, class string, bucketPool ids.Pool) uint32 {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	v, err := r.n.objects.Put(ctx, object.Put{
		Bucket: r.bucket().ID, Pool: bucketPool, Key: key, Size: bodyBytes, Body: bytes.NewReader(body(key)),
		Details: &metapb.Details{StorageClass: class},
	})
	must(r.t, err)
	return v.Details.Extent.Pool
}

// putPart stores one part of a new upload of a storage class and gives the pool that it is in.
func (r *rig) putPart(key, class string) uint32 {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	id, err := r.n.objects.CreateUpload(ctx, r.bucket().ID, 0, key, &metapb.Details{StorageClass: class})
	must(r.t, err)
	e, err := r.n.objects.PutPart(ctx, id, 1, object.Put{Bucket: r.bucket().ID, Pool: 1, Key: key, Size: bodyBytes, Body: bytes.NewReader(body(key))})
	must(r.t, err)
	return e.Pool
}
