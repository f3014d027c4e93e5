package e2e

import (
	"syscall"
	"testing"
	"time"
)

// The process that leads the range stands still for longer than its lease, as a paused virtual machine does, and goes on where it
// was: it answers nothing that is stale by then, and what others wrote meanwhile is there (I8).
func TestI8_PausedLeader(t *testing.T) {
	t.Parallel()
	f := startFleet(t, 4, 2, "--ec", "4+2")
	rng := random(t)
	must(t, f.agents(10*time.Second).within(20*time.Second, func(c *s3) error { return c.makeBucket("paused") }))
	// Clients wait for the one that stands still longer than it does: what they asked is answered by one that was asleep.
	reg := startRegisters(t, "paused", 8, func() []*s3 { return f.agents(25 * time.Second).clients }, rng)
	for range count(2, 40) {
		reg.nextGroup()
		await(time.Second)
		s := f.nodes[f.leader("range")]
		pause := time.Duration(5000+rng.IntN(count(4000, 15000))) * time.Millisecond
		began := time.Now()
		must(t, s.cmd.Process.Signal(syscall.SIGSTOP))
		served := f.awaitPut("paused", s, 10*time.Second)
		await(pause - time.Since(began))
		must(t, s.cmd.Process.Signal(syscall.SIGCONT))
		woke := time.Now()
		eventually(t, joinWithin, "its service", func() error { return s.client().put("paused", "other", content(1, 50_000)) })
		t.Logf("%s stood still for %s: the others took an object after %s; it did %s after it went on", s.nodeName(),
			pause, served.Round(time.Millisecond), time.Since(woke).Round(time.Millisecond))
	}
	f.waitHealed(2 * time.Minute)
	reg.check()
}

// awaitPut wants the other nodes to take an object within a limit, and says how long it took.
func (f *fleet) awaitPut(bucket string, but *server, limit time.Duration) time.Duration {
	f.t.Helper()
	began := time.Now()
	eventually(f.t, limit, "service without "+but.nodeName(), func() (err error) {
		for _, s := range f.nodes {
			if s != but {
				c := s.client()
				c.http.Timeout = limit
				if err = c.put(bucket, "other", content(2, 50_000)); err == nil {
					return nil
				}
			}
		}
		return err
	})
	took := time.Since(began)
	if took > inTime(limit) {
		f.t.Errorf("without %s: service after %s, want %s", but.nodeName(), took, inTime(limit))
	}
	return took
}
