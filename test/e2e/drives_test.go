package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"
)

func atLeast(writers []*writer, n int64) error {
	if got := acked(writers); got < n {
		return fmt.Errorf("%d writes so far", got)
	}
	return nil
}

// wipe removes a drive's directory as a person would, who does it again if a file came while it was done, and leaves nothing in its
// place. waitHealed then waits until the server has noticed.
func (s *server) wipe(i int) {
	s.t.Helper()
	if b, err := os.ReadFile(filepath.Join(s.drives[i], "sherd.json")); err == nil { // else it is blank still
		var identity struct{ Drive string }
		must(s.t, json.Unmarshal(b, &identity))
		s.wiped = append(s.wiped, identity.Drive)
	}
	eventually(s.t, 20*time.Second, "the end of "+s.drives[i], func() error { return os.RemoveAll(s.drives[i]) })
}

// replace puts an empty directory where a drive was wiped: the server must not have made one.
func (s *server) replace(i int) {
	s.t.Helper()
	must(s.t, os.Mkdir(s.drives[i], 0o755))
}

// pairs that a test loses: in soak all 15, else three that matter.
func pairs(t *testing.T, s *server) [][2]int {
	t.Helper()
	var all [][2]int
	for a := range 6 {
		for b := a + 1; b < 6; b++ {
			all = append(all, [2]int{a, b})
		}
	}
	if *soak {
		return all
	}
	leader, etcd := s.leaders()
	plain := slices.DeleteFunc([]int{0, 1, 2, 3, 4, 5}, func(i int) bool { return i == leader || i == etcd })
	return [][2]int{{plain[0], plain[1]}, {leader, plain[2]}, {etcd, plain[0]}}
}

// leaders are the indices of the drives with the first range's leader and etcd's.
func (s *server) leaders() (rangeLeader, etcdLeader int) {
	s.t.Helper()
	eventually(s.t, 20*time.Second, "leaders", func() error {
		st, err := s.status()
		if err != nil {
			return err
		}
		index := func(id string) int {
			for _, d := range st.Drives {
				if d.ID == id {
					return slices.Index(s.drives, d.Path)
				}
			}
			return -1
		}
		rangeLeader, etcdLeader = -1, -1
		if len(st.Ranges) > 0 {
			rangeLeader = index(st.Ranges[0].Leader)
		}
		for _, m := range st.Etcd {
			if m.Leader {
				etcdLeader = index(m.Drive)
			}
		}
		if rangeLeader < 0 || etcdLeader < 0 {
			return fmt.Errorf("none in %+v, %+v", st.Ranges, st.Etcd)
		}
		return nil
	})
	return rangeLeader, etcdLeader
}

// faults collects what went wrong under load.
type faults struct {
	mu    sync.Mutex
	reads []error
	wrong []error
	codes map[string]int
}

func (f *faults) note(op, key string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.codes == nil {
		f.codes = map[string]int{}
	}
	var w wrongBytes
	switch {
	case errors.As(err, &w):
		f.wrong = append(f.wrong, err)
	case op == "get":
		f.reads = append(f.reads, fmt.Errorf("%s: %w", key, err))
	default:
		f.codes[fmt.Sprintf("%s %d %s", op, status(err), code(err))]++
	}
}

func (f *faults) check(t *testing.T, reads bool) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, err := range f.wrong {
		t.Errorf("wrong: %v", err)
	}
	if reads {
		for i, err := range f.reads {
			if i == 10 {
				t.Errorf("and %d more", len(f.reads)-10)
				break
			}
			t.Errorf("a read failed: %v", err)
		}
	}
	for what, n := range f.codes {
		if what[len(what)-1] == ' ' { // no S3 code: a broken connection, or no XML
			t.Errorf("%d writes ended as %q", n, what)
		}
	}
	t.Logf("refused writes: %v", f.codes)
}

// TestAnyTwoDrives removes two of six drives under load, puts empty directories in their place, waits for full
// strength, and goes on with the next pair.
func TestAnyTwoDrives(t *testing.T) {
	t.Parallel()
	s := start(t, options{})
	rng := random(t)
	c := s.client()
	must(t, c.makeBucket("pairs"))
	m := newModel("pairs")
	for _, pair := range pairs(t, s) {
		losePair(t, s, m, rng, pair)
	}
}

