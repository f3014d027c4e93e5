package disk

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestI10_EmptyFoldersOfOursAreBlank: a drive that was removed while it put something into quarantine must not block its
// replacement; a file must.
func TestI10_EmptyFoldersOfOursAreBlank(t *testing.T) {
	fs := vfs.Default
	dir := t.TempDir()
	if err := fs.MkdirAll(fs.PathJoin(dir, quarantineName, "2026-01-02"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, state, err := Probe(fs, dir); state != Blank || err != nil {
		t.Errorf("empty folders of ours: %v, %v", state, err)
	}
	f, err := fs.Create(fs.PathJoin(dir, quarantineName, "2026-01-02", "chunk"), vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if _, state, err := Probe(fs, dir); state != Foreign || err != nil {
		t.Errorf("with a file: %v, %v", state, err)
	}
	other := t.TempDir()
	if err := fs.MkdirAll(fs.PathJoin(other, "photos"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, state, err := Probe(fs, other); state != Foreign || err != nil {
		t.Errorf("somebody's empty folder: %v, %v", state, err)
	}
}
