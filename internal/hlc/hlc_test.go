package hlc

import (
	"sync"
	"testing"
	"time"
)

func TestNowStrictlyIncreasesWhenWallStandsOrGoesBack(t *testing.T) {
	wall := time.UnixMilli(1_000_000)
	c := New(func() time.Time { return wall })
	last := c.Now()
	for i := range 200_000 { // more than one millisecond's counter holds
		if i == 100_000 {
			wall = wall.Add(-time.Hour)
		}
		next := c.Now()
		if next <= last {
			t.Fatalf("stamp %d after %d", next, last)
		}
		last = next
	}
}

func TestMergeMovesAhead(t *testing.T) {
	c := New(func() time.Time { return time.UnixMilli(5) })
	far := At(time.UnixMilli(9_999))
	c.Merge(far)
	if got := c.Now(); got <= far {
		t.Fatalf("got %d, want more than %d", got, far)
	}
	c.Merge(3) // the past changes nothing
	if got := c.Now(); got <= far {
		t.Fatalf("got %d after merging the past", got)
	}
}

func TestNowIsUniqueAmongGoroutines(t *testing.T) {
	c := New(nil)
	var mu sync.Mutex
	seen := map[Stamp]bool{}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 2_000 {
				s := c.Now()
				mu.Lock()
				if seen[s] {
					t.Errorf("stamp %d twice", s)
				}
				seen[s] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
}

func TestStampTime(t *testing.T) {
	at := time.Date(2026, 11, 20, 1, 2, 3, 4_000_000, time.UTC)
	if got := At(at).Time(); !got.Equal(at) {
		t.Fatalf("got %v, want %v", got, at)
	}
	if got := At(at).Add(-time.Hour).Time(); !got.Equal(at.Add(-time.Hour)) {
		t.Fatalf("Add: got %v", got)
	}
}
