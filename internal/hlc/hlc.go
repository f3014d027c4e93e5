// Package hlc is the hybrid clock: wall time that never goes back.
//
// Source: Kulkarni et al., "Logical Physical Clocks", 2014.
package hlc

import (
	"sync/atomic"
	"time"
)

// Stamp is a point in hybrid time: 48 bits of milliseconds since 1970, then 16 bits of counter.
// Stamps order as integers. 0 is before every stamp.
type Stamp uint64

const counterBits = 16

// At is the least stamp of the millisecond that holds t.
func At(t time.Time) Stamp { return Stamp(uint64(t.UnixMilli()) << counterBits) }

// Time is s in wall time, to the millisecond, in UTC.
func (s Stamp) Time() time.Time { return time.UnixMilli(int64(s >> counterBits)).UTC() }

// Add moves s by d, to the millisecond.
func (s Stamp) Add(d time.Duration) Stamp {
	return s + Stamp(d.Milliseconds()<<counterBits)
}

// Clock gives strictly increasing stamps. It is safe for concurrent use.
type Clock struct {
	now  func() time.Time
	last atomic.Uint64
}

// New returns a clock over now; nil means time.Now.
func New(now func() time.Time) *Clock {
	if now == nil {
		now = time.Now
	}
	return &Clock{now: now}
}

// Now returns a stamp that is greater than all it returned before and than all that Merge took.
func (c *Clock) Now() Stamp {
	wall := uint64(At(c.now()))
	for {
		last := c.last.Load()
		next := max(wall, last+1)
		if c.last.CompareAndSwap(last, next) {
			return Stamp(next)
		}
	}
}

// Wall is the clock's wall time, whatever it gave or took.
func (c *Clock) Wall() time.Time { return c.now() }

// Merge makes later stamps greater than s. Callers refuse stamps too far ahead first (I18).
func (c *Clock) Merge(s Stamp) {
	for {
		last := c.last.Load()
		if uint64(s) <= last || c.last.CompareAndSwap(last, uint64(s)) {
			return
		}
	}
}
