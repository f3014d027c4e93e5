package growfs

import (
	"bytes"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestFilesAreThoseOfMemFS does the same with a file of vfs.MemFS itself and with one of Wrap's, through two handles each, and compares what
// is read, and what a crash leaves.
func TestFilesAreThoseOfMemFS(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	plain, mem := vfs.NewCrashableMem(), vfs.NewCrashableMem()
	type pair struct{ want, got vfs.File }
	both := func(open func(vfs.FS) (vfs.File, error)) pair {
		var p pair
		for fs, f := range map[vfs.FS]*vfs.File{plain: &p.want, Wrap(mem): &p.got} {
			var err error
			if *f, err = open(fs); err != nil {
				t.Fatal(err)
			}
		}
		return p
	}
	files := []pair{
		both(func(fs vfs.FS) (vfs.File, error) { return fs.Create("a", vfs.WriteCategoryUnspecified) }),
		both(func(fs vfs.FS) (vfs.File, error) { return fs.OpenReadWrite("a", vfs.WriteCategoryUnspecified) }),
	}
	for range 200 {
		p := files[rnd.IntN(len(files))]
		b := make([]byte, rnd.IntN(5000))
		for i := range b {
			b[i] = byte(rnd.Uint32())
		}
		off, kept := rnd.Int64N(100_000), bytes.Clone(b)
		for _, f := range []vfs.File{p.want, p.got} {
			n, err := f.WriteAt(b, off)
			if n != len(b) || err != nil {
				t.Fatalf("%d of %d bytes, %v", n, len(b), err)
			}
			if !bytes.Equal(b, kept) {
				t.Fatal("WriteAt changed what it was given")
			}
		}
		if rnd.IntN(20) == 0 { // a handle's own place is not moved by WriteAt
			for _, f := range []vfs.File{p.want, p.got} {
				if _, err := f.Write(bytes.Clone(b)); err != nil { // it may change what it is given
					t.Fatal(err)
				}
			}
		}
		if rnd.IntN(10) == 0 {
			for _, f := range []vfs.File{p.want, p.got} {
				if err := f.Sync(); err != nil {
					t.Fatal(err)
				}
			}
		}
		same(t, plain, mem)
		same(t, plain.CrashClone(vfs.CrashCloneCfg{}), mem.CrashClone(vfs.CrashCloneCfg{}))
	}
	for _, p := range files {
		if err := p.got.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestGrownUnderAnotherName: a file that was renamed while it was open is the one that grows.
func TestGrownUnderAnotherName(t *testing.T) {
	fs := Wrap(vfs.NewMem())
	f, err := fs.Create("a", vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := fs.Rename("a", "b"); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("grown"), 3); err != nil {
		t.Fatal(err)
	}
	if got := content(t, fs, "b"); string(got) != "\x00\x00\x00grown" {
		t.Errorf("%q", got)
	}
}

func same(t *testing.T, want, got vfs.FS) {
	t.Helper()
	if a, b := content(t, want, "a"), content(t, got, "a"); !bytes.Equal(a, b) {
		t.Fatalf("%d bytes, want %d, or other bytes", len(b), len(a))
	}
}

// content is nil where there is no such file.
func content(t *testing.T, fs vfs.FS, name string) []byte {
	t.Helper()
	f, err := fs.Open(name)
	if err != nil {
		return nil
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
