package remote

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sherd-io/sherd/meta"
	"github.com/sherd-io/sherd/meta/metapb"
)

// cpu is the process's CPU time.
func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// benchNodes are three nodes with a drive each on real files, in one process: CPU is that of all three.
func benchNodes(b *testing.B) (leader, follower, gateway *testNode) {
	c := newCluster(b, clusterConfig{nodes: 3, drives: 1, gateways: 1, dir: b.TempDir(), tick: 100 * time.Millisecond})
	c.nodes[3].put("warm", "")
	leader = c.leader(1)
	return leader, c.others(leader)[0], c.nodes[3]
}

func forEachNode(b *testing.B, run func(b *testing.B, n *testNode, clients int)) {
	leader, follower, gateway := benchNodes(b)
	for _, n := range []struct {
		name string
		node *testNode
	}{{"local", leader}, {"follower", follower}, {"gateway", gateway}} {
		for _, clients := range []int{1, 16} {
			b.Run(fmt.Sprintf("at=%s/clients=%d", n.name, clients), func(b *testing.B) { run(b, n.node, clients) })
		}
	}
}

// parallel runs f b.N times on some goroutines and reports the CPU of each.
func parallel(b *testing.B, clients int, f func(i int) error) {
	var next atomic.Int64
	var wg sync.WaitGroup
	b.ReportAllocs()
	b.ResetTimer()
	before := cpu()
	for range clients {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				if err := f(int(i)); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64((cpu()-before).Nanoseconds())/float64(b.N)/1000, "cpu-µs/op")
}

// BenchmarkPut commits records of 200 bytes on three nodes.
func BenchmarkPut(b *testing.B) {
	headers := []*metapb.Header{{Name: "content-type", Value: string(make([]byte, 200))}}
	forEachNode(b, func(b *testing.B, n *testNode, clients int) {
		parallel(b, clients, func(i int) error {
			p := putOf(fmt.Sprintf("k%08d", i), "")
			p.HasInline, p.Version.Details.Headers = false, headers
			_, err := n.records.PutVersion(context.Background(), 0, p)
			return err
		})
	})
}

// BenchmarkGet reads records.
func BenchmarkGet(b *testing.B) {
	forEachNode(b, func(b *testing.B, n *testNode, clients int) {
		const keys = 1000
		for i := range keys {
			n.put(fmt.Sprintf("k%08d", i), "0123456789")
		}
		parallel(b, clients, func(int) error {
			_, _, err := n.records.Get(context.Background(), bucket, fmt.Sprintf("k%08d", rand.IntN(keys)), meta.GetOptions{})
			return err
		})
	})
}

// BenchmarkList reads pages of 1,000 keys.
func BenchmarkList(b *testing.B) {
	forEachNode(b, func(b *testing.B, n *testNode, clients int) {
		for i := range 1000 {
			n.put(fmt.Sprintf("k%08d", i), "0123456789")
		}
		parallel(b, clients, func(int) error {
			page, err := n.records.List(context.Background(), meta.ListRequest{Bucket: bucket, Max: 1000}, nil)
			if err == nil && page.Count != 1000 {
				err = fmt.Errorf("%d entries", page.Count)
			}
			return err
		})
	})
}
