package member

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestI9_OutlivedEtcdIsNotStarted: an etcd that a restore gave up stays given up, though its directories come back: on one
// drive, and then on all.
func TestI9_OutlivedEtcdIsNotStarted(t *testing.T) {
	opt := testOptions(t, 3)
	s := start(t, opt)
	put(t, s, "k", "old")
	s.Close()
	if got, err := Look(opt); err != nil || len(got.Members) != 3 || got.Here() != 3 || got.Spread() || !got.Enough {
		t.Fatalf("%+v, %v", got, err)
	}
	var old []string
	for _, h := range opt.Drives {
		aside, err := PutAside(h.Path, time.Now())
		if err != nil || aside == "" {
			t.Fatal(aside, err)
		}
		old = append(old, aside)
	}
	if got, err := Look(opt); err != nil || len(got.Members) != 0 || got.Enough {
		t.Fatalf("%+v, %v", got, err)
	}
	if aside, err := PutAside(opt.Drives[0].Path, time.Now()); err != nil || aside != "" {
		t.Fatal(aside, err)
	}

	opt.Control = 2
	s = start(t, opt)
	put(t, s, "k", "new")
	s.Close()
	opt.Bootstrap = false
	comeBack := func(i int) {
		t.Helper()
		dir := filepath.Join(opt.Drives[i].Path, etcdDir)
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(dir, os.DirFS(old[i])); err != nil {
			t.Fatal(err)
		}
	}
	comeBack(0)
	if got, err := Look(opt); err != nil || len(got.Members) != 3 || got.Here() != 2 || !got.Enough {
		t.Fatalf("%+v, %v", got, err)
	}
	s = start(t, opt)
	if got := get(t, s, "k"); got != "new" {
		t.Fatalf("k is %q", got)
	}
	s.Close()
	for i := range old {
		comeBack(i)
	}
	if got, err := Look(opt); err != nil || len(got.Members) != 0 || got.Enough {
		t.Fatalf("%+v, %v", got, err)
	}
	if s, err := Start(testContext(t), opt); !errors.Is(err, ErrNoMembers) {
		t.Fatal(s, err)
	}
}
