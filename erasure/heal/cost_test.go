package heal

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sherd-io/sherd/placement"
)

// Rows that wait for a drive are tried a bounded number at a time, each once before any is tried again, and hold up no other.
func TestReclaimGoesOnBehindStuckRows(t *testing.T) {
	const rows, pass = 30, 10
	c := newCluster(t, 2, 1, 0, 1, func(o *Options) { o.Page, o.StuckMax = 5, pass })
	for i := range rows {
		name := fmt.Sprint("k", i)
		c.put(name, 5000)
		c.delete(name)
	}
	c.state(0, placement.DriveDown)
	for i := 1; i <= rows/pass; i++ {
		if err := c.healer.Reclaim(c.ctx); err == nil || len(c.rows.reclaims) != rows {
			t.Fatalf("%v, %d rows", err, len(c.rows.reclaims))
		}
		if tried := c.healer.counts.reclaimFailed.Load(); tried != int64(i*pass) {
			t.Fatalf("%d tried in %d passes, want %d", tried, i, i*pass)
		}
	}
	c.state(0, placement.DriveUp)
	for range 2 { // the first may begin anywhere
		if err := c.healer.Reclaim(c.ctx); err != nil {
			t.Fatal(err)
		}
	}
	if len(c.rows.reclaims) != 0 || c.chunks() != 0 {
		t.Errorf("%d rows, %d chunks left", len(c.rows.reclaims), c.chunks())
	}
}

// The ledger is not counted anew where nothing changed.
func TestLedgerRestsWhileNothingChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		version := uint64(7)
		h := &Healer{opt: Options{LedgerEvery: time.Minute, Version: func() uint64 { return version }}}
		h.books.init()
		ctx, cancel := context.WithTimeout(t.Context(), 24*time.Hour)
		defer cancel()
		if err := h.awaitStale(ctx, h.version(), false); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal("counted again: ", err)
		}
		begin, at := time.Now(), h.version()
		version++
		if err := h.awaitStale(t.Context(), at, false); err != nil || time.Since(begin) != time.Minute {
			t.Errorf("%v, after %v", err, time.Since(begin))
		}
		begin = time.Now()
		if err := h.awaitStale(t.Context(), h.version(), true); err != nil || time.Since(begin) != time.Minute {
			t.Errorf("a failed count: %v, after %v", err, time.Since(begin))
		}
		h.Recount()
		begin = time.Now()
		if err := h.awaitStale(t.Context(), h.version(), false); err != nil || time.Since(begin) != 0 {
			t.Errorf("asked for: %v, after %v", err, time.Since(begin))
		}
	})
}
