package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/sherd-io/sherd/internal/adminapi"
)

// TestClusterChangesPool: the objects of buckets go to another pool under load and across the death of a node, clients see nothing of it,
// and the pool before can be removed then.
func TestClusterChangesPool(t *testing.T) {
	t.Parallel()
	f := startFleet(t, 3, 2, "--ec", "2+1")
	rng := random(t)
	first, victim := f.nodes[0], f.nodes[1+rng.IntN(2)]
	l := f.startTraffic("moving", rng, 3)
	c := first.client()
	big := content(7, 12<<20)
	must(t, c.makeBucket("still"))
	must(t, c.multipart("still", "big", big, 5<<20))
	for i := range 40 {
		must(t, c.put("still", fmt.Sprint(i), content(uint64(i), 5000*(i+1))))
	}
	seen := func(key string) string {
		t.Helper()
		header, _, err := c.do(c.newRequest(t.Context(), "HEAD", "still", key, "", nil, nil))
		must(t, err)
		return fmt.Sprint(header["Etag"], header["Last-Modified"], header["Content-Length"])
	}
	was := [2]string{seen("big"), seen("3")}
	l.awaitWrites(30, 2*time.Minute)

	_, err := first.sherd("pool", "create", "wide", "--ec", "2+2", "--pgs", "32")
	must(t, err)
	for _, bucket := range []string{"still", "moving"} {
		_, err = first.sherd("bucket", "set-pool", bucket, "wide")
		must(t, err)
	}
	eventually(t, time.Minute, "the conversion to begin", func() error {
		pools, err := admin[[]adminapi.PoolRow](first, "pool", "ls")
		if err == nil && pools[1].Stored.Objects == 0 {
			err = fmt.Errorf("%+v", pools)
		}
		return err
	})
	victim.kill9()
	victim.run()
	victim.waitReady(2 * time.Minute)
	_, err = first.sherd("pool", "set", "wide", "--default")
	must(t, err)
	eventually(t, 4*time.Minute, "the removal of the pool before", func() error {
		_, err := first.sherd("pool", "rm", "default")
		if err != nil {
			return err
		}
		pools, err := admin[[]adminapi.PoolRow](first, "pool", "ls")
		if err == nil && len(pools) != 1 {
			err = fmt.Errorf("%+v", pools)
		}
		return err
	})
	if is := [2]string{seen("big"), seen("3")}; is != was {
		t.Errorf("clients saw %v, and see %v", was, is)
	}
	l.awaitWrites(10, 2*time.Minute)
	l.end(victim)
	for i := range 40 {
		b, err := victim.client().get("still", fmt.Sprint(i))
		if err != nil || string(b) != string(content(uint64(i), 5000*(i+1))) {
			t.Errorf("%d: %d bytes, %v", i, len(b), err)
		}
	}
	if b, err := victim.client().get("still", "big"); err != nil || string(b) != string(big) {
		t.Errorf("%d bytes in parts, %v", len(b), err)
	}
	f.waitHealed(2 * time.Minute)
	buckets, err := admin[[]adminapi.BucketRow](first, "bucket", "ls")
	must(t, err)
	for _, b := range buckets {
		if b.Pool != "wide" || b.ToConvert.Objects != 0 {
			t.Errorf("%+v", b)
		}
	}
}
