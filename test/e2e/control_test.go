package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// etcdDirs moves the etcd/ of every drive that has one from one name to another.
func (s *server) etcdDirs(from, to string) (moved int) {
	s.t.Helper()
	for _, d := range s.drives {
		err := os.Rename(filepath.Join(d, from), filepath.Join(d, to))
		if err == nil {
			moved++
		} else if !os.IsNotExist(err) {
			s.t.Fatal(err)
		}
	}
	return moved
}

// refuses starts the server, which must end by itself, naming the remedy.
func (s *server) refuses() {
	s.t.Helper()
	before, _ := os.ReadFile(s.log)
	s.run()
	select {
	case <-s.ended:
	case <-time.After(30 * time.Second):
		s.t.Fatalf("the server runs:\n%s", s.logTail(20))
	}
	s.killed = true
	if log, _ := os.ReadFile(s.log); !strings.Contains(string(log[len(before):]), "sherd control restore") {
		s.t.Fatalf("no remedy is named:\n%s", s.logTail(20))
	}
}

// restore runs `control restore` on all drives.
func (s *server) restore(flags ...string) (string, error) {
	return s.sherd(append(append([]string{"control", "restore"}, flags...), s.drives...)...)
}

// restored reports whether the status warns of a restore that nobody has confirmed.
func (s *server) restored() bool {
	s.t.Helper()
	st, err := s.status()
	must(s.t, err)
	for _, p := range st.Problems {
		if strings.Contains(p.Text, "restored from a copy") {
			return true
		}
	}
	return false
}

// TestI9_AllOfEtcdLost: the server says what helps; the command shows what it would do, does it only when told to, and never
// to an etcd that is there. Afterwards everything is there and goes on, and the old etcd is not let in again.
func TestI9_AllOfEtcdLost(t *testing.T) {
	t.Parallel()
	s := start(t, options{})
	c := s.client()
	m := newModel("first")
	must(t, c.makeBucket("first"))
	for i, size := range []int{0, 100, 2 << 10, 5000, 9<<20 + 5} {
		key, v := strings.Repeat("k", i+1), version{seed: uint64(i), size: size, there: true}
		must(t, c.put("first", key, v.body()))
		m.wrote(key, v, true)
	}
	if out, err := s.restore("--yes"); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Fatalf("beside a server: %s, %v", out, err)
	}
	must(t, c.makeBucket("just-before-the-stop"))
	s.stop()
	if out, err := s.restore("--yes"); err == nil || !strings.Contains(err.Error(), "not lost") {
		t.Fatalf("over an etcd that is there: %s, %v", out, err)
	}

	if n := s.etcdDirs("etcd", "etcd.old"); n < 5 {
		t.Fatalf("%d of at least 5 were there", n)
	}
	s.refuses()
	if out, err := s.restore(); err == nil || !strings.Contains(err.Error(), "nothing was changed") || !strings.Contains(out, "2 buckets") {
		t.Fatalf("without --yes: %s, %v", out, err)
	}
	if n := s.etcdDirs("etcd", "etcd.unasked"); n > 0 {
		t.Fatal("restored without --yes")
	}
	out, err := s.restore("--yes")
	must(t, err)
	t.Log(out)
	s.restart()
	if !s.restored() {
		t.Error("the status does not say that the control state was restored")
	}
	check := func() {
		t.Helper()
		m.checkAll(t, c)
		m.checkListing(t, c)
	}
	check()
	v := version{seed: 99, size: 1 << 20, there: true}
	must(t, c.put("just-before-the-stop", "k", v.body()))
	must(t, c.makeBucket("after"))
	must(t, c.put("first", "after", v.body()))
	m.wrote("after", v, true)
	if out, err := s.sherd("control", "confirm"); err != nil || !strings.Contains(out, "confirmed") || s.restored() {
		t.Errorf("%s, %v", out, err)
	}
	s.stop()

	s.etcdDirs("etcd", "etcd.new")
	s.etcdDirs("etcd.old", "etcd")
	s.refuses()
	s.etcdDirs("etcd", "etcd.old")
	s.etcdDirs("etcd.new", "etcd")
	s.restart()
	check()
	must(t, c.put("after", "k", v.body()))
}
