package e2e

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// fill stores what uses every kind of file that a drive has: inline objects, chunk records, chunk files.
func fill(t *testing.T, s *server, bucket string) *model {
	t.Helper()
	c := s.client()
	must(t, c.makeBucket(bucket))
	m := newModel(bucket)
	for i, size := range append(sizes, 9<<20, 9<<20+5) {
		for j := range count(2, 4) {
			key, v := fmt.Sprintf("f%d/%d", i, j), version{seed: uint64(i*10 + j), size: size, there: true}
			must(t, c.put(bucket, key, v.body()))
			m.wrote(key, v, true)
		}
	}
	return m
}

var digits = regexp.MustCompile(`[0-9a-f]*[0-9][0-9a-f]*`)

// kinds groups the files under a drive by what they are: path with every number made #.
func fileKinds(t *testing.T, drive string) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	must(t, filepath.WalkDir(drive, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil // removed meanwhile
		}
		if info, err := d.Info(); err != nil || info.Size() == 0 {
			return nil
		}
		rel, _ := filepath.Rel(drive, path)
		kind := digits.ReplaceAllString(rel, "#")
		out[kind] = append(out[kind], path)
		return nil
	}))
	return out
}

// flip changes one bit of a byte that is not zero, so that it does not fall into what was only preallocated.
func flip(t *testing.T, rng *rand.Rand, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Logf("%s is gone already", path)
		return
	}
	defer f.Close()
	info, err := f.Stat()
	must(t, err)
	var b [1]byte
	at := int64(0)
	for range 4096 {
		at = rng.Int64N(max(info.Size(), 1))
		if n, _ := f.ReadAt(b[:], at); n == 1 && b[0] != 0 {
			break
		}
	}
	b[0] ^= 1 << rng.IntN(8)
	_, err = f.WriteAt(b[:], at)
	must(t, err)
	must(t, f.Sync())
	t.Logf("flipped a bit at %d of %s", at, path)
}

// TestFlippedBits flips a bit in every kind of file, while the server runs and while it is stopped: never a
// wrong byte, never a crash, and full strength again.
func TestFlippedBits(t *testing.T) {
	t.Parallel()
	s := start(t, options{})
	rng := random(t)
	m := fill(t, s, "bits")
	s.stop()
	s.restart()
	for _, running := range []bool{true, false} {
		kinds := fileKinds(t, s.drives[0])
		for i, kind := range slices.Sorted(keysOf(kinds)) {
			if !*soak && (rng.IntN(2) == 0) == running {
				continue // half of the kinds, or so, while it runs, and half while it is stopped
			}
			drive := s.drives[(i+1)%len(s.drives)]
			files := fileKinds(t, drive)[kind]
			if len(files) == 0 { // etcd is not on all drives
				drive = s.drives[0]
				files = fileKinds(t, drive)[kind]
			}
			if len(files) == 0 {
				continue
			}
			if !running {
				s.stop()
			}
			for range count(1, 4) {
				flip(t, rng, files[rng.IntN(len(files))])
			}
			if !running {
				s.restart()
			}
			survives(t, s, m)
		}
	}
}

func keysOf(m map[string][]string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// survives reads all, scrubs, reads again, and wants full strength.
func survives(t *testing.T, s *server, m *model) {
	t.Helper()
	s.alive()
	c := s.client()
	m.checkAll(t, c)
	if out, err := s.sherd("scrub", "start", "--wait"); err != nil {
		t.Fatalf("scrub: %v\n%s", err, out)
	}
	s.waitHealed(90 * time.Second)
	m.checkAll(t, c)
}

// TestFoldersDeleted deletes each thing under a drive by itself, while the server runs and while it is stopped.
func TestFoldersDeleted(t *testing.T) {
	t.Parallel()
	s := start(t, options{})
	m := fill(t, s, "folders")
	n := 0
	rng := random(t)
	for _, running := range []bool{true, false} {
		entries, err := os.ReadDir(s.drives[0])
		must(t, err)
		for _, e := range entries {
			if !*soak && (rng.IntN(2) == 0) == running {
				continue
			}
			drive := s.drives[n%len(s.drives)]
			n++
			path := filepath.Join(drive, e.Name())
			if _, err := os.Stat(path); err != nil {
				path = filepath.Join(s.drives[0], e.Name()) // etcd is not on all drives
			}
			t.Logf("deleting %s, server running: %v", path, running)
			if running {
				eventually(t, 10*time.Second, "its end", func() error { return os.RemoveAll(path) })
			} else {
				s.stop()
				must(t, os.RemoveAll(path))
				s.restart()
			}
			survives(t, s, m)
		}
	}
}

// TestForeignFiles puts what is not ours among what is ours: nothing of it is deleted.
func TestForeignFiles(t *testing.T) {
	t.Parallel()
	s := start(t, options{drives: 3})
	m := fill(t, s, "foreign")
	s.stop()
	var placed []string
	for _, dir := range []string{"", "chunks", "log", "quarantine"} {
		path := filepath.Join(s.drives[0], dir, "holiday.jpg")
		if os.WriteFile(path, []byte("mine"), 0o600) == nil {
			placed = append(placed, path)
		}
	}
	s.restart()
	survives(t, s, m)
	for _, path := range placed {
		if b, err := os.ReadFile(path); err != nil || string(b) != "mine" {
			t.Errorf("%s: %q, %v", path, b, err)
		}
	}
}

// TestSwappedDrives exchanges two drives' directories while the server is stopped: identity is in the drive, not
// in its path.
func TestSwappedDrives(t *testing.T) {
	t.Parallel()
	s := start(t, options{})
	m := fill(t, s, "swapped")
	s.stop()
	a, b := s.drives[1], s.drives[4]
	must(t, os.Rename(a, a+".x"))
	must(t, os.Rename(b, a))
	must(t, os.Rename(a+".x", b))
	s.restart()
	survives(t, s, m)
}

// TestAnothersDrive puts a drive of another cluster at a path: the server does not start, says which, and changes
// nothing on it.
func TestAnothersDrive(t *testing.T) {
	t.Parallel()
	other := start(t, options{drives: 1})
	must(t, other.client().makeBucket("theirs"))
	must(t, other.client().put("theirs", "k", []byte("theirs")))
	other.stop()
	s := start(t, options{})
	m := fill(t, s, "ours")
	s.stop()
	aside := s.drives[2] + ".aside"
	must(t, os.Rename(s.drives[2], aside))
	must(t, os.Rename(other.drives[0], s.drives[2]))
	s.restart() // the other five serve; the foreign drive is left alone, and told
	m.checkAll(t, s.client())
	eventually(t, 20*time.Second, "a word of the other cluster's drive", func() error {
		st, err := s.status()
		if text := fmt.Sprint(st.Problems); err == nil && !strings.Contains(text, "another cluster") {
			return errors.New(text)
		}
		return err
	})
	s.stop()
	must(t, os.Rename(s.drives[2], other.drives[0]))
	must(t, os.Rename(aside, s.drives[2]))
	s.restart()
	survives(t, s, m)
	other.restart()
	if b, err := other.client().get("theirs", "k"); err != nil || string(b) != "theirs" {
		t.Errorf("the other cluster's object: %q, %v", b, err)
	}
}
