package e2e

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sherd-io/sherd/internal/adminapi"
)

// splitLoad puts small objects as fast as the cluster takes them, through all nodes, and never tries twice.
type splitLoad struct {
	t     *testing.T
	f     *fleet
	next  atomic.Int64
	halt  atomic.Bool
	wg    sync.WaitGroup
	mu    sync.Mutex
	acked []string // in the order of their answers
}

const splitBucket, splitBytes = "splits", 100

func startSplitLoad(t *testing.T, f *fleet, workers int) *splitLoad {
	t.Helper()
	must(t, f.nodes[0].client().makeBucket(splitBucket))
	l := &splitLoad{t: t, f: f}
	t.Cleanup(l.stop)
	for id := range workers {
		c := f.nodes[id%len(f.nodes)].client()
		l.wg.Go(func() {
			for !l.halt.Load() {
				n := uint64(l.next.Add(1))
				key := fmt.Sprintf("%016x", n*0x9e3779b97f4a7c15) // all over the bucket
				if err := c.put(splitBucket, key, content(n, splitBytes)); err != nil {
					t.Errorf("put %d: %v", n, err)
					return
				}
				l.mu.Lock()
				l.acked = append(l.acked, key)
				l.mu.Unlock()
			}
		})
	}
	return l
}

func (l *splitLoad) stop() {
	l.halt.Store(true)
	l.wg.Wait()
}

// sofar are the keys whose puts are acknowledged, in order.
func (l *splitLoad) sofar() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Sorted(slices.Values(l.acked))
}

// listed wants what was acknowledged before the listing began to be in it, each key once and in order.
func (l *splitLoad) listed(s *server) {
	l.t.Helper()
	before := l.sofar()
	var keys []string
	c := s.client()
	for params := map[string]string{}; ; {
		page, err := c.listPage(splitBucket, params)
		must(l.t, err)
		for _, o := range page.Contents {
			keys = append(keys, o.Key)
		}
		if !page.IsTruncated {
			break
		}
		params["continuation-token"] = page.NextContinuationToken
	}
	for i := range keys[:max(len(keys), 1)-1] {
		if keys[i] >= keys[i+1] {
			l.t.Errorf("%s is listed before %s", keys[i], keys[i+1])
		}
	}
	for _, key := range before {
		if _, there := slices.BinarySearch(keys, key); !there {
			l.t.Errorf("%s was acknowledged and is not listed", key)
		}
	}
}

// Ranges split while clients put as fast as they can, through gateways that learn of it late: no request fails, every listing is complete
// and in order, and the counters are exact.
func TestClusterSplitsUnderLoad(t *testing.T) {
	t.Parallel()
	f := startFleet(t, 4, 2, "--ec", "4+2")
	l := startSplitLoad(t, f, 12)
	rng := random(t)
	for range count(3, 12) {
		s := f.nodes[rng.IntN(len(f.nodes))]
		border := fmt.Sprintf("%016x", rng.Uint64())
		eventually(t, time.Minute, "a split", func() error { // it is refused while a replica of the range joins
			_, err := s.sherd("range", "split", splitBucket+"/"+border)
			return err
		})
		l.listed(f.nodes[rng.IntN(len(f.nodes))])
	}
	l.stop()
	acked := l.sofar()
	for _, s := range f.nodes {
		l.listed(s)
		st, err := s.status()
		must(t, err)
		if n := int64(len(acked)); st.Usage.Objects != n || st.Usage.Bytes != n*splitBytes {
			t.Errorf("%s counts %d objects of %d bytes, %d of %d are there", s.nodeName(), st.Usage.Objects, st.Usage.Bytes, n, n*splitBytes)
		}
	}
	out, err := f.nodes[0].sherd("range", "ls", "--json")
	must(t, err)
	var ranges []adminapi.Range
	must(t, json.NewDecoder(strings.NewReader(out)).Decode(&ranges))
	if len(ranges) < 1+count(3, 12) {
		t.Errorf("%d ranges", len(ranges))
	}
	t.Logf("%d puts, %d ranges", len(acked), len(ranges))
}

// A bucket is deleted through one node while others put into it: either it is gone and no put was acknowledged, or it stays with all
// that was.
func TestClusterDeleteBucketRace(t *testing.T) {
	t.Parallel()
	f := startFleet(t, 3, 2, "--ec", "2+2")
	rng, deleted, stayed := random(t), 0, 0
	for round := range count(30, 1000) {
		bucket := fmt.Sprintf("race-%d", round)
		must(t, f.nodes[round%3].client().makeBucket(bucket))
		acked := raceDelete(f, bucket, rng)
		left, err := f.nodes[(round+1)%3].client().list(bucket, "")
		switch gone := code(err) == "NoSuchBucket"; {
		case gone:
			deleted++
			if len(acked) > 0 {
				t.Fatalf("round %d: %v were acknowledged, and the bucket is gone", round, acked)
			}
		case err != nil:
			t.Fatal(err)
		default:
			stayed++
			if len(left) != len(acked) || len(acked) == 0 {
				t.Fatalf("round %d: %v were acknowledged, %v are there", round, acked, left)
			}
		}
	}
	t.Logf("%d times the delete won, %d times the puts", deleted, stayed)
}

// raceDelete puts through the second and third node while the first deletes, and returns what was acknowledged.
func raceDelete(f *fleet, bucket string, rng *rand.Rand) (acked []string) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	begin := make(chan struct{})
	for i := 1; i < 3; i++ {
		c, key, after := f.nodes[i].client(), fmt.Sprintf("key-%d", i), time.Duration(1<<rng.IntN(10))*time.Millisecond
		wg.Go(func() {
			<-begin
			await(after)
			switch err := c.put(bucket, key, content(1, 1000)); {
			case err == nil:
				mu.Lock()
				acked = append(acked, key)
				mu.Unlock()
			case code(err) != "NoSuchBucket":
				f.t.Errorf("put: %v", err)
			}
		})
	}
	c := f.nodes[0].client()
	wg.Go(func() {
		<-begin
		if _, err := c.call("DELETE", bucket, "", "", nil); err != nil && code(err) != "BucketNotEmpty" {
			f.t.Errorf("delete: %v", err)
		}
	})
	close(begin)
	wg.Wait()
	return acked
}
