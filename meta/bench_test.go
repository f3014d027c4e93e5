package meta

import (
	"context"
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"github.com/sherd-io/sherd/meta/metapb"
)

// cpu is the process's CPU time.
func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkCommit commits records by five replicas on real files and reports the CPU of each.
func BenchmarkCommit(b *testing.B) {
	for _, size := range []int{200, 4096} {
		for _, clients := range []int{1, 16} {
			b.Run(fmt.Sprintf("bytes=%d/clients=%d", size, clients), func(b *testing.B) { benchCommit(b, size, clients) })
		}
	}
}

func benchCommit(b *testing.B, size, clients int) {
	tn := newNode(b, nodeConfig{drives: 5, seed: 1, dir: b.TempDir(), opt: Options{Tick: 100 * time.Millisecond}})
	tn.put("warm", "")
	body := make([]byte, size)
	work := make(chan int)
	done := make(chan error)
	for range clients {
		go func() {
			var err error
			for i := range work {
				p := putOf(fmt.Sprintf("k%08d", i), "")
				if size > 1000 {
					p.Inline = body
				} else {
					p.HasInline = false
					p.Version.Size = 0
					p.Version.Details.Headers = []*metapb.Header{{Name: "content-type", Value: string(body)}}
				}
				if _, e := tn.node.PutVersion(context.Background(), 0, p); e != nil {
					err = e
				}
			}
			done <- err
		}()
	}
	b.ReportAllocs()
	b.ResetTimer()
	first := 0.0
	for _, d := range tn.drives {
		first += float64(d.log.Stats().Groups)
	}
	before := cpu()
	for i := range b.N {
		work <- i
	}
	close(work)
	for range clients {
		check(b, <-done)
	}
	b.ReportMetric(float64((cpu()-before).Microseconds())/float64(b.N), "cpu-µs/op")
	groups := -first
	for _, d := range tn.drives {
		groups += float64(d.log.Stats().Groups)
	}
	b.ReportMetric(groups/float64(len(tn.drives))/float64(b.N), "syncs/op/drive")
}

// BenchmarkGet reads records under the lease.
func BenchmarkGet(b *testing.B) {
	tn := newNode(b, nodeConfig{drives: 5, seed: 1, dir: b.TempDir(), opt: Options{Tick: 100 * time.Millisecond}})
	const n = 2000
	for i := range n {
		tn.put(fmt.Sprintf("k%08d", i), "0123456789")
	}
	b.ReportAllocs()
	b.ResetTimer()
	before := cpu()
	for range b.N {
		_, _, err := tn.node.Get(context.Background(), bucket, fmt.Sprintf("k%08d", rand.IntN(n)), GetOptions{})
		check(b, err)
	}
	b.ReportMetric(float64((cpu()-before).Nanoseconds())/float64(b.N)/1000, "cpu-µs/op")
}

// BenchmarkList reads pages of 1,000 keys.
func BenchmarkList(b *testing.B) {
	tn := newNode(b, nodeConfig{drives: 5, seed: 1, opt: Options{Tick: 100 * time.Millisecond}})
	for i := range 2000 {
		tn.put(fmt.Sprintf("k%08d", i), "0123456789")
	}
	var buf []byte
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		page, err := tn.node.List(context.Background(), ListRequest{Bucket: bucket, Max: 1000}, buf[:0])
		check(b, err)
		buf = page.Entries
		if page.Count != 1000 {
			b.Fatal(page.Count)
		}
	}
}
