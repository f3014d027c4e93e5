package rescue

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sherd-io/sherd/internal/hlc"
	"github.com/sherd-io/sherd/internal/ids"
)

const inlineMax = 2048 // larger objects have shards

// small stores every shape of object below one blob.
func small(c *cluster) {
	for name, size := range map[string]int{
		"empty": 0, "inline/1": 1, "inline/max": inlineMax, "chunk/least": inlineMax + 1, "chunk/block": 16 << 10,
		"chunk/odd": 100_001, "chunk/stripe": 512<<10 + 1, "file": 2<<20 + 3,
	} {
		c.put(name, size)
	}
	for _, key := range odd {
		c.put(key, 3000+len(key))
	}
	c.multipart("multi/two", true, 5<<20, 1)
	c.multipart("multi/one", true, 5000)
	c.multipart("multi/unfinished", false, 5<<20)
	c.put("overwritten", 4000)
	c.put("overwritten", 5000)
	c.put("gone/inline", 10)
	c.put("gone/chunk", 50_000)
	c.remove("gone/inline")
	c.remove("gone/chunk")
}

// TestDamage takes away, shortens and damages what lies on bare drives, up to what 2+2 must bear and beyond.
func TestDamage(t *testing.T) {
	c := filled(t, small)
	for _, tc := range []struct {
		name   string
		damage func(t *testing.T, d []string) []string // the drives that are left
		lost   func(size int) bool                     // which bodies may not be had; nil: none
	}{
		{"nothing", func(_ *testing.T, d []string) []string { return d }, nil},
		{"in another order", func(_ *testing.T, d []string) []string { return []string{d[3], d[1], d[0], d[2]} }, nil},
		{"two drives missing", func(_ *testing.T, d []string) []string { return d[2:] }, nil},
		{"three drives missing", func(_ *testing.T, d []string) []string { return d[3:] }, func(size int) bool { return size > inlineMax }},
		{"a blank drive, one that is a file, one that is not there", func(t *testing.T, d []string) []string {
			blank, file := t.TempDir(), filepath.Join(t.TempDir(), "file")
			must(t, os.WriteFile(file, []byte("x"), 0o600))
			return append(d[1:], blank, file, filepath.Join(blank, "none"))
		}, nil},
		{"two drives without chunks", func(t *testing.T, d []string) []string {
			must(t, os.RemoveAll(filepath.Join(d[0], "chunks")))
			must(t, os.RemoveAll(filepath.Join(d[1], "chunks")))
			return d
		}, nil},
		{"chunks of two drives shortened", func(t *testing.T, d []string) []string {
			change(t, d[0], "chunks/*", half)
			change(t, d[2], "chunks/*", half)
			return d
		}, nil},
		{"chunks of two drives full of flipped bits", func(t *testing.T, d []string) []string {
			change(t, d[1], "chunks/*", flip(4096, 100))
			change(t, d[3], "chunks/*", flip(4096, 3000))
			return d
		}, nil},
		{"chunks of all drives full of flipped bits", func(t *testing.T, d []string) []string {
			for _, drive := range d {
				change(t, drive, "chunks/*", flip(4096, 100))
			}
			return d
		}, func(size int) bool { return size > inlineMax }},
		{"three drives without rows and log", func(t *testing.T, d []string) []string {
			for _, drive := range d[1:] {
				must(t, os.RemoveAll(filepath.Join(drive, "rows")))
				must(t, os.RemoveAll(filepath.Join(drive, "log")))
			}
			return d
		}, nil},
		{"tables of three drives damaged", func(t *testing.T, d []string) []string {
			for _, drive := range d[:3] {
				change(t, drive, "rows/*.sst", flip(64, 0))
			}
			return d
		}, nil},
		{"tables of three drives shortened", func(t *testing.T, d []string) []string {
			for _, drive := range d[1:] {
				change(t, drive, "rows/*.sst", half)
			}
			return d
		}, nil},
		{"separated values of three drives damaged", func(t *testing.T, d []string) []string {
			for _, drive := range d[:3] {
				change(t, drive, "rows/*.blob", flip(64, 0))
			}
			return d
		}, nil},
		{"manifests of three drives damaged", func(t *testing.T, d []string) []string {
			for _, drive := range d[:3] {
				change(t, drive, "rows/MANIFEST-*", flip(64, 20))
			}
			return d
		}, nil},
		{"all small files of rows damaged on three drives", func(t *testing.T, d []string) []string {
			for _, drive := range d[:3] {
				change(t, drive, "rows/OPTIONS-*", flip(16, 0))
				change(t, drive, "rows/MANIFEST-*", half)
			}
			return d
		}, nil},
		{"identities damaged", func(t *testing.T, d []string) []string {
			for _, drive := range d {
				change(t, drive, "sherd.json", half)
			}
			return d
		}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			found, bodies, result := rescued(t, Options{Drives: tc.damage(t, c.copied(t))})
			lost := int64(0)
			for key, want := range c.bodies {
				f, told := found[key]
				body, written := bodies[key]
				switch {
				case !told:
					t.Errorf("%q: not told of", key)
				case written && !bytes.Equal(body, want):
					t.Errorf("%q: wrong bytes were written", key)
				case !written && (tc.lost == nil || !tc.lost(len(want))):
					t.Errorf("%q: not written: %s", key, f.Problem)
				case written == (f.Problem != "") || f.Bucket != bucket || f.Size != int64(len(want)):
					t.Errorf("%q: %+v", key, f)
				}
				if !written {
					lost++
				}
				delete(found, key)
			}
			for key := range found {
				t.Errorf("%q: nobody stored it, or it was deleted", key)
			}
			if result.Lost != lost || result.Objects != int64(len(c.bodies))-lost || result.Unlisted != 0 {
				t.Errorf("%+v, %d of %d lost", result, lost, len(c.bodies))
			}
			if tc.lost != nil && lost == 0 {
				t.Error("nothing was lost: the case damages too little")
			}
		})
	}
	t.Run("without any rows", func(t *testing.T) { withoutRows(t, c) })
	t.Run("options", func(t *testing.T) { narrowed(t, c) })
}

