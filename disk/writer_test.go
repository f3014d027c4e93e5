package disk_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/sherd-io/sherd/disk"
	"github.com/sherd-io/sherd/disk/disktest"
	"github.com/sherd-io/sherd/internal/growfs"
	"github.com/sherd-io/sherd/internal/poll"
)

// TestAbortOnABusyDrive: a writer that is given up while no worker has room leaves no file behind.
func TestAbortOnABusyDrive(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	var shut atomic.Bool
	stalled, gate := make(chan struct{}, 1), make(chan struct{})
	opt := options(errorfs.Wrap(growfs.Wrap(vfs.NewMem()), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpOpen && strings.HasSuffix(op.Path, ".chunk") && shut.CompareAndSwap(true, false) {
			stalled <- struct{}{}
			<-gate
		}
		return nil
	})), "/drive")
	opt.Workers, opt.QueueReads, opt.HangAfter = 1, 1, poll.Within
	format(t, opt)
	d := open(t, opt)
	create := func(n uint64) (*disk.Writer, error) {
		return d.Create(ctx, disktest.NewSample(21, n, fileChunk).Header, fileChunk)
	}
	w, err := create(1)
	must(t, err)
	shut.Store(true)
	var creating sync.WaitGroup
	creating.Go(func() { create(2) })
	<-stalled // in the one worker
	creating.Go(func() { create(3) })
	poll.True(t, poll.Within, "a full queue", d.Full)
	w.Abort()
	cancel()
	creating.Wait()
	close(gate)
	poll.Nil(t, poll.Within, "the end of the files", func() error {
		must(t, d.Housekeep(context.Background()))
		if left := walk(opt.FS, "/drive/chunks"); len(left) != 1 {
			return fmt.Errorf("besides the log's segment there are %v", left)
		}
		return nil
	})
}
