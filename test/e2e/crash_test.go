package e2e

import (
	"errors"
	"fmt"

	"os"
	"sync"
	"testing"
	"time"
)

// TestKill9 kills the server at random moments under a mixed load, sometimes with a drive lost, and wants after
// each start: every acknowledged write there, every other wholly there or wholly absent, listings equal to
// reads, counters equal to a count; and at the end nothing left that nobody refers to.
func TestKill9(t *testing.T) {
	t.Parallel()
	s := start(t, options{flags: []string{"--collect-after", "1m"}})
	rng := random(t)
	c := s.client()
	must(t, c.makeBucket("crash"))
	m := newModel("crash")
	rounds := count(6, 200)
	for round := range rounds {
		f := &faults{}
		writers, halt := load(8, m, s.client, rng, func(w *writer) { w.refused = f.note })
		eventually(t, 60*time.Second, "load", func() error { return atLeast(writers, 20) })
		wiped := -1
		if round%3 == 1 {
			wiped = rng.IntN(6)
			s.wipe(wiped)
		}
		await(time.Duration(rng.IntN(800)) * time.Millisecond)
		s.kill9()
		halt()
		for _, err := range f.wrong {
			t.Errorf("round %d: %v", round, err)
		}
		if wiped >= 0 {
			s.replace(wiped)
		}
		s.restart()
		m.checkAll(t, c)
		checkUsage(t, s, m)
		if round%3 == 1 || round == rounds-1 {
			s.waitHealed(2 * time.Minute)
		}
		if (round+1)%20 == 0 {
			objects, size := m.totals()
			t.Logf("%d kills, %d objects of %d bytes", round+1, objects, size)
		}
	}
	noOrphans(t, s, m)
}

// await lets load run for a random while: the moment of the kill is what the test is about.
func await(d time.Duration) { <-time.After(d) }

// checkUsage compares the counters with an omniscient count.
func checkUsage(t *testing.T, s *server, m *model) {
	t.Helper()
	objects, size := m.totals()
	st, err := s.status()
	must(t, err)
	if st.Usage.Objects != objects || st.Usage.Bytes != size {
		t.Errorf("status counts %d objects of %d bytes, there are %d of %d", st.Usage.Objects, st.Usage.Bytes, objects, size)
	}
}

// noOrphans removes everything, lets the collector pass, and wants no chunk left.
func noOrphans(t *testing.T, s *server, m *model) {
	t.Helper()
	c := s.client()
	for _, key := range m.names() {
		must(t, c.remove(m.bucket, key))
		m.saw(key, version{})
	}
	abortUploads(t, c, m.bucket)
	eventually(t, 3*time.Minute, "no chunk is left", func() error {
		if _, err := s.sherd("scrub", "start", "--wait"); err != nil {
			return err
		}
		st, err := s.status()
		if err != nil {
			return err
		}
		for _, d := range st.Drives {
			if d.State == "up" && d.Chunks > 0 {
				return fmt.Errorf("%s holds %d chunks", d.Path, d.Chunks)
			}
		}
		return nil
	})
	checkUsage(t, s, m)
}

// TestKill9OfTheEtcdChild kills the child alone: the store goes on and the child comes back.
func TestKill9OfTheEtcdChild(t *testing.T) {
	t.Parallel()
	s := start(t, options{})
	c := s.client()
	must(t, c.makeBucket("child"))
	m := newModel("child")
	f := &faults{}
	writers, halt := load(4, m, s.client, random(t), func(w *writer) { w.refused = f.note; w.sizes = []int{100, 100_000} })
	for range 3 {
		children := descendants(s.cmd.Process.Pid)
		if len(children) == 0 {
			t.Fatal("there is no etcd child")
		}
		for _, pid := range children {
			p, err := os.FindProcess(pid)
			must(t, err)
			p.Kill()
		}
		n := acked(writers)
		eventually(t, 30*time.Second, "writes go on", func() error { return atLeast(writers, n+100) })
		eventually(t, 30*time.Second, "a new child", func() error {
			if len(descendants(s.cmd.Process.Pid)) == 0 {
				return errors.New("none")
			}
			return nil
		})
		eventually(t, 30*time.Second, "a new bucket", func() error { return c.makeBucket(fmt.Sprintf("child-%d", n)) })
	}
	halt()
	f.check(t, true)
	m.checkAll(t, c)
}

// TestOverwrittenWhileRead reads a large object slowly while it is overwritten and deleted (I13).
func TestI13_OverwrittenWhileRead(t *testing.T) {
	t.Parallel()
	s := start(t, options{flags: []string{"--collect-after", "1m"}})
	c := s.client()
	c.http.Timeout = 30 * time.Minute
	must(t, c.makeBucket("readers"))
	size := count(256<<20, 5<<30)
	part := content(3, 64<<20)
	var parts int
	if size > 1<<30 {
		parts = size / len(part)
	} else {
		parts = 4
	}
	sums := putParts(t, c, "readers", "big", part, parts)
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			if err := slowRead(c, "readers", "big", part, parts, func(i int) {
				if i == 1 {
					sums.Do(func() {
						if err := c.put("readers", "big", []byte("overwritten")); err != nil {
							t.Error(err)
						}
						if err := c.remove("readers", "big"); err != nil {
							t.Error(err)
						}
					})
				}
			}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if _, err := c.get("readers", "big"); code(err) != "NoSuchKey" {
		t.Errorf("after the delete: %v", err)
	}
}