// withoutRows: what shards say of themselves is all there is.
func withoutRows(t *testing.T, c *cluster) {
	d := c.copied(t)
	for _, drive := range d {
		must(t, os.RemoveAll(filepath.Join(drive, "rows")))
		must(t, os.RemoveAll(filepath.Join(drive, "log")))
	}
	found, bodies, result := rescued(t, Options{Drives: d[1:]})
	for key, want := range c.bodies {
		if len(want) <= inlineMax {
			continue
		}
		if body, ok := bodies[key]; !ok || !bytes.Equal(body, want) {
			t.Errorf("%q: written: %v, %+v", key, ok, found[key])
		}
		if f := found[key]; !f.Unlisted || !strings.HasPrefix(f.File, "unlisted/") {
			t.Errorf("%q: %+v", key, f)
		}
	}
	if result.Unlisted != result.Objects || result.Objects == 0 {
		t.Errorf("%+v", result)
	}
}

// narrowed: --list writes nothing, --bucket and --prefix leave out, --unlisted adds what no row refers to.
func narrowed(t *testing.T, c *cluster) {
	found, _, result := rescued(t, Options{Drives: c.paths, List: true})
	if int(result.Objects) != len(c.bodies) || len(found) != len(c.bodies) || result.Lost != 0 {
		t.Errorf("list: %+v", result)
	}
	found, _, _ = rescued(t, Options{Drives: c.paths, Prefix: "multi/"})
	if len(found) != 2 {
		t.Errorf("prefix: %v", found)
	}
	found, _, _ = rescued(t, Options{Drives: c.paths, Bucket: "another"})
	if len(found) != 0 {
		t.Errorf("bucket: %v", found)
	}
	found, _, result = rescued(t, Options{Drives: c.paths, Unlisted: true})
	if f := found["multi/unfinished"]; !f.Unlisted || f.Problem != "" || result.Unlisted < 1 {
		t.Errorf("unlisted: %+v, %+v", f, result)
	}
	out := filepath.Join(t.TempDir(), "full")
	must(t, os.MkdirAll(filepath.Join(out, "something"), 0o755))
	if _, err := Run(context.Background(), Options{Drives: c.paths, Out: out}, nil); err == nil {
		t.Error("wrote into a directory that is not empty")
	}
}

