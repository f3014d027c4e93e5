package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/sherd-io/sherd/gateway"
	"github.com/sherd-io/sherd/gateway/object"
	"github.com/sherd-io/sherd/internal/adminapi"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/internal/poll"
	"github.com/sherd-io/sherd/meta"
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

// TestConversion: set-pool takes the objects along, of one body and of several, and nothing that a client sees of them changes; a start in
// the middle goes on; what they had before is deleted.
func TestConversion(t *testing.T) {
	r := newRig(t, 4, profile(2, 1))
	r.start()
	r.fill(6)
	big := slices.Concat(bytes.Repeat(body("multi"), 256), body("multi")) // 5 MiB, the least of a part, and a last one
	r.putMultipart("multi", big[:256*bodyBytes], big[256*bodyBytes:])
	whole := adminapi.Stored{Objects: 7, Bytes: 6*bodyBytes + int64(len(big))}
	before := r.versions("key0", "key5", "multi")
	_, err := ask[adminapi.PoolRow](r, "POST", "pools/create", adminapi.PoolRequest{Name: "wide", Profile: "2+2", PGs: 16})
	must(t, err)
	r.n.heal.Pause() // this process gets no further than to say what it will do
	_, err = ask[adminapi.BucketPool](r, "POST", "buckets/pool", adminapi.BucketPoolRequest{Bucket: "b", Pool: "wide"})
	must(t, err)
	r.awaitConversion(whole, "paused")
	r.stop()
	r.start()
	r.awaitConversion(adminapi.Stored{}, "idle")
	if after := r.versions("key0", "key5", "multi"); !slices.Equal(before, after) {
		t.Errorf("clients see %q, and saw %q", after, before)
	}
	r.check(6)
	if b, err := r.get("multi"); err != nil || !bytes.Equal(b, big) {
		t.Errorf("%d bytes of %d, %v", len(b), len(big), err)
	}
	poll.Nil(t, within, "the old pool to be empty", func() error {
		for _, b := range r.n.bays.list() {
			d, _, _ := b.current()
			all, err := d.AllChunks(t.Context(), nil, 1000)
			if err != nil {
				return err
			}
			for _, c := range all {
				if c.Key.Pool != 2 {
					return fmt.Errorf("%s has %v of %s", b.path, c.Key, c.Object)
				}
			}
		}
		return nil
	})
	pools, err := ask[[]adminapi.PoolRow](r, "GET", "pools", nil)
	must(t, err)
	if pools[0].Stored != (adminapi.Stored{}) || pools[1].Stored != whole || pools[1].Leaving.Objects != 0 {
		t.Errorf("%+v", pools)
	}
}

