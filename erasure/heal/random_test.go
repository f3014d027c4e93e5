package heal

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/sherd-io/sherd/erasure"
	"github.com/sherd-io/sherd/placement"
)

// TestRandom lets drives go, come back and be replaced, at most m at once, while objects come and go and the healer works
// now and then; of every other cluster the drives are another node's. Whatever happens, every object reads back and the ledger is the truth; left alone, all is at full strength.
func TestRandom(t *testing.T) {
	seeds := 12
	if testing.Short() {
		seeds = 2
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := &randomRun{c: newCluster(t, 3, 2, 2, 3, nil), rnd: rand.New(rand.NewPCG(uint64(seed), 1))}
			if seed%2 == 1 {
				r.c.sendAway()
			}
			r.c.rnd = rand.NewChaCha8([32]byte{byte(seed), 2})
			for range 60 {
				r.step()
				if t.Failed() {
					t.Fatalf("after %v", r.log)
				}
			}
			r.settle()
		})
	}
}

type randomRun struct {
	c    *cluster
	rnd  *rand.Rand
	log  []string
	puts int
	next int // the next spare drive
}

// weak counts the drives that hold slots and do not count as up, and slots that are not complete.
func (r *randomRun) weak() int {
	m, bad := r.c.m.Load(), map[int]bool{}
	for _, pg := range m.Pools[testPool].PGs {
		for _, sl := range pg.Slots {
			i := indexOf(r.c, sl.Drive)
			if !sl.Complete || m.Drives[sl.Drive].State != placement.DriveUp {
				bad[i] = true
			}
		}
	}
	return len(bad)
}

func (r *randomRun) owners() (all []int) {
	seen := map[int]bool{}
	for _, sl := range r.c.m.Load().Pools[testPool].PGs[0].Slots {
		if i := indexOf(r.c, sl.Drive); !seen[i] {
			seen[i] = true
			all = append(all, i)
		}
	}
	return all
}

func (r *randomRun) step() {
	c := r.c
	own := r.owners()
	i := own[r.rnd.IntN(len(own))]
	state := c.m.Load().Drives[c.ids[i]].State
	op := r.rnd.IntN(13)
	what := ""
	switch {
	case op < 4:
		r.puts++
		name := fmt.Sprintf("%c%d", "az"[r.rnd.IntN(2)], r.rnd.IntN(12))
		size := []int{1, 5000, 70_000, 250_000, 700_000}[r.rnd.IntN(5)]
		what = fmt.Sprintf("put %s %d", name, size)
		r.put(name, size)
	case op == 4 && len(c.bodies) > 3:
		names := slices.Sorted(maps.Keys(c.bodies))
		name := names[r.rnd.IntN(len(names))]
		what = "delete " + name
		c.delete(name)
	case op == 5 && state == placement.DriveUp && r.weak() < 2:
		what = fmt.Sprint("down ", i)
		c.state(i, placement.DriveDown)
	case op == 6 && state == placement.DriveDown:
		what = fmt.Sprint("back ", i)
		c.state(i, placement.DriveSuspect)
	case op == 7 && state == placement.DriveDown && r.next < 2:
		what = fmt.Sprint("replace ", i)
		c.replace(i, 5+r.next)
		r.next++
	case op == 8:
		what = "repair"
		c.healer.Repair(c.ctx) // errors: drives are away
	case op == 9:
		what = "rebuild"
		c.healer.Rebuild(c.ctx)
	case op == 10:
		what = "reclaim"
		c.healer.Reclaim(c.ctx)
	case op == 11:
		what = "scrub"
		c.healer.Scrub(c.ctx, ScrubKind(r.rnd.IntN(2)))
	default:
		return
	}
	r.log = append(r.log, what)
	c.checkAll()
	c.checkLedger()
}

func (r *randomRun) put(name string, size int) {
	c := r.c
	o, missed, err := c.write(name, size)
	if errors.Is(err, erasure.ErrNoQuorum) {
		return // two drives are away
	}
	if err != nil {
		c.t.Fatal(err)
	}
	c.commit(name, o, missed)
}

// settle brings everything back and heals: full strength, nothing left over.
func (r *randomRun) settle() {
	c := r.c
	for i := range c.ids {
		if d := c.m.Load().Drives[c.ids[i]]; d.State == placement.DriveDown {
			c.state(i, placement.DriveSuspect)
		}
	}
	for range 3 {
		for _, err := range []error{c.healer.Rebuild(c.ctx), c.healer.Repair(c.ctx), c.healer.Reclaim(c.ctx), c.healer.Scrub(c.ctx, ScrubFull)} {
			if err != nil {
				c.t.Fatalf("after %v: %v", r.log, err)
			}
		}
	}
	c.checkAll()
	c.checkFull()
	if led := c.checkLedger(); led.Short[0] != led.Blobs || led.Repairs != 0 || r.weak() != 0 {
		c.t.Errorf("after %v: %+v, %d weak drives", r.log, led, r.weak())
	}
	want := c.wanted()
	for i := range c.ids {
		if c.m.Load().Drives[c.ids[i]].State == placement.DriveOut {
			want += len(c.all(i))
		}
	}
	if got := c.chunks(); got != want {
		c.t.Errorf("after %v: %d chunks, want %d", r.log, got, want)
	}
}