// TestManyBlobs: a body of more than one blob, with as many drives missing as may be.
func TestManyBlobs(t *testing.T) {
	c := filled(t, func(c *cluster) { c.put("large", 64<<20+5) })
	_, bodies, _ := rescued(t, Options{Drives: c.paths[2:]})
	if !bytes.Equal(bodies["large"], c.bodies["large"]) {
		t.Errorf("%d bytes, want %d", len(bodies["large"]), len(c.bodies["large"]))
	}
}

// TestDrivesAreOnlyRead: no file of a drive is another after a rescue.
func TestDrivesAreOnlyRead(t *testing.T) {
	c := filled(t, func(c *cluster) {
		c.put("a", 10)
		c.put("b", 100_000)
	})
	before := snapshot(t, c.paths)
	rescued(t, Options{Drives: c.paths})
	if after := snapshot(t, c.paths); !slices.Equal(before, after) {
		t.Errorf("before %v, after %v", before, after)
	}
}

// snapshot is every file below the paths with its size and time of change.
func snapshot(t *testing.T, paths []string) (all []string) {
	t.Helper()
	for _, path := range paths {
		must(t, filepath.WalkDir(path, func(name string, e os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := e.Info()
			if err == nil {
				all = append(all, name+info.ModTime().String()+info.Mode().String())
			}
			return err
		}))
	}
	return all
}

func TestPlace(t *testing.T) {
	digest := func(key string) string { return digestPlace("b", key) }
	for key, want := range map[string]string{
		"a/b": "b/a/b", "a//b": "b/a/%/b", "/": "b/%/%", ".": "b/%2E", "../x": "b/%2E%2E/x", "a/": "b/a/%", "%41": "b/%2541",
		"a\\b\n": "b/a%5Cb%0A", strings.Repeat("x", 256): digest(strings.Repeat("x", 256)),
		strings.Repeat("x/", 1000): digest(strings.Repeat("x/", 1000)),
	} {
		if got := place("b", key); got != want {
			t.Errorf("%.20q: %s, want %s", key, got, want)
		}
	}
}

// TestUnlistedTakesWhatIsNewest: a body that was written anew in another pool is no newer than its object, and its blobs are not mixed with those
// of the body before.
func TestUnlistedTakesWhatIsNewest(t *testing.T) {
	const old, newer = hlc.Stamp(1000 << 16), hlc.Stamp(2000 << 16)
	blob := func(upload, i byte, pool ids.Pool) blobKey {
		return blobKey{pool: pool, blob: ids.Blob{Upload: ids.Upload{0, 0, upload}, Index: uint32(i)}}
	}
	first, converted, overwritten := []blobKey{blob(1, 0, 1), blob(1, 1, 1)}, []blobKey{blob(9, 0, 2), blob(9, 1, 2)}, []blobKey{blob(5, 0, 1)}
	for _, tc := range []struct {
		bodies map[hlc.Stamp][][]blobKey
		want   []blobKey
	}{
		{map[hlc.Stamp][][]blobKey{old: {first, converted}}, converted},
		{map[hlc.Stamp][][]blobKey{old: {converted, first}}, converted},
		{map[hlc.Stamp][][]blobKey{old: {first, converted}, newer: {overwritten}}, overwritten},
	} {
		o := &orphan{parts: map[uint32][]blobKey{}, newest: map[uint32]bodyAge{}, sizes: map[blobKey]int64{}}
		for stamp, bodies := range tc.bodies {
			for _, blobs := range bodies {
				for _, at := range blobs {
					o.add(at, 0, stamp, 1)
				}
			}
		}
		if !slices.Equal(o.parts[0], tc.want) {
			t.Errorf("%v is taken, want %v", o.parts[0], tc.want)
		}
	}
}
