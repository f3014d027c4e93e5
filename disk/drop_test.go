package disk_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sherd-io/sherd/disk"
	"github.com/sherd-io/sherd/disk/disktest"
	"github.com/sherd-io/sherd/internal/ids"
)

// I5: after a power cut what was dropped stays so, its files too, and the epoch by which it was dropped is known.
func TestI5_DropIsDurable(t *testing.T) {
	ctx := context.Background()
	mem := vfs.NewCrashableMem()
	opt := options(mem, "/drive")
	format(t, opt)
	d := open(t, opt)
	short, long, again := disktest.NewSample(5, 1, 5000), disktest.NewSample(5, 9, fileChunk), disktest.NewSample(5, 17, 5000)
	for _, s := range []*disktest.Sample{short, long, again} {
		must(t, put(d, s))
	}
	must(t, d.Drop(ctx, []ids.Chunk{short.Header.Key, long.Header.Key, again.Header.Key}, 2))
	again.Header.Epoch = 2
	must(t, put(d, again))
	opt.FS = mem.CrashClone(vfs.CrashCloneCfg{})
	d = open(t, opt)
	for _, s := range []*disktest.Sample{short, long} {
		if _, err := d.Open(ctx, s.Header.Key); !errors.Is(err, disk.ErrNotFound) {
			t.Errorf("%v", err)
		}
	}
	check(t, d, again)
	if got := d.Epoch(1, 1); got != 2 {
		t.Errorf("epoch %d, want 2", got)
	}
	must(t, d.Housekeep(ctx))
	for _, name := range walk(opt.FS, "/drive/chunks") {
		if strings.HasSuffix(name, ".chunk") {
			t.Errorf("%s is left", name)
		}
	}
}
