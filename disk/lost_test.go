package disk_test

import (
	"context"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sherd-io/sherd/disk/disktest"
)

// TestI2_LostChunksAreToldUntilSomebodyTookNote: after the first opening the index has no rows of them any more, and nothing else
// shows that they are missing.
func TestI2_LostChunksAreToldUntilSomebodyTookNote(t *testing.T) {
	none := func([]byte) []byte { return nil }
	for name, lose := range map[string]func(fs vfs.FS){
		"segment": func(fs vfs.FS) { must(t, fs.Remove(longest(t, fs, ".seg"))) },
		"file":    func(fs vfs.FS) { must(t, fs.Remove(longest(t, fs, ".chunk"))) },
		"folder":  func(fs vfs.FS) { must(t, fs.RemoveAll("/drive/chunks")) },
		"folder, and rows are damaged": func(fs vfs.FS) {
			must(t, fs.RemoveAll("/drive/chunks"))
			for _, name := range walk(fs, "/drive/rows") {
				if strings.Contains(name, "MANIFEST") {
					damageFile(t, fs, name, none)
				}
			}
		},
		"records, and rows": func(fs vfs.FS) {
			must(t, fs.RemoveAll("/drive/rows"))
			damageFile(t, fs, longest(t, fs, ".seg"), func(b []byte) []byte { clear(b[1<<20 : 3<<20]); return b })
		},
		"nothing": nil,
	} {
		t.Run(name, func(t *testing.T) {
			opt := options(vfs.NewMem(), "/drive")
			opt.NoReclaim = true
			format(t, opt)
			d := open(t, opt)
			for n := range uint64(60) { // two segments
				must(t, put(d, disktest.NewSample(3, n, 200_000)))
			}
			mustPut(t, d, 100)
			must(t, d.Flush(context.Background()))
			must(t, d.Close())
			if lose != nil {
				lose(opt.FS)
			}
			for n := range 3 {
				d = open(t, opt)
				if lost := d.Lost(); n == 0 && lose != nil && lost.Chunks == 0 && !lost.ChunkLog && len(lost.Damages) == 0 {
					t.Fatalf("the opening found all there: %+v", lost)
				}
				if d.ChunksLost() != (lose != nil) {
					t.Fatalf("opening %d: chunks lost: %v", n, d.ChunksLost())
				}
				must(t, d.Close())
			}
			d = open(t, opt)
			must(t, d.AckChunksLost())
			if d.ChunksLost() {
				t.Fatal("told though somebody took note")
			}
			must(t, d.Check())
			must(t, d.Close())
			if d = open(t, opt); d.ChunksLost() {
				t.Fatal("told again")
			}
		})
	}
}

// longest is the longest of the files in chunks/ whose names end so.
func longest(t *testing.T, fs vfs.FS, suffix string) (found string) {
	t.Helper()
	most := int64(-1)
	for _, name := range walk(fs, "/drive/chunks") {
		if info, err := fs.Stat(name); err == nil && strings.HasSuffix(name, suffix) && info.Size() > most {
			found, most = name, info.Size()
		}
	}
	if found == "" {
		t.Fatal("no file ends in " + suffix)
	}
	return found
}
