package disk_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sherd-io/sherd/disk"
	"github.com/sherd-io/sherd/disk/chunk"
	"github.com/sherd-io/sherd/disk/disktest"
	"github.com/sherd-io/sherd/internal/ids"
)

func cpuTime() time.Duration {
	var r syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// perOp runs f on conc goroutines b.N times in all, and reports the process's CPU time for each.
func perOp(b *testing.B, conc int, f func(i int)) {
	b.ReportAllocs()
	var next atomic.Int64
	var wg sync.WaitGroup
	b.ResetTimer()
	began := cpuTime()
	for range conc {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				f(int(i))
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64((cpuTime()-began).Microseconds())/float64(b.N), "cpu-µs/op")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
}

func benchDrive(b *testing.B) *disk.Drive {
	opt := disk.Options{FS: vfs.Default, Path: b.TempDir()}
	format(b, opt)
	return open(b, opt)
}

func BenchmarkPut(b *testing.B) {
	for _, size := range []int{4 << 10, 64 << 10, 256 << 10} {
		for _, conc := range []int{1, 16, 64} {
			b.Run(fmt.Sprintf("%dKiB/%d", size>>10, conc), func(b *testing.B) {
				d := benchDrive(b)
				s := disktest.NewSample(1, 1, size)
				var n atomic.Uint32
				perOp(b, conc, func(int) {
					h := s.Header
					h.Key.Blob.Index = n.Add(1)
					done := make(chan error, 1)
					d.Put(h, s.Units(), s.Footer, func(err error) { done <- err })
					if err := <-done; err != nil {
						b.Error(err)
					}
				})
				st := d.Stats().Chunks
				b.ReportMetric(float64(st.Records)/float64(max(st.Groups, 1)), "records/sync")
			})
		}
	}
}

func BenchmarkRead(b *testing.B) {
	for _, size := range []int{4 << 10, 256 << 10} {
		for _, conc := range []int{1, 16} {
			b.Run(fmt.Sprintf("%dKiB/%d", size>>10, conc), func(b *testing.B) {
				d := benchDrive(b)
				const chunks = 500
				var wg sync.WaitGroup
				s := disktest.NewSample(1, 1, size)
				keys := make([]ids.Chunk, chunks)
				for i := range chunks {
					h := s.Header
					h.Key.Blob.Index = uint32(i)
					keys[i] = h.Key
					wg.Add(1)
					payload := s.Payload
					d.Put(h, [][]byte{payload}, s.Footer, func(err error) {
						if err != nil {
							b.Error(err)
						}
						wg.Done()
					})
				}
				wg.Wait()
				ctx := context.Background()
				perOp(b, conc, func(i int) {
					r, err := d.Open(ctx, keys[i%chunks])
					if err != nil {
						b.Error(err)
						return
					}
					buf, err := r.Read(ctx, 0, r.Size())
					if err != nil {
						b.Error(err)
					}
					buf.Release()
					r.Close()
				})
			})
		}
	}
}

func BenchmarkFile(b *testing.B) {
	d := benchDrive(b)
	s := disktest.NewSample(1, 1, 16<<20)
	ctx := context.Background()
	b.SetBytes(16 << 20)
	var n atomic.Uint32
	perOp(b, 1, func(int) {
		h := s.Header
		h.Key.Blob.Index = n.Add(1)
		w, err := d.Create(ctx, h, int64(s.Footer.ShardBytes))
		if err != nil {
			b.Fatal(err)
		}
		for _, u := range s.Units() {
			if err := w.Write(ctx, u); err != nil {
				b.Fatal(err)
			}
		}
		if err := w.Seal(ctx, s.Footer); err != nil {
			b.Fatal(err)
		}
		done := make(chan error, 1)
		d.Delete([]ids.Chunk{h.Key}, func(err error) { done <- err })
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	})
}

func BenchmarkDelete100(b *testing.B) {
	d := benchDrive(b)
	s := disktest.NewSample(1, 1, 4096)
	var n atomic.Uint32
	perOp(b, 4, func(int) {
		keys := make([]ids.Chunk, 100)
		for i := range keys {
			keys[i] = s.Header.Key
			keys[i].Blob.Index = n.Add(1)
		}
		done := make(chan error, 1)
		d.Delete(keys, func(err error) { done <- err })
		if err := <-done; err != nil {
			b.Error(err)
		}
	})
}

var _ = chunk.PutMax
