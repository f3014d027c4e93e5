package disk_test

import (
	"context"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sherd-io/sherd/disk"
	"github.com/sherd-io/sherd/disk/disktest"
)

// BenchmarkOpen opens a drive with SHERD_BENCH_CHUNKS chunks (50,000) as a crash left it: un-flushed rows and all.
func BenchmarkOpen(b *testing.B) {
	chunks, _ := strconv.Atoi(os.Getenv("SHERD_BENCH_CHUNKS"))
	if chunks == 0 {
		chunks = 50_000
	}
	opt := options(vfs.Default, b.TempDir())
	opt.SegmentBytes, opt.LogSegmentBytes = 0, 0
	format(b, opt)
	d := open(b, opt)
	s := disktest.NewSample(1, 1, 4096)
	var wg sync.WaitGroup
	room := make(chan struct{}, 512)
	for i := range chunks {
		h := s.Header
		h.Key.Blob.Index = uint32(i)
		h.Key.Blob.Upload[15] = byte(i)
		wg.Add(1)
		room <- struct{}{}
		d.Put(h, s.Units(), s.Footer, func(err error) {
			if err != nil {
				b.Error(err)
			}
			<-room
			wg.Done()
		})
	}
	wg.Wait()
	d.Abandon() // as kill -9 does: nothing is flushed
	d.Close()
	b.ResetTimer()
	for range b.N {
		began := cpuTime()
		opened := time.Now()
		d, err := disk.Open(opt)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(time.Since(opened).Milliseconds()), "ms/open")
		b.ReportMetric(float64((cpuTime() - began).Milliseconds()), "cpu-ms/open")
		b.StopTimer()
		infos, err := d.AllChunks(context.Background(), nil, chunks+1)
		if err != nil || len(infos) != chunks {
			b.Fatal(len(infos), err)
		}
		d.Abandon()
		d.Close()
		b.StartTimer()
	}
}
