package member

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// TestSocketsOfTheKilledAreSwept: a server that was killed together with its child leaves its directory of sockets to the
// next one, which removes it, and nothing of those that run.
func TestSocketsOfTheKilledAreSwept(t *testing.T) {
	t.Parallel()
	run := t.TempDir()
	killed, lives := sockets(t, run), sockets(t, run)
	for _, f := range []*os.File{killed, lives} {
		touch(t, filepath.Join(f.Name(), "m1d95668f9c41.n3:1"))
	}
	killed.Close() // what the kernel does
	others := filepath.Join(run, socketsPrefix+"notes")
	if err := os.Mkdir(others, 0o700); err != nil {
		t.Fatal(err)
	}
	touch(t, filepath.Join(others, "notes.txt"))
	link := filepath.Join(run, socketsPrefix+"link")
	if err := os.Symlink(t.TempDir(), link); err != nil {
		t.Fatal(err)
	}

	opt := testOptions(t, 1)
	opt.RuntimeDir = run
	s := start(t, opt)
	put(t, s, "a", "1")
	if _, err := os.Lstat(killed.Name()); !os.IsNotExist(err) {
		t.Errorf("the sockets of one that was killed are left: %v", err)
	}
	for _, path := range []string{filepath.Join(lives.Name(), "m1d95668f9c41.n3:1"), filepath.Join(others, "notes.txt"), link, s.dir} {
		if _, err := os.Lstat(path); err != nil {
			t.Error(err)
		}
	}
}

// TestSocketsOfManyWhoStart: those who start at the same time sweep nothing of each other's.
func TestSocketsOfManyWhoStart(t *testing.T) {
	t.Parallel()
	run := t.TempDir()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 200 {
				f, err := makeSockets(run)
				if err != nil {
					t.Error(err)
					return
				}
				if !still(f) {
					t.Errorf("%s was swept", f.Name())
				}
				removeSockets(f.Name())
				f.Close()
			}
		})
	}
	all.Wait()
	if left, err := os.ReadDir(run); err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

func sockets(t *testing.T, run string) *os.File {
	t.Helper()
	f, err := makeSockets(run)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func touch(t *testing.T, path string) {
	t.Helper()
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}
