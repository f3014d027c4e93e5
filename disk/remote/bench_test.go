package remote

import (
	"context"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sherd-io/sherd/disk/disktest"
)

// BenchmarkPut stores chunks of a small object's size, 64 at once, over loopback into a drive in memory.
func BenchmarkPut(b *testing.B) {
	n := newNode(b, vfs.NewMem())
	d := suiteDrive{n.client(nil).Drive(n.drive.ID())}
	turns := make(chan struct{}, 64)
	b.ResetTimer()
	for i := range b.N {
		turns <- struct{}{}
		s := disktest.NewSample(1, uint64(i), 1024)
		d.Put(s.Header, s.Units(), s.Footer, func(err error) {
			if err != nil {
				b.Error(err)
			}
			<-turns
		})
	}
	for range cap(turns) {
		turns <- struct{}{}
	}
}

// BenchmarkRead reads 256 KiB at a time out of a chunk of 16 MiB.
func BenchmarkRead(b *testing.B) {
	n := newNode(b, vfs.NewMem())
	d := suiteDrive{n.client(nil).Drive(n.drive.ID())}
	s := disktest.NewSample(1, 1, 16<<20)
	must(b, disktest.Put(d, s))
	r, err := d.Open(context.Background(), s.Header.Key)
	must(b, err)
	defer r.Close()
	const unit = 256 << 10
	b.SetBytes(unit)
	b.ResetTimer()
	for i := range b.N {
		buf, err := r.Read(context.Background(), int64(i%64)*unit, unit)
		must(b, err)
		buf.Release()
	}
}
