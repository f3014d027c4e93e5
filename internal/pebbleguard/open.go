package pebbleguard

import (
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// Open is pebble.Open, with a compaction scheduler of its own in opt. Errors: pebble.Open's.
func Open(dir string, opt *pebble.Options) (*pebble.DB, error) {
	c := newCompactions()
	opt.Experimental.CompactionScheduler = c
	db, err := pebble.Open(dir, opt)
	if err != nil {
		return nil, err
	}
	c.begin()
	return db, nil
}

// compactions is Pebble's scheduler, which grants none before begin, and has no goroutine before that.
type compactions struct {
	*pebble.ConcurrencyLimitScheduler
	begun     atomic.Bool
	stop, end chan struct{}
}

// newCompactions takes the scheduler without a goroutine, which Pebble has for tests: grant is that goroutine.
func newCompactions() *compactions {
	return &compactions{
		ConcurrencyLimitScheduler: pebble.NewConcurrencyLimitSchedulerWithNoPeriodicGrantingForTest(),
		stop:                      make(chan struct{}), end: make(chan struct{}),
	}
}

func (c *compactions) begin() {
	c.begun.Store(true)
	go c.grant()
}

// TrySchedule grants a compaction now, or has Pebble wait for one.
func (c *compactions) TrySchedule() (bool, pebble.CompactionGrantHandle) {
	if !c.begun.Load() {
		return false, nil
	}
	return c.ConcurrencyLimitScheduler.TrySchedule()
}

// Unregister stops granting; DB.Close calls it.
func (c *compactions) Unregister() {
	if c.begun.Load() {
		close(c.stop)
		<-c.end
	}
	c.ConcurrencyLimitScheduler.Unregister()
}

// grantEvery is how often Pebble's own scheduler looks whether more compactions may run than before.
const grantEvery = 100 * time.Millisecond

// grant starts what waits, if it may run by now.
func (c *compactions) grant() {
	defer close(c.end)
	tick := time.NewTicker(grantEvery)
	defer tick.Stop()
	for {
		select {
		case <-c.stop:
			return
		case <-tick.C:
			if ok, turn := c.ConcurrencyLimitScheduler.TrySchedule(); ok {
				turn.Done() // gives the turn to one that waits
			}
		}
	}
}