func losePair(t *testing.T, s *server, m *model, rng *rand.Rand, pair [2]int) {
	t.Helper()
	began := time.Now()
	f := &faults{}
	writers, halt := load(8, m, s.client, rng, func(w *writer) { w.refused = f.note })
	n := acked(writers)
	eventually(t, 60*time.Second, "load", func() error { return atLeast(writers, n+200) })

	s.wipe(pair[0])
	n = acked(writers)
	eventually(t, 60*time.Second, fmt.Sprintf("writes with drive %d gone", pair[0]), func() error { return atLeast(writers, n+200) })
	s.wipe(pair[1])
	n = acked(writers)
	eventually(t, 60*time.Second, fmt.Sprintf("small writes with drives %v gone", pair), func() error { return atLeast(writers, n+20) })
	halt()
	s.alive()
	f.check(t, true)
	m.checkAll(t, s.client())

	// Larger objects are refused cleanly, and nothing of them stays.
	err := s.client().put(m.bucket, "refused", content(1, 1<<20))
	if status(err) != 503 {
		t.Errorf("1 MiB with two of 4+2 drives gone: %v, want 503", err)
	}
	m.wrote("refused", version{seed: 1, size: 1 << 20, there: true}, err == nil)

	for _, i := range pair {
		s.replace(i)
	}
	s.waitHealed(2 * time.Minute)
	m.checkAll(t, s.client())
	t.Logf("pair %v: lost, replaced, whole again in %s", pair, time.Since(began).Round(time.Millisecond))
}

// TestWriteQuorum goes on at k drives where the operator chose so.
func TestWriteQuorum(t *testing.T) {
	t.Parallel()
	s := start(t, options{flags: []string{"--write-quorum", "k"}})
	c := s.client()
	must(t, c.makeBucket("quorum"))
	s.wipe(1)
	s.wipe(4)
	m := newModel("quorum")
	eventually(t, 30*time.Second, "1 MiB at write quorum k", func() error {
		v := version{seed: 9, size: 1 << 20, there: true}
		err := c.put("quorum", "k", v.body())
		m.wrote("k", v, err == nil)
		return err
	})
	for _, i := range []int{1, 4} {
		s.replace(i)
	}
	s.waitHealed(time.Minute)
	s.wipe(0)
	s.wipe(2)
	m.checkAll(t, c)
}

// TestEtcdDirectoriesLost deletes etcd/ on a minority of its drives: no client sees anything.
func TestEtcdDirectoriesLost(t *testing.T) {
	t.Parallel()
	s := start(t, options{})
	c := s.client()
	must(t, c.makeBucket("etcd"))
	m := newModel("etcd")
	f := &faults{}
	writers, halt := load(4, m, s.client, random(t), func(w *writer) { w.refused = f.note; w.sizes = []int{100, 5000, 100_000} })
	st, err := s.status()
	must(t, err)
	var hosts []string
	for _, d := range st.Drives {
		if d.Etcd {
			hosts = append(hosts, d.Path)
		}
	}
	if len(hosts) != 5 {
		t.Fatalf("etcd runs on %v", hosts)
	}
	for _, path := range hosts[:2] {
		eventually(t, 20*time.Second, "the end of its etcd", func() error { return os.RemoveAll(filepath.Join(path, "etcd")) }) // the server may write there meanwhile
		n := acked(writers)
		eventually(t, 30*time.Second, "writes go on", func() error { return atLeast(writers, n+100) })
	}
	must(t, c.makeBucket("etcd-2"))
	halt()
	f.check(t, true)
	if len(f.codes) > 0 {
		t.Errorf("writes were refused: %v", f.codes)
	}
	s.waitHealed(time.Minute)
	m.checkAll(t, c)
	s.kill9()
	s.restart()
	m.checkAll(t, c)
}

// TestReplacedWhileStopped finds empty directories at start, and I10's bound on them.
func TestI10_ReplacedWhileStopped(t *testing.T) {
	t.Parallel()
	s := start(t, options{})
	c := s.client()
	must(t, c.makeBucket("stopped"))
	m := newModel("stopped")
	writers, halt := load(4, m, s.client, random(t), nil)
	eventually(t, 30*time.Second, "load", func() error { return atLeast(writers, 100) })
	halt()
	s.stop()
	for _, i := range []int{0, 3} {
		must(t, os.RemoveAll(s.drives[i]))
		must(t, os.Mkdir(s.drives[i], 0o755)) // a path that is missing is no blank drive
	}
	s.restart()
	s.waitHealed(2 * time.Minute)
	m.checkAll(t, c)
	for _, i := range []int{1, 2, 5} {
		s.wipe(i)
		s.replace(i)
	}
	// Three at once are more than parity covers: not one may be adopted unasked, or what a wrong mount hides is lost.
	eventually(t, 10*time.Second, "a problem in status", func() error {
		st, err := s.status()
		if err != nil {
			return err
		}
		if st.Healthy {
			return errors.New("still said to be healthy")
		}
		return nil
	})
	for _, i := range []int{1, 2, 5} {
		if _, err := os.Stat(filepath.Join(s.drives[i], "sherd.json")); err == nil {
			t.Errorf("%s was adopted", s.drives[i])
		}
	}
}
