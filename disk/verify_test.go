package disk_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sherd-io/sherd/disk"
)

// TestI10_FlippedRowsAreFoundByVerify flips a bit in each of the rows' tables and blobs, whose blocks the caches hold:
// only reading past them finds it. The drive's replicas are lost then, and its chunks are not.
func TestI10_FlippedRowsAreFoundByVerify(t *testing.T) {
	for files, at := range map[string]int64{"*.sst": 40, "*.blob": 40, "MANIFEST-*": 5} { // 5: a record's length
		t.Run(files, func(t *testing.T) {
			path := t.TempDir()
			opt := options(vfs.Default, path)
			format(t, opt)
			d := open(t, opt)
			for i := range 200 {
				key := append([]byte{disk.TableMeta}, fmt.Sprintf("key %04d", i)...)
				if err := d.Rows().Set(key, bytes.Repeat([]byte{byte(i), 7}, 1500), pebble.NoSync); err != nil {
					t.Fatal(err)
				}
			}
			if err := d.Rows().Flush(); err != nil {
				t.Fatal(err)
			}
			if err := d.VerifyState(t.Context()); err != nil {
				t.Fatal("whole rows:", err)
			}
			files, _ := filepath.Glob(filepath.Join(path, "rows", files))
			if len(files) == 0 {
				t.Fatal("no file of that kind")
			}
			for _, f := range files {
				flipByte(t, f, at)
			}
			if err := d.VerifyState(t.Context()); !errors.Is(err, disk.ErrCorrupt) {
				t.Fatalf("got %v", err)
			}
			if h := d.Health(); h.State != disk.Failed {
				t.Fatalf("health is %v", h)
			}
			if _, err := os.Stat(filepath.Join(path, "rows.verify")); !os.IsNotExist(err) {
				t.Fatal("links are left:", err)
			}
			d.Close()
			if again := open(t, opt); !again.ReplicasLost() {
				t.Fatal("the loss of the replicas is not told")
			}
		})
	}
}

func flipByte(t *testing.T, path string, at int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b [1]byte
	if _, err := f.ReadAt(b[:], at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 16
	if _, err := f.WriteAt(b[:], at); err != nil {
		t.Fatal(err)
	}
}

// TestI10_DamagedIdentityIsMended flips a byte of sherd.json while the drive is open: it is written again, and is still this drive's.
func TestI10_DamagedIdentityIsMended(t *testing.T) {
	path := t.TempDir()
	opt := options(vfs.Default, path)
	format(t, opt)
	d := open(t, opt)
	name := filepath.Join(path, "sherd.json")
	whole, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for at := range len(whole) {
		flipByte(t, name, int64(at))
		if err := d.Housekeep(t.Context()); err != nil {
			t.Fatal(err)
		}
		id, _, err := disk.Probe(vfs.Default, path)
		if now, _ := os.ReadFile(name); err != nil || id.Drive != d.ID() || !bytes.Contains(now, []byte(id.Sum)) {
			t.Fatalf("byte %d: %v, %s", at, err, now)
		}
		if err := d.Check(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestI10_SpareIdentity removes sherd.json: its spare makes it again, and the drive is the one it was.
func TestI10_SpareIdentity(t *testing.T) {
	path := t.TempDir()
	opt := options(vfs.Default, path)
	format(t, opt)
	d := open(t, opt)
	id := d.ID()
	d.Close()
	if err := os.Remove(filepath.Join(path, "sherd.json")); err != nil {
		t.Fatal(err)
	}
	if _, state, err := disk.Probe(vfs.Default, path); state != disk.Formatted || err != nil {
		t.Fatalf("%v, %v", state, err)
	}
	d = open(t, opt)
	if d.ID() != id || d.ReplicasLost() {
		t.Fatalf("opened as %v, replicas lost: %v", d.ID(), d.ReplicasLost())
	}
	if err := d.Check(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(path, "sherd.json")); err != nil {
		t.Fatal("not made again:", err)
	}
}
