package main

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// has reports whether one of the findings holds all the words.
func has(all []finding, failed bool, words ...string) bool {
	for _, f := range all {
		ok := f.Failed == failed && f.Remedy != "" && !strings.Contains(f.String(), "\n")
		for _, w := range words {
			ok = ok && strings.Contains(f.String(), w)
		}
		if ok {
			return true
		}
	}
	return false
}

func TestPreflight(t *testing.T) {
	dir := t.TempDir()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	all := inspect(inspection{
		Listen: []string{l.Addr().String(), "192.0.2.1:1"},
		Drives: []string{filepath.Join(dir, "new/d1"), filepath.Join(dir, "new/d2"), file, filepath.Join(file, "d")},
	})
	for _, want := range []struct {
		failed bool
		words  []string
	}{
		{true, []string{l.Addr().String(), "another process", "ss -ltnp"}},
		{true, []string{"192.0.2.1", "ip addr"}},
		{true, []string{file, "not a directory"}},
		{true, []string{filepath.Join(file, "d")}},
		{false, []string{"drives on 1 device", "no protection"}},
	} {
		if !has(all, want.failed, want.words...) {
			t.Errorf("nothing says %v in %v", want.words, all)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "new")); !os.IsNotExist(err) {
		t.Error("inspect made a directory")
	}
	if failures(all) == nil {
		t.Error("no failure")
	}
	if err := failures(checkDrive(dir)); err != nil {
		t.Error(err)
	}
	same := filepath.Join(dir, "same")
	if err := os.Symlink(dir, same); err != nil {
		t.Fatal(err)
	}
	all = inspect(inspection{Drives: []string{same, filepath.Join(dir, "d1/d2"), filepath.Join(dir, "d1"), filepath.Join(dir, "d11"), dir}})
	for _, words := range [][]string{
		{dir + ": it is the same directory as " + same},
		{filepath.Join(dir, "d1") + ": the drive " + filepath.Join(dir, "d1/d2") + " is inside of it"},
		{dir + ": the drive " + filepath.Join(dir, "d11") + " is inside of it"},
	} {
		if !has(all, true, words...) {
			t.Errorf("nothing says %v in %v", words, all)
		}
	}
	if all := checkDistinct([]string{filepath.Join(dir, "d1"), filepath.Join(dir, "d11"), file}); len(all) > 0 {
		t.Error(all)
	}
	if !has(checkClock(time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC)), true, "1970") {
		t.Error("a clock of 1970 passes")
	}
}
