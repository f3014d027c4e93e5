package e2e

import (
	"fmt"
	"testing"
	"time"
)

// A node that is gone for good is made up for by the others: everything is at full strength again without it, and was readable all
// the time. When it comes back after all, it does no harm.
func TestClusterNodeGoneForGood(t *testing.T) {
	t.Parallel()
	f := startFleet(t, 4, 2, "--ec", "4+2", "--out-after", "5s", "--etcd-grace", "5s")
	rng := random(t)
	l := f.startTraffic("gone", rng, 4)
	l.awaitWrites(50, 60*time.Second)
	f.waitHealed(time.Minute)
	lost := rng.IntN(4)
	s := f.nodes[lost]
	s.kill9()
	began := time.Now()
	other := f.nodes[(lost+1)%4]
	eventually(t, 2*time.Minute, "full strength without "+s.nodeName(), func() error {
		st, err := other.status()
		if err != nil {
			return err
		}
		for _, d := range drivesOf(&st, s.nodeName()) {
			if d.State != "out" {
				return fmt.Errorf("drive %s is %s", d.Path, d.State)
			}
		}
		return rebuilt(&st)
	})
	t.Logf("full strength without %s after %s", s.nodeName(), time.Since(began).Round(time.Millisecond))
	l.awaitWrites(20, 30*time.Second)

	s.run() // its drives were given up: they are not taken back, and nothing that they hold is believed
	eventually(t, time.Minute, "its answer", func() error {
		if !s.running() {
			s.killed = true
			return nil
		}
		_, err := s.client().list("gone", "")
		return err
	})
	l.awaitWrites(20, 30*time.Second)
	l.end(other)
	st, err := other.status()
	must(t, err)
	for _, d := range drivesOf(&st, s.nodeName()) {
		if d.State == "up" {
			t.Errorf("drive %s was given up, and is up again", d.Path)
		}
	}
	must(t, rebuilt(&st))
}
