package disk_test

import (
	"context"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sherd-io/sherd/disk"
	"github.com/sherd-io/sherd/disk/disktest"
)

const fileChunk = 2 << 20 // a chunk of so many bytes is a file of its own

// mustPut stores the n-th chunk that is a file.
func mustPut(t *testing.T, d *disk.Drive, n uint64) *disktest.Sample {
	t.Helper()
	s := disktest.NewSample(21, n, fileChunk)
	if err := put(d, s); err != nil {
		t.Fatal(err)
	}
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestI16_FileNumbersAreUsedOnce: the log's old records and copies in quarantine name chunk files by number. A number that a deleted
// file had is not given to another after the drive was opened again, or what is said of the one would be done to the other.
func TestI16_FileNumbersAreUsedOnce(t *testing.T) {
	ctx := context.Background()
	opt := options(vfs.NewMem(), "/drive")
	opt.NoReclaim = true
	format(t, opt)
	d := open(t, opt)
	aside, dead := mustPut(t, d, 1), mustPut(t, d, 2)
	must(t, d.Quarantine(ctx, aside.Header.Key, "test"))
	must(t, remove(d, dead.Header.Key))
	must(t, d.Housekeep(ctx)) // both files are unlinked
	must(t, d.Close())
	d = open(t, opt)
	live := []*disktest.Sample{mustPut(t, d, 3), mustPut(t, d, 4)}
	must(t, d.RestoreQuarantined(ctx, aside.Header.Key))
	live = append(live, aside)
	for _, s := range live {
		check(t, d, s)
	}
	must(t, d.Close())
	must(t, opt.FS.RemoveAll("/drive/rows")) // the index is made anew from the whole log
	d = open(t, opt)
	must(t, d.Housekeep(ctx))
	for _, s := range live {
		check(t, d, s)
	}
}
