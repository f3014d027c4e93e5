package e2e

import (
	"fmt"
	"math"
	"path/filepath"
	"testing"
	"time"

	"github.com/sherd-io/sherd/internal/adminapi"
)

// TestI19_GrowAndShrink adds two drives to six under load, drains one, with an etcd member and a replica on it, and removes it: no
// request fails, the drives are balanced within 5 %, and the next start finds the added ones by itself.
func TestI19_GrowAndShrink(t *testing.T) {
	t.Parallel()
	s := start(t, options{})
	rng := random(t)
	must(t, s.client().makeBucket("grow"))
	m, f := newModel("grow"), &faults{}
	writers, halt := load(4, m, s.client, rng, func(w *writer) { w.refused = f.note })
	eventually(t, 60*time.Second, "load", func() error { return atLeast(writers, 100) })

	what, err := admin[adminapi.Plan](s, "plan", "--add", "2")
	must(t, err)
	if what.Slots < 360 || what.Slots > 400 || what.MayLoseAfter != 2 || len(what.Drives) != 8 {
		t.Errorf("two drives more: %d slots move, then %d drives may be lost; %d drives", what.Slots, what.MayLoseAfter, len(what.Drives))
	}
	added := []string{filepath.Join(s.dir, "d7"), filepath.Join(s.dir, "d8")}
	_, err = s.sherd(append([]string{"drive", "add"}, added...)...)
	must(t, err)
	s.waitBalanced(2*time.Minute, 8)

	leader, _ := s.leaders()
	drained := s.drives[leader]
	_, err = s.sherd("drive", "remove", drained)
	if err == nil {
		t.Fatal("a drive with data was removed")
	}
	_, err = s.sherd("drive", "drain", drained)
	must(t, err)
	eventually(t, 2*time.Minute, "the removal of "+drained, func() error {
		_, err := s.sherd("drive", "remove", drained)
		return err
	})
	s.waitBalanced(time.Minute, 7)
	halt()
	s.alive()
	f.check(t, true)
	for what, n := range f.codes {
		t.Errorf("%d writes ended as %q", n, what)
	}
	m.checkAll(t, s.client())

	s.stop()
	s.drives = append(s.drives[:leader:leader], s.drives[leader+1:]...) // the added ones are not among the arguments
	s.run()
	s.waitReady(30 * time.Second)
	s.waitHealed(2 * time.Minute)
	s.waitBalanced(time.Minute, 7)
	m.checkAll(t, s.client())
}

// waitBalanced waits until nothing moves any more, and so many drives have their share of the slots within 5 %.
func (s *server) waitBalanced(within time.Duration, drives int) {
	s.t.Helper()
	eventually(s.t, within, "balance", func() error {
		s.alive()
		p, err := admin[adminapi.Plan](s, "plan")
		if err != nil {
			return err
		}
		if p.InMotion > 0 || p.Slots > 0 || p.Replicas > 0 || p.Stuck > 0 || len(p.Drives) != drives {
			return fmt.Errorf("%d drives, %d slots in motion, %d to go, %d stuck", len(p.Drives), p.InMotion, p.Slots, p.Stuck)
		}
		for _, d := range p.Drives {
			if math.Abs(float64(d.SlotsNow-d.Share)) > 0.05*float64(d.Share) {
				return fmt.Errorf("%s has %d slots, its share is %d", d.Path, d.SlotsNow, d.Share)
			}
		}
		return nil
	})
}