// TestRemovePool: refused while a bucket, a class or an object uses the pool, saying which; a write that began before does not commit into it;
// then it is gone, with all that it had.
func TestRemovePool(t *testing.T) {
	r := newRig(t, 4, profile(2, 1))
	r.start()
	r.fill(2)
	class := "WIDE"
	_, err := ask[adminapi.PoolRow](r, "POST", "pools/create", adminapi.PoolRequest{Name: "wide", Profile: "2+2", PGs: 16, StorageClass: &class})
	must(t, err)
	r.putClass("classy", class, 1)
	_, err = ask[adminapi.BucketPool](r, "POST", "buckets/pool", adminapi.BucketPoolRequest{Bucket: "b", Pool: "wide"})
	must(t, err)
	remove := func() error {
		_, err := ask[adminapi.PoolRow](r, "POST", "pools/remove", adminapi.PoolRequest{Name: "wide"})
		return err
	}
	refused := func(says string) {
		t.Helper()
		if err := remove(); !errors.Is(err, gateway.ErrConflict) || !strings.Contains(err.Error(), says) {
			t.Errorf("%v does not say %q", err, says)
		}
	}
	refused("storage class WIDE")
	none := ""
	_, err = ask[adminapi.PoolRow](r, "POST", "pools/set", adminapi.PoolRequest{Name: "wide", StorageClass: &none})
	must(t, err)
	refused("the one of bucket b:")

	slow := &stalled{first: body("slow"), on: make(chan struct{})} // it goes on when the pool is gone
	late := make(chan error)
	go func() {
		_, err := r.n.objects.Put(context.Background(), object.Put{
			Bucket: r.bucket().ID, Pool: 2, Key: "slow", Size: int64(bodyBytes), Body: slow, Details: new(metapb.Details),
		})
		late <- err
	}()
	upload, err := r.n.objects.CreateUpload(t.Context(), r.bucket().ID, 0, "multi", new(metapb.Details))
	must(t, err)
	_, err = r.n.objects.PutPart(t.Context(), upload, 1, object.Put{Bucket: r.bucket().ID, Pool: 2, Key: "multi", Size: bodyBytes, Body: bytes.NewReader(body("multi"))})
	must(t, err)
	_, err = ask[adminapi.BucketPool](r, "POST", "buckets/pool", adminapi.BucketPoolRequest{Bucket: "b", Pool: "default"})
	must(t, err)
	poll.Nil(t, within, "all objects to have left", func() error {
		if err := remove(); !strings.Contains(err.Error(), `unfinished upload of "multi" of bucket b`) {
			return err
		}
		return nil
	})
	if _, err := r.n.objects.PutPart(t.Context(), upload, 2, object.Put{Bucket: r.bucket().ID, Pool: 2, Key: "multi", Size: bodyBytes, Body: bytes.NewReader(body("multi"))}); err != nil {
		t.Errorf("a pool that stays takes nothing: %v", err)
	}
	must(t, r.n.objects.Abort(t.Context(), r.bucket().ID, "multi", upload))
	poll.Nil(t, within, "the removal", remove)
	poll.True(t, within, "what was deleted to be cleared away", func() bool { return r.n.store.Map().Pools[2] == nil })
	close(slow.on)
	if err := <-late; err == nil {
		t.Error("a body was committed into a pool that is gone")
	}
	r.check(2)
	if b, err := r.get("classy"); err != nil || !bytes.Equal(b, body("classy")) {
		t.Errorf("the object of the class that is gone: %v", err)
	}
	if _, err := r.get("slow"); !errors.Is(err, meta.ErrNoSuchKey) {
		t.Errorf("the object that was refused: %v", err)
	}
	pools, err := ask[[]adminapi.PoolRow](r, "GET", "pools", nil)
	if err != nil || len(pools) != 1 {
		t.Errorf("%+v, %v", pools, err)
	}
	row, err := ask[adminapi.PoolRow](r, "POST", "pools/create", adminapi.PoolRequest{Name: "wide", Profile: "2+2", PGs: 16})
	if err != nil || row.ID != 3 {
		t.Errorf("%+v, %v", row, err)
	}
	must(t, r.n.records.ClosePool(t.Context(), 3, false)) // as ranges remember it of a removal that a restored map forgot
	_, err = ask[adminapi.BucketPool](r, "POST", "buckets/pool", adminapi.BucketPoolRequest{Bucket: "b", Pool: "wide"})
	must(t, err)
	if pool := r.putClass("again", "", r.bucket().Pool); pool != 3 {
		t.Errorf("a body is in pool %d", pool)
	}
	r.stop()
	r.start()
	r.check(2)
}

// stalled is a body that ends when it may.
type stalled struct {
	first []byte
	on    chan struct{}
}

func (s *stalled) Read(p []byte) (int, error) {
	if len(s.first) > 1 {
		n := copy(p, s.first[:len(s.first)-1])
		s.first = s.first[n:]
		return n, nil
	}
	<-s.on
	n := copy(p, s.first)
	s.first = s.first[n:]
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// awaitConversion waits until so much is to be converted, and conversion is in that state.
func (r *rig) awaitConversion(left adminapi.Stored, state string) {
	r.t.Helper()
	poll.Nil(r.t, within, "conversion", func() error {
		rows, err := ask[[]adminapi.BucketRow](r, "GET", "buckets", nil)
		if err != nil {
			return err
		}
		h, err := ask[adminapi.Heal](r, "GET", "heal", nil)
		if c := h.Convert; err == nil && (!c.Exact || c.Left != left || c.State != state || !rows[0].Exact || rows[0].ToConvert != left) {
			err = fmt.Errorf("%+v of %+v", c, rows)
		}
		return err
	})
}

// versions are the records of keys as clients see them.
func (r *rig) versions(keys ...string) (all []string) {
	r.t.Helper()
	for _, key := range keys {
		v, err := r.n.objects.Stat(r.t.Context(), r.bucket().ID, key, meta.VersionRef{})
		must(r.t, err)
		v.Details.Extent = nil
		text, err := v.MarshalVT()
		must(r.t, err)
		all = append(all, string(text))
	}
	return all
}

// putMultipart stores an object of parts.
func (r *rig) putMultipart(key string, parts ...[]byte) {
	r.t.Helper()
	ctx, b := r.t.Context(), r.bucket()
	id, err := r.n.objects.CreateUpload(ctx, b.ID, 0, key, new(metapb.Details))
	must(r.t, err)
	done := object.Complete{Bucket: b.ID, Key: key, ID: id, Size: -1}
	for i, part := range parts {
		e, err := r.n.objects.PutPart(ctx, id, uint32(i+1), object.Put{Bucket: b.ID, Pool: b.Pool, Key: key, Size: int64(len(part)), Body: bytes.NewReader(part)})
		must(r.t, err)
		done.Parts = append(done.Parts, object.CompletePart{Part: i + 1, ETag: fmt.Sprintf("%x", e.Md5)})
	}
	_, err = r.n.objects.Complete(ctx, done)
	must(r.t, err)
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
