package erasure

import (
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

const hedgeAfter = 5 * time.Millisecond

// hedging is a cluster with a body, whose first data shard is on a drive that does not answer, and a full budget.
func hedging(t *testing.T) (c *cluster, read func() time.Duration) {
	c = newCluster(t, 4, 2, 64<<10, 0, func(o *Options) { o.HedgeAfter = hedgeAfter })
	slow := c.on(c.mustPut("a", 1_000_000).Blob(0), 0)
	slow.set(func() { slow.slow = make(chan struct{}) })
	t.Cleanup(slow.heal)
	c.store.hedges.saved.Store(hedgesMax)
	return c, func() time.Duration {
		t.Helper()
		began := time.Now()
		c.mustGet("a")
		if got := c.reports(); len(got) > 0 {
			t.Errorf("reported %v", got)
		}
		return time.Since(began)
	}
}

// TestI23_Hedges: a slow read of another node's drive is worked around long before the drive counts as hanging, and nothing is said of it.
func TestI23_Hedges(t *testing.T) { synctest.Test(t, hedges) }

func hedges(t *testing.T) {
	c, read := hedging(t)
	if took := read(); took != hedgeAfter {
		t.Errorf("it took %s", took)
	}
	if spent := hedgesMax - c.store.hedges.saved.Load(); spent <= 0 || spent > hedgeCost {
		t.Errorf("%d spent of the budget, want about one hedge", spent)
	}
}

// TestI23_NoHedges of drives of this node, nor while load is shed, nor without a budget: they are waited for.
func TestI23_NoHedges(t *testing.T) { synctest.Test(t, noHedges) }

func noHedges(t *testing.T) {
	for what, change := range map[string]func(*cluster){
		"local": func(c *cluster) {
			for _, d := range c.mem {
				d.near = true
			}
		},
		"shedding":  func(c *cluster) { c.store.opt.Shedding = func() bool { return true } },
		"no budget": func(c *cluster) { c.store.hedges.saved.Store(-hedgesMax) },
	} {
		c, read := hedging(t)
		change(c)
		slow := c.on(c.bodies["a"].w.Blob(0), 0)
		time.AfterFunc(testPatience/2, slow.heal)
		if took := read(); took != testPatience/2 {
			t.Errorf("%s: it took %s, the drive was not waited for", what, took)
		}
	}
}

// TestI23_BudgetIsSpent: however many reads are slow, one in twenty is hedged.
func TestI23_BudgetIsSpent(t *testing.T) {
	var b budget
	hedges := 0
	for range 10_000 {
		if b.earn() {
			b.spend()
			hedges++
		}
	}
	if hedges > 500 || hedges < 400 {
		t.Errorf("%d hedges for 10,000 slow reads", hedges)
	}
}

// TestManyNodesSilent: however many other nodes do not answer, and whatever the budget, a read has its answer in time: the bytes where there is
// parity for those that do not, and else that they cannot be read now.
func TestManyNodesSilent(t *testing.T) { synctest.Test(t, manySilent) }

func manySilent(t *testing.T) {
	const within = 8 * time.Second
	for _, size := range []int{1000, 100_000, 1_000_000} { // a unit, a stripe, several
		for _, saved := range []int64{-hedgesMax, hedgesMax} {
			for silent := 1; silent <= 6; silent++ {
				c := newCluster(t, 4, 2, 64<<10, 0, func(o *Options) { o.FarWithin, o.SlowAfter, o.HedgeAfter = within, within*3/8, 0 })
				ref := c.mustPut("a", size).Blob(0)
				slots := []int{0, 4, 5, 1, 2, 3}[:silent] // those first that the short one has
				for _, slot := range slots {
					d := c.on(ref, slot)
					d.set(func() { d.slow = make(chan struct{}) })
				}
				c.store.hedges.saved.Store(saved)
				began := time.Now()
				err := c.get("a", 0, int64(size))
				if took := time.Since(began); took > within {
					t.Errorf("%d bytes, %d of 6 silent, budget %d: it took %s", size, silent, saved, took)
				}
				if ok := silent <= 2; ok != (err == nil) || !ok && !errors.Is(err, ErrUnavailable) {
					t.Errorf("%d bytes, %d of 6 silent, budget %d: %v", size, silent, saved, err)
				}
				for _, slot := range slots {
					c.on(ref, slot).heal()
				}
			}
		}
	}
}

// TestUsual follows what 95 of 100 reads take, up and down.
func TestUsual(t *testing.T) {
	u := usual{nanos: atomic.Int64{}}
	for _, stage := range []struct{ most, few time.Duration }{{time.Millisecond, 50 * time.Millisecond}, {20 * time.Millisecond, 500 * time.Millisecond}, {time.Millisecond, 2 * time.Millisecond}} {
		for i := range 20_000 {
			took := stage.most
			if i%50 == 0 { // two of a hundred
				took = stage.few
			}
			u.note(took)
		}
		if got := time.Duration(u.nanos.Load()); got < stage.most*8/10 || got > stage.few {
			t.Errorf("%s where most take %s and few %s", got, stage.most, stage.few)
		}
	}
}
